"""Send two lines, and show the answer to each."""

import socket
import sys

port = int(sys.argv[1]) if sys.argv[1:] else 5000
with socket.create_connection(("127.0.0.1", port)) as connection:
    connection.sendall(b"one\n")
    connection.sendall(b"two\n")
    with connection.makefile("rb") as answers:
        print("the first answer is", answers.readline())
        print("the second answer is", answers.readline())
