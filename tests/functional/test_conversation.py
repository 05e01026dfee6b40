"""
Conversations with a real server, each by a client that people have at hand.
"""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import Server


class ConversationTests(SynchronousTestCase):
    """
    A server with default options.
    """

    def test_lines(self) -> None:
        """
        Lines are answered in order; the tail without a line end is answered at
        the end of stream.
        """
        with Server() as server:
            self.assertEqual(server.ask("straße\nabc".encode()), b"STRASSE\nABC")

    def test_tutorial(self) -> None:
        """
        A client that sends no line end and waits for each answer, like that of
        a first tutorial on sockets, holds its conversation.
        """
        with Server() as server, server.connect() as connection:
            for message in ["I am Simon", "This is a test", "straße"]:
                connection.send(message.encode())
                self.assertEqual(connection.recv(1024).decode(), message.upper())
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(connection.recv(1024), b"")
