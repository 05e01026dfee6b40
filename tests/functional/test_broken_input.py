"""
Input that comes slowly, in pieces, without end or without sense: the same
answer as in one piece, at a cost that grows as its length does.
"""

from __future__ import annotations

import random
import socket
import threading

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import Server, receiveAll, sendInBackground


class BrokenInputTests(SynchronousTestCase):
    """
    A server that answers whole lines only, unless a test says otherwise.
    """

    def send(self, server: Server, data: bytes) -> tuple[float, int]:
        """
        Have something answered by its upper case.

        @param data: ASCII.
        @return: the processor time that it took, in seconds, and by how much
            memory the server has grown, in bytes.
        """
        time, memory = server.processorTime(), server.memory()
        with server.connect() as connection:
            thread = sendInBackground(connection, data)
            answer = receiveAll(connection)
            thread.join()
        self.assertTrue(answer == data.upper(), "not the answer")
        return server.processorTime() - time, server.memory() - memory

    def assertLinear(self, part: bytes) -> None:
        """
        Assert that four times as much takes at most eight times as long, and
        that neither takes memory.
        """
        with Server() as server:
            server.ask(b"warm up\n")
            # Below a tenth of a second, the clock is too coarse to compare.
            short, _ = self.send(server, part)
            long, memory = self.send(server, part * 4)
        self.assertLess(long, 8 * max(short, 0.1))
        self.assertLess(memory, 4 << 20)

    def test_lineEnds(self) -> None:
        """
        Ten megabytes of line ends.
        """
        self.assertLinear(b"\n" * 2_500_000)

    def test_withoutLineEnd(self) -> None:
        """
        A hundred megabytes without a line end are answered in parts.
        """
        self.assertLinear(b"a" * 25_000_000)

    def test_byteByByte(self) -> None:
        """
        Text that comes one byte at a time has the same answer.
        """
        text = "straße ΐ 😀\n".encode() * 500
        with (
            Server("--flush-after", "never") as server,
            server.connect() as connection,
        ):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)

            def send() -> None:
                for byte in text:
                    connection.send(bytes([byte]))
                connection.shutdown(socket.SHUT_WR)

            thread = threading.Thread(target=send, daemon=True)
            thread.start()
            self.assertEqual(receiveAll(connection), text.decode().upper().encode())
            thread.join()

    def test_longLineByteByByte(self) -> None:
        """
        A line that is longer than what may wait, and comes one byte at a time,
        costs no more than its length.
        """
        text = b"a" * 50_000
        with Server("--flush-after", "never") as server, server.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            before = server.processorTime()

            def send() -> None:
                for _ in range(len(text)):
                    connection.send(b"a")
                connection.shutdown(socket.SHUT_WR)

            thread = threading.Thread(target=send, daemon=True)
            thread.start()
            self.assertEqual(receiveAll(connection), text.upper())
            thread.join()
            # 50,000 chunks, some tens of microseconds each.
            self.assertLess(server.processorTime() - before, 10)

    def test_longBrokenLineThatEndsWithinACharacter(self) -> None:
        """
        A long line with an error in it has one error for its answer, also when
        the stream ends in the middle of one of its characters.
        """
        with Server() as server:
            self.assertEqual(
                server.ask(b"\xff" + b"a" * 16384 + b"\xc3"),
                b"error: invalid UTF-8 at byte 1\n",
            )

    def test_randomBytesInRandomPieces(self) -> None:
        """
        Random bytes have the same answer in random pieces as in one.
        """
        choose = random.Random(3)
        # Rich in line ends and in what is nearly UTF-8.
        parts = [b"\n", b"a", b"\xc3", b"\x9f", "ß".encode(), b"\xf0\x9f", b"\xff"]
        with Server("--flush-after", "never") as server:
            for _ in range(20):
                data = b"".join(choose.choices(parts, k=20_000))
                data += choose.randbytes(50_000) + b"\xe1" + b"a" * 70_000
                whole = server.ask(data)
                with server.connect() as connection:
                    thread = threading.Thread(
                        target=self.sendInPieces, args=(connection, data, choose)
                    )
                    thread.start()
                    pieces = receiveAll(connection)
                    thread.join()
                self.assertTrue(pieces == whole, "another answer in pieces")

    def sendInPieces(
        self, connection: socket.socket, data: bytes, choose: random.Random
    ) -> None:
        """
        Send in pieces of any length, most of them short.
        """
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        while data:
            length = int(2 ** choose.uniform(0, 16))
            connection.sendall(data[:length])
            data = data[length:]
        connection.shutdown(socket.SHUT_WR)
