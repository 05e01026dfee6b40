"""Send a line, end our side, and see whether the answer comes: a hundred times."""

import socket
import sys

port = int(sys.argv[1]) if sys.argv[1:] else 5000
answered = 0
for _ in range(100):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        # MSG_MORE: wait, and send the line together with the end of our side.
        connection.sendall(b"hello\n", socket.MSG_MORE)
        connection.shutdown(socket.SHUT_WR)
        if connection.recv(1024) == b"HELLO\n":
            answered += 1
print("answered:", answered, "of 100")
