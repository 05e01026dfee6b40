// A Go server that answers line by line, and sends when nothing more is buffered.
package main

import (
	"bufio"
	"bytes"
	"log"
	"net"
)

func converse(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReaderSize(connection, 1<<16)
	writer := bufio.NewWriterSize(connection, 1<<16)
	defer writer.Flush()
	for {
		line, err := reader.ReadSlice('\n')
		if _, failed := writer.Write(bytes.ToUpper(line)); failed != nil {
			return
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
		if reader.Buffered() == 0 {
			if writer.Flush() != nil {
				return
			}
		}
	}
}

func main() {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go converse(connection)
	}
}
