"""
No peer can forge, flood or stop the log; and without a log, it serves on.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import tempfile
import termios
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import PATIENCE, Server, eventually, script

# What begins each record.
RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[[^\]]*\] ")


class ForgeryTests(SynchronousTestCase):
    """
    A log that shows what peers say.
    """

    def test_records(self) -> None:
        """
        Whatever a peer says, each line of the log is a record of ours, and no
        character of it is one that a terminal would obey.
        """
        forged = "2026-01-01T00:00:00+0000 [upper] forged"
        lines = [
            *(f"{chr(code)}{forged}" for code in range(0x100) if code != 0x0A),
            *(f"{chr(code)}{forged}" for code in range(0x2000, 0x2070)),
            "\ufeff" + forged,
            "\U000e0041" + forged,
            f"\\n{forged}",
        ]
        invalid = [bytes([byte]) + forged.encode() for byte in range(0x80, 0x100)]
        said = b"\n".join([line.encode() for line in lines] + invalid)
        with Server("--log", "lines") as server:
            server.ask(said)
            server.waitFor("closed by the client")
            log = server.logBytes()
        for record in log.decode().removesuffix("\n").split("\n"):
            self.assertRegex(record, RECORD)
            self.assertTrue(record.isprintable(), ascii(record))
        heard = re.findall(rb"from connected user: (.*)", log)
        self.assertEqual(len(heard), len(lines) + len(invalid))

    def test_refusals(self) -> None:
        """
        It is the same when the peer is turned away: what it says is not logged.
        """
        with Server("--log", "lines", "--max-connections", "1") as server:
            with server.connect() as first:
                first.sendall(b"a\n")
                first.recv(10)
                self.assertEqual(
                    server.ask(b"forged\n"), b"error: too many connections\n"
                )
            server.waitFor("too many connections;")
            self.assertNotIn("forged", server.log())


class InvalidInputTests(SynchronousTestCase):
    """
    Input that is not UTF-8.
    """

    def test_inPlace(self) -> None:
        """
        Each invalid line is answered by one error line, in its place.
        """
        with Server() as server:
            answer = server.ask(b"a\n\xff\nb\nc\xc3\nd\n" * 1000)
        self.assertEqual(
            answer,
            b"A\nerror: invalid UTF-8 at byte 1\nB\n"
            b"error: invalid UTF-8 at byte 2\nD\n" * 1000,
        )

    def test_smallInTheLog(self) -> None:
        """
        A megabyte of it adds two lines to the log, and no traceback.
        """
        with Server() as server:
            before = len(server.log().splitlines())
            answer = server.ask(b"\xff\n" * 500_000)
            self.assertEqual(answer.count(b"error: invalid UTF-8 at byte 1\n"), 500_000)
            server.waitFor("closed by the client")
            self.assertEqual(len(server.log().splitlines()), before + 2)


class OutputTests(SynchronousTestCase):
    """
    C{twistd --nodaemon}, whose standard output is not a file.
    """

    def setUp(self) -> None:
        """
        Make a folder for the socket, with a short name, as sockets need it.
        """
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def serve(
        self,
        output: int,
        talk: Callable[[str], None],
        runner: tuple[str, ...] = ("twistd", "--nodaemon", "--pidfile="),
    ) -> subprocess.Popen[bytes]:
        """
        Start a server, call something, send SIGTERM and wait for the end.

        @param output: its standard output and error; it is closed here.
        @param talk: called with the path of its UNIX socket.
        """
        path = f"{self.folder}/socket"
        program, *itsOptions = runner
        arguments = ["--log", "lines", "--drain", "0", "--listen", f"unix:{path}"]
        with subprocess.Popen(
            [script(program), *itsOptions, "upper", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process:
            os.close(output)
            try:
                eventually(lambda: os.path.exists(path), "the socket")
                talk(path)
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(PATIENCE), -signal.SIGTERM)
            finally:
                process.kill()
        return process

    def ask(self, path: str, count: int = 1) -> None:
        """
        Have some lines answered.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(path)
            for _ in range(count):
                connection.sendall(b"a" * 999 + b"\n")
                answer = connection.recv(1000, socket.MSG_WAITALL)
                self.assertEqual(answer, b"A" * 999 + b"\n")

    def test_pipeThatNobodyReads(self) -> None:
        """
        When nobody reads the pipe that it logs to, it serves on, and it ends
        when it is told to.
        """
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.serve(writer, lambda path: self.ask(path, 2000))

    def test_pipeThatIsReadAgain(self) -> None:
        """
        When somebody reads on, the log goes on with whole records, and says how
        many were lost.
        """
        reader, writer = os.pipe()
        log = bytearray()

        def talk(path: str) -> None:
            self.ask(path, 2000)
            while b"of the log are lost" not in log:
                log.extend(os.read(reader, 1 << 20))
                self.ask(path)

        self.serve(writer, talk)
        while chunk := os.read(reader, 1 << 20):
            log.extend(chunk)
        os.close(reader)
        records = log.decode().removesuffix("\n").split("\n")
        for record in records:
            self.assertRegex(record, RECORD)
        self.assertIn("Server Shut Down", records[-1])
        spoken = re.findall(r"from connected user: (.*)|sending: (.*)", log.decode())
        self.assertEqual(
            set(spoken), {("a" * 999, ""), ("", "A" * 999)}, "a record was cut"
        )
        lost = re.findall(r"(\d+) lines of the log are lost", log.decode())
        self.assertEqual(len(lost), 1)
        self.assertGreater(int(lost[0]), 0)

    def test_pipeWhoseReaderHasGone(self) -> None:
        """
        When the reader of the pipe has gone, it serves on.
        """
        reader, writer = os.pipe()

        def talk(path: str) -> None:
            os.close(reader)
            self.ask(path, 500)

        self.serve(writer, talk)

    def test_terminalThatIsStopped(self) -> None:
        """
        When somebody has typed Ctrl-S in its terminal, it serves on.
        """
        terminal, writer = pty.openpty()
        self.addCleanup(os.close, terminal)
        keep = os.dup(writer)
        self.addCleanup(os.close, keep)

        def talk(path: str) -> None:
            termios.tcflow(keep, termios.TCOOFF)
            self.ask(path, 500)

        self.serve(writer, talk)

    def test_fullDisk(self) -> None:
        """
        When the disk is full, it serves on.
        """
        output = os.open("/dev/full", os.O_WRONLY)
        self.serve(output, lambda path: self.ask(path, 100))

    def test_twist(self) -> None:
        """
        It is the same with C{twist}.
        """
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.serve(writer, lambda path: self.ask(path, 2000), runner=("twist",))

    def test_fileKeepsAll(self) -> None:
        """
        A file loses nothing, and has each record before the next is made.
        """
        path = Path(self.folder, "log")
        output = os.open(path, os.O_WRONLY | os.O_CREAT)
        self.serve(output, lambda socketPath: self.ask(socketPath, 2000))
        log = path.read_text()
        self.assertEqual(log.count("from connected user"), 2000)
        self.assertNotIn("lost", log)
