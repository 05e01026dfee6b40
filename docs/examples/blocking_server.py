"""A server that answers one client in upper case, as short as it gets."""

import socket
import sys


def main() -> None:
    """Listen on port 5000, or on the one that was given."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 5000))
    listener.listen(1)
    print("listening on", listener.getsockname(), flush=True)
    connection, address = listener.accept()
    print("connection from", address, flush=True)
    while True:
        data = connection.recv(1024)
        if not data:
            break
        text = data.decode()
        answer = text.upper()
        connection.send(answer.encode())
    connection.close()


if __name__ == "__main__":
    main()
