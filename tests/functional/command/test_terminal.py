"""
C{upper-client} on a terminal.
"""

from __future__ import annotations

import os
import re
import signal
import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.command.client import serve
from tests.functional.command.faulty import silent, tutorial
from tests.functional.command.person import Person
from tests.functional.processes import TIME_LIMIT, Server


class TerminalTests(SynchronousTestCase):
    """
    A person sits at a terminal.
    """

    def test_conversation(self) -> None:
        """
        Each message is answered, in any script, until C{q}.
        """
        with Server() as server, Person("-p", str(server.port)) as person:
            person.sees(" -> ")
            for message in [
                "I am Simon",
                "straße",
                "καλημέρα",
                "你好",
                "e\N{COMBINING ACUTE ACCENT}a\N{COMBINING DIAERESIS}",
                "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER} x",
                "",
                "qq",
            ]:
                person.type(f"{message}\n")
                person.sees(f"{message}\nReceived from server: {message.upper()}\n -> ")
            person.type("q\n")
            person.sees("q\n")
            self.assertEqual(person.leaves(), 0)

    def test_endOfInput(self) -> None:
        """
        Ctrl-D leaves, on a new line.
        """
        with Server() as server, Person("-p", str(server.port)) as person:
            person.sees(" -> ")
            person.type("\x04")
            person.sees("\n")
            self.assertEqual(person.leaves(), 0)

    def test_editing(self) -> None:
        """
        The line can be edited, and earlier ones come back, as in Python's C{input}.
        """
        with Server() as server, Person("-p", str(server.port)) as person:
            person.sees(" -> ")
            person.type("bc\x01a\n")
            person.shows("Received from server: ABC\n -> ")
            person.type("\x1b[Ad\n")
            person.shows("Received from server: ABCD\n -> ")
            # A tab is a text, and so is what is no UTF-8.
            person.type("e\tf\n")
            person.shows("Received from server: E\\tF\n -> ")
            person.type("\udcff\n")
            person.shows("Received from server: error: invalid UTF-8 at byte 1\n -> ")
            person.type("q\n")
            person.sees("q\n")
            self.assertEqual(person.leaves(), 0)

    def test_interrupt(self) -> None:
        """
        Ctrl-C leaves with 130 and a new line, also within a line, and while an
        answer is waited for.
        """
        with Server() as server, Person("-p", str(server.port)) as person:
            person.sees(" -> ")
            person.type("abc")
            person.sees("abc")
            person.type("\x03")
            person.sees("\n")
            self.assertEqual(person.leaves(), 130)
        with serve(silent) as options, Person(*options) as person:
            person.sees(" -> ")
            person.type("abc\n")
            person.sees("abc\n")
            person.type("\x03")
            # Its driver shows ^C, if it has the terminal back already.
            person.shows("\n")
            self.assertEqual(person.leaves(), 130)

    def test_terminated(self) -> None:
        """
        Whoever ends it by a signal gets the terminal back as it was.
        """
        with Server() as server, Person("-p", str(server.port)) as person:
            person.sees(" -> ")
            person.process.terminate()
            self.assertEqual(person.leaves(), -signal.SIGTERM)

    def test_paste(self) -> None:
        """
        Many lines at once are many messages, each sent when the one before it has
        been answered.
        """
        lines = [f"line {number} ä" for number in range(200)]
        with Server() as server, Person("-p", str(server.port)) as person:
            person.sees(" -> ")
            person.type("".join(f"{each}\n" for each in [*lines, "q", "never sent"]))
            shown = person.showsUntil(b"199 \xc3\x84\r\n")
            # What the terminal's driver echoes between two lines may be cut anywhere.
            text = shown.decode("utf-8", "replace")
            answers = re.findall(r"Received from server: (.*)\r\n", text)
            self.assertEqual(answers, [line.upper() for line in lines])
            self.assertEqual(person.process.wait(TIME_LIMIT), 0)

    def test_controls(self) -> None:
        """
        What a server sends does nothing to the terminal.
        """

        def clear(connection: socket.socket) -> None:
            connection.recv(100)
            connection.sendall(b"\x1b[2J\x9b\r\n")
            connection.recv(100)

        with serve(clear) as options, Person(*options) as person:
            person.sees(" -> ")
            person.type("a\n")
            person.sees("a\nReceived from server: \\x1b[2J\\x9b\\r\n -> ")
            person.type("q\n")
            person.sees("q\n")
            self.assertEqual(person.leaves(), 0)

    def test_serverGoesWhileTyping(self) -> None:
        """
        That is said at once also within a line.
        """
        with Server() as server, Person("-p", str(server.port)) as person:
            person.sees(" -> ")
            person.type("half a line")
            person.sees("half a line")
            server.waitFor("Connection from")
            server.process.kill()
            person.sees("\nupper-client: the server closed the connection\n")
            self.assertEqual(person.leaves(), 1)

    def test_serverGoes(self) -> None:
        """
        When the server goes, that is said at once, without a key.
        """
        with Server() as server, Person("-p", str(server.port)) as person:
            person.sees(" -> ")
            server.waitFor("Connection from")
            server.process.kill()
            person.sees("\nupper-client: the server closed the connection\n")
            self.assertEqual(person.leaves(), 1)

    def test_lastWord(self) -> None:
        """
        What the server says unasked is shown.
        """
        options = ("--port", "0", "--idle-timeout", "0.1")
        with Server(*options) as server, Person("-p", str(server.port)) as person:
            person.sees(
                " -> \nReceived from server: error: idle for 0.1 s\n"
                "upper-client: the server closed the connection\n"
            )
            self.assertEqual(person.leaves(), 1)

    def test_refused(self) -> None:
        """
        A server that is not there is told, and explained, before any prompt.
        """
        with Person("-c", "unix:/nowhere/socket") as person:
            person.sees(
                "upper-client: cannot connect to unix:/nowhere/socket:"
                " No such file or directory\n"
                "  The connection could not be made.\n"
                "  Usual cause: See the reason of the system in the line above.\n"
            )
            self.assertEqual(person.leaves(), 1)

    def test_tutorial(self) -> None:
        """
        A server that knows no lines answers messages of any length.
        """
        with serve(tutorial) as options, Person(*options) as person:
            person.sees(" -> ")
            for message in ["I am Simon", "straße", "x" * 3000]:
                person.type(f"{message}\n")
                person.shows(f"\nReceived from server: {message.upper()}\n -> ")
            person.type("q\n")
            person.sees("q\n")
            self.assertEqual(person.leaves(), 0)

    def test_outputIsNoTerminal(self) -> None:
        """
        Where only the input is a terminal, the client is a filter.
        """
        reader, writer = os.pipe()
        with (
            Server() as server,
            Person("-p", str(server.port), stdout=writer) as person,
        ):
            os.close(writer)
            with os.fdopen(reader, "rb") as output:
                person.type("abc\nq\n")
                person.sees("abc\nq\n")
                self.assertEqual(output.read(6), b"ABC\nQ\n")
                person.type("\x04")
                self.assertEqual(output.read(), b"")
            self.assertEqual(person.leaves(), 0)
