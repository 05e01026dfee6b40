// A Go server that answers line by line, and sends when nothing more is buffered.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"log"
	"net"
	"os"
	"strings"
)

func converse(connection net.Conn, logged bool) {
	defer connection.Close()
	if logged {
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

func main() {
	words := strings.Join(os.Args[1:], " ")
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err == nil && strings.Contains(words, "tls") {
		var pair tls.Certificate
		pair, err = tls.LoadX509KeyPair("server.pem", "server.pem")
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	for err == nil {
		var connection net.Conn
		if connection, err = listener.Accept(); err == nil {
			go converse(connection, strings.Contains(words, "log"))
		}
	}
	log.Fatal(err)
}
