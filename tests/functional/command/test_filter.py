"""
C{upper-client} as a filter, through pipes and files.
"""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

from tests.functional.command.client import (
    ClientTestCase,
    folder,
    run,
    start,
    waitForFullOutput,
)
from tests.functional.processes import TIME_LIMIT, Server, receiveAll


class FilterTests(ClientTestCase):
    """
    Standard input is a pipe or a file.
    """

    def test_pipe(self) -> None:
        """
        Exactly the answers come out, that to a tail without a line end too.
        """
        with Server() as server:
            result = run("-p", str(server.port), data="straße\n\r\nabc".encode())
        self.assertEnded(result, 0, b"STRASSE\n\r\nABC")

    def test_errors(self) -> None:
        """
        Error lines of the server are answers.
        """
        with Server() as server:
            result = run("-p", str(server.port), data=b"a\nb\xff\nc")
        self.assertEnded(result, 0, b"A\nerror: invalid UTF-8 at byte 2\nC")

    def test_file(self) -> None:
        """
        Input can be a file, which epoll refuses, and output another one.
        """
        source, target = (Path(folder(self), name) for name in ("source", "target"))
        source.write_bytes(b"some line of a file\n" * 100_000)
        with Server() as server, source.open() as stdin, target.open("w") as stdout:
            result = run("-p", str(server.port), stdin=stdin, stdout=stdout)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertEqual(target.read_bytes(), b"SOME LINE OF A FILE\n" * 100_000)

    def test_nothing(self) -> None:
        """
        No input has no answer.
        """
        with Server() as server:
            result = run("-p", str(server.port), stdin=subprocess.DEVNULL)
        self.assertEnded(result, 0, b"")

    def test_socketAsInput(self) -> None:
        """
        Input and output can be one socket, as C{inetd} gives it.
        """
        ours, theirs = socket.socketpair()
        with Server() as server, ours, theirs:
            ours.settimeout(TIME_LIMIT)
            process = start("-p", str(server.port), stdin=theirs, stdout=theirs)
            theirs.close()
            ours.sendall(b"abc\n")
            ours.shutdown(socket.SHUT_WR)
            self.assertEqual(receiveAll(ours), b"ABC\n")
            self.assertEqual(process.communicate(timeout=TIME_LIMIT), (None, b""))
            self.assertEqual(process.returncode, 0)

    def test_expectedComeAsTheyAre(self) -> None:
        """
        Answers are written before the end of input.
        """
        with Server() as server, start("-p", str(server.port)) as process:
            assert process.stdin is not None and process.stdout is not None
            for _ in range(3):
                process.stdin.write(b"abc\n")
                process.stdin.flush()
                self.assertEqual(process.stdout.readline(), b"ABC\n")
            process.stdin.close()
            self.assertEqual(process.stdout.read(), b"")
        self.assertEqual(process.returncode, 0)

    def test_memory(self) -> None:
        """
        While nobody reads the answers, nothing piles up; then all of them come.
        """
        size = 128 * 1024 * 1024
        source = Path(folder(self), "file")
        with source.open("wb") as sparse:
            sparse.truncate(size)
        with (
            Server() as server,
            source.open() as stdin,
            start("-p", str(server.port), stdin=stdin) as process,
        ):
            assert process.stdout is not None
            waitForFullOutput(process)
            received = 0
            peak = 0
            while chunk := process.stdout.read(1 << 20):
                self.assertEqual(chunk.count(b"\0"), len(chunk))
                received += len(chunk)
                status = Path(f"/proc/{process.pid}/status").read_text()
                found = re.search(r"VmHWM:\s*(\d+) kB", status)
                peak = int(found.group(1)) * 1024 if found else peak
        self.assertEqual((received, process.returncode), (size, 0))
        self.assertTrue(0 < peak < size / 2, peak)

    def test_head(self) -> None:
        """
        When nobody reads the output any more, that is a quiet end.
        """
        source = Path(folder(self), "file")
        source.write_bytes(b"some line of a file\n" * 1_000_000)
        with (
            Server() as server,
            source.open() as stdin,
            start("-p", str(server.port), stdin=stdin) as process,
        ):
            assert process.stdout is not None and process.stderr is not None
            self.assertEqual(process.stdout.readline(), b"SOME LINE OF A FILE\n")
            process.stdout.close()
            self.assertEqual(process.stderr.read(), b"")
        self.assertEqual(process.returncode, 0)
