"""Send up to 100 MB of lines, and read no answer."""

import socket
import sys

port = int(sys.argv[1]) if sys.argv[1:] else 5000
lines = (b"x" * 999 + b"\n") * 1000
sent = 0
with socket.create_connection(("127.0.0.1", port)) as connection:
    connection.settimeout(2)
    try:
        while sent < 100_000_000:
            sent += connection.send(lines)
        print("the server has taken", sent // 1_000_000, "MB")
    except TimeoutError:
        print("the server reads no more after", sent // 1_000_000, "MB")
