"""
How C{upper-client} ends, where it should not.
"""

from __future__ import annotations

import os
import re
import socket
import struct
from subprocess import CompletedProcess

from tests.functional.command.client import (
    ClientTestCase,
    folder,
    run,
    serve,
    start,
)
from tests.functional.command.faulty import tutorial
from tests.functional.processes import TIME_LIMIT, Server, receiveAll


class EndTests(ClientTestCase):
    """
    Servers that are not there, or go; and wrong usage.
    """

    def test_refused(self) -> None:
        """
        A server that is not there is one clear line, and then what it can mean.
        """
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            result = run("-p", str(port))
        said = f"cannot connect to 127.0.0.1:{port}: Connection refused"
        self.assertNotConnected(
            result, said, "The machine can be reached, but nothing listens"
        )

    def test_unresolvable(self) -> None:
        """
        A name that has no address is one clear line, and then what it can mean.
        """
        result = run("-H", "unknown.invalid")
        said = "cannot connect to unknown.invalid:5000: no such host"
        self.assertNotConnected(result, said, "From here, the name has no address.")

    def test_noSocket(self) -> None:
        """
        A UNIX socket that is not there is one clear line, and then what it can mean.
        """
        result = run("-c", "unix:/nowhere/socket")
        said = "cannot connect to unix:/nowhere/socket: No such file or directory"
        self.assertNotConnected(result, said, "The connection could not be made.")

    def assertNotConnected(
        self, result: CompletedProcess[bytes], said: str, meaning: str
    ) -> None:
        """
        The client has ended with a message, and explains it.
        """
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        first, second, *more = result.stderr.decode().splitlines()
        self.assertEqual(first, f"upper-client: {said}")
        self.assertTrue(second.startswith(f"  {meaning}"), second)
        self.assertTrue(any(line.startswith("  Usual cause: ") for line in more), more)

    def test_unixSocket(self) -> None:
        """
        A server can be reached by any endpoint.
        """
        path = f"{folder(self)}/socket"
        with Server("--listen", f"unix:{path}"):
            result = run("--connect", f"unix:{path}", data=b"abc\ndef")
        self.assertEnded(result, 0, b"ABC\nDEF")

    def test_endBeforeEndOfInput(self) -> None:
        """
        A server that goes before the end of input has cut the conversation off,
        which ends at once.
        """

        def answerOnce(connection: socket.socket) -> None:
            connection.sendall(connection.recv(100).upper())

        with serve(answerOnce) as options, start(*options) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(b"abc\n")
            process.stdin.flush()
            self.assertEqual(process.wait(TIME_LIMIT), 1)
            assert process.stderr is not None
            self.assertEqual(process.stdout.read(), b"ABC\n")
            self.assertEqual(
                process.stderr.read(),
                b"upper-client: the server closed the connection before the end of"
                b" input\n",
            )

    def test_endBeforeLastAnswer(self) -> None:
        """
        A server, or a proxy, that ends its side cleanly but has not answered
        everything, has cut the conversation off.
        """
        for text, answer in [
            (b"abc\ndef\n", b"ABC\n"),
            (b"abc\ndef", b"ABC\n"),
            ("äöü\nabc\n".encode(), "ÄÖÜ\n".encode()),
            ("abc\näöü".encode(), b"ABC\n"),
            (b"abc\n", b"error: too many connections\n"),
            # As many bytes as were asked, and all of them an error.
            (b"x" * 27 + b"\n", b"error: too many connections\n"),
            # A line that was sent with its end has no answer without one.
            (("ö" * 1000 + "\n").encode(), ("Ö" * 400).encode()),
            (("ö\n" * 100).encode(), ("Ö\n" * 99 + "Ö").encode()),
        ]:

            def answerInPart(connection: socket.socket, part: bytes = answer) -> None:
                receiveAll(connection)
                connection.sendall(part)

            with serve(answerInPart) as options:
                result = run(*options, data=text)
            said = "the server closed the connection before its last answer"
            self.assertEnded(result, 1, answer, f"upper-client: {said}\n")

    def test_reset(self) -> None:
        """
        A reset has cut the conversation off.
        """

        def reset(connection: socket.socket) -> None:
            connection.recv(100)
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        with serve(reset) as options:
            result = run(*options, data=b"abc\n")
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        self.assertRegex(
            result.stderr.decode(),
            "^upper-client: the connection was cut off, and nothing came; if the server"
            " speaks TLS, ask with --tls, .*\n$",
        )

    def test_tutorial(self) -> None:
        """
        A server that knows no lines serves a filter, too.
        """
        with serve(tutorial) as options:
            result = run(*options, data=b"abc\ndef")
        self.assertEnded(result, 0, b"ABC\nDEF")

    def test_wrongUsage(self) -> None:
        """
        Wrong usage is one line with a hint, and status 2.
        """
        for options, said in [
            (["--nonsense"], "option --nonsense not recognized"),
            (["a", "1", "word"], "not an option: word"),
            (
                ["ping", "-c", "0"],
                "--count takes a whole number, 1 to 1000000000, not '0'",
            ),
            (["ask"], "ask needs a TEXT"),
            (["ask", "a\nb"], "ask takes one line, and the TEXT has more"),
            (
                ["-c", "tcp:127.0.0.1"],
                "not an endpoint: tcp:127.0.0.1: it is tcp:HOST:PORT and words with =",
            ),
            (["-p", "70000"], "--port takes a whole number, 1 to 65535, not '70000'"),
            (["-c", "5000"], "not an endpoint: 5000: Unknown endpoint type: '5000'"),
        ]:
            result = run(*options)
            self.assertEnded(
                result, 2, b"", f"upper-client: {said} (see upper-client --help)\n"
            )

    def test_help(self) -> None:
        """
        C{--help} and C{--version} say what they should, if anybody reads it.
        """
        result = run("--help")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertIn(b"--port", result.stdout)
        result = run("--version")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertTrue(re.fullmatch(rb"upper-client \d+\.\d+.*\n", result.stdout))
        reader, writer = os.pipe()
        os.close(reader)
        result = run("--help", stdout=writer)
        os.close(writer)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
