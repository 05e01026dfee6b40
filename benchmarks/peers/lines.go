// What Go can do: it answers line by line, and sends when nothing more is buffered; or
// it answers datagrams. The words are "tls" and "log", or "udp".
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"log"
	"net"
	"os"
	"strings"
	"unicode/utf8"
)

var words = strings.Join(os.Args[1:], " ")

func converse(connection net.Conn) {
	defer connection.Close()
	if strings.Contains(words, "log") {
		log.Print(connection.RemoteAddr(), " opened")
		defer log.Print(connection.RemoteAddr(), " closed")
	}
	reader := bufio.NewReaderSize(connection, 1<<16)
	writer := bufio.NewWriterSize(connection, 1<<16)
	defer writer.Flush()
	for {
		line, err := reader.ReadSlice('\n')
		writer.Write(bytes.ToUpper(line)) // Flush() tells of its errors.
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
		if reader.Buffered() == 0 && writer.Flush() != nil {
			return
		}
	}
}

func answerDatagrams() error {
	connection, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	buffer := make([]byte, 1<<16)
	for err == nil {
		length, peer, failed := connection.ReadFromUDPAddrPort(buffer)
		text := buffer[:length]
		if failed != nil || !utf8.Valid(text) {
			continue
		}
		answer := bytes.ToUpper(text)
		if len(answer) <= length && !bytes.Equal(answer, text) {
			connection.WriteToUDPAddrPort(answer, peer)
		}
	}
	return err
}

func main() {
	if words == "udp" {
		log.Fatal(answerDatagrams())
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err == nil && strings.Contains(words, "tls") {
		var pair tls.Certificate
		pair, err = tls.LoadX509KeyPair("server.pem", "server.pem")
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	for err == nil {
		var connection net.Conn
		if connection, err = listener.Accept(); err == nil {
			go converse(connection)
		}
	}
	log.Fatal(err)
}
