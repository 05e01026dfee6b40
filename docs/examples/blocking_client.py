"""A client that sends each text that is typed, without a line end, until q."""

import socket
import sys


def main() -> None:
    """Connect to port 5000, or to the port in the command."""
    port = int(sys.argv[1]) if sys.argv[1:] else 5000
    connection = socket.socket()
    connection.connect(("127.0.0.1", port))
    message = input(" -> ")
    while message != "q":
        connection.send(message.encode())
        answer = connection.recv(1024).decode()
        print("Received from server: " + answer)
        message = input(" -> ")
    connection.close()


if __name__ == "__main__":
    main()
