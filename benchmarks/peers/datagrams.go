// A Go server that answers datagrams.
package main

import (
	"bytes"
	"log"
	"net"
	"unicode/utf8"
)

func main() {
	connection, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		log.Fatal(err)
	}
	buffer := make([]byte, 1<<16)
	for {
		length, peer, err := connection.ReadFromUDPAddrPort(buffer)
		text := buffer[:length]
		if err != nil || !utf8.Valid(text) {
			continue
		}
		answer := bytes.ToUpper(text)
		if len(answer) <= length && !bytes.Equal(answer, text) {
			connection.WriteToUDPAddrPort(answer, peer)
		}
	}
}
