"""A very short server, which answers one client in upper case."""

import socket
import sys


def main() -> None:
    """Listen on port 5000, or on the port in the command."""
    port = int(sys.argv[1]) if sys.argv[1:] else 5000
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1)
    print("listening on", listener.getsockname())
    connection, address = listener.accept()
    print("connection from", address)
    while True:
        data = connection.recv(1024)
        if not data:
            break
        text = data.decode()
        print("received:", text)
        answer = text.upper()
        print("sending:", answer)
        connection.send(answer.encode())
    print("the client has gone")
    connection.close()


if __name__ == "__main__":
    main()
