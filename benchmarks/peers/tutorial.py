"""
What a first tutorial on sockets builds: a blocking server of one client, which
takes each piece that it receives for a message, prints both sides, and ends with
its client.
"""

from __future__ import annotations

import socket

with socket.create_server(("127.0.0.1", 0)) as listener:
    connection, address = listener.accept()
with connection:
    print("Connection from", address)
    while piece := connection.recv(1024):
        question = piece.decode()
        answer = question.upper()
        print("<", question)
        print(">", answer)
        connection.send(answer.encode())
