"""Send two messages without line ends, and show what one recv gives."""

import socket
import sys

port = int(sys.argv[1]) if sys.argv[1:] else 5000
with socket.create_connection(("127.0.0.1", port)) as connection:
    connection.sendall(b"one")
    connection.sendall(b"two")
    # Wait until both answers have come.
    connection.recv(6, socket.MSG_PEEK | socket.MSG_WAITALL)
    print("one recv gives", connection.recv(1024))
