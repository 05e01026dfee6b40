"""
C{upper-client} as a filter, through pipes and files.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.command.client import CLIENT, folder, run, serve, start
from tests.functional.command.faulty import tutorial
from tests.functional.processes import PATIENCE, Server, eventually, receiveAll


def waitForFullOutput(process: subprocess.Popen[bytes]) -> None:
    """
    Wait until the client waits for somebody to take its output.
    """
    where = Path(f"/proc/{process.pid}/wchan")
    eventually(lambda: "pipe" in where.read_text(), "a full pipe")


class FilterTests(SynchronousTestCase):
    """
    Standard input is a pipe or a file.
    """

    def assertEnded(
        self,
        result: subprocess.CompletedProcess[bytes],
        status: int,
        output: bytes,
        errors: str = "",
    ) -> None:
        """
        Assert the whole outcome of a run.
        """
        self.assertEqual(
            (result.returncode, result.stdout, result.stderr.decode()),
            (status, output, errors),
        )

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
            ours.settimeout(PATIENCE)
            process = start("-p", str(server.port), stdin=theirs, stdout=theirs)
            theirs.close()
            ours.sendall(b"abc\n")
            ours.shutdown(socket.SHUT_WR)
            self.assertEqual(receiveAll(ours), b"ABC\n")
            self.assertEqual(process.communicate(timeout=PATIENCE), (None, b""))
            self.assertEqual(process.returncode, 0)

    def test_answersComeAsTheyAre(self) -> None:
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

    def test_full(self) -> None:
        """
        Output that cannot be written is one clear line.
        """
        with Server() as server, open("/dev/full", "w") as full:
            result = run("-p", str(server.port), data=b"a\n", stdout=full)
            self.assertEqual(result.returncode, 1)
            self.assertEqual(
                result.stderr,
                b"upper-client: cannot write standard output:"
                b" No space left on device\n",
            )

    def test_unreadable(self) -> None:
        """
        Input that cannot be read is one clear line.
        """
        with Server() as server, open(os.devnull, "w") as onlyForWriting:
            result = run("-p", str(server.port), stdin=onlyForWriting)
        self.assertEnded(
            result,
            1,
            b"",
            "upper-client: cannot read standard input: Bad file descriptor\n",
        )

    def test_closedDescriptors(self) -> None:
        """
        Standard input or output that is closed is one clear line.
        """
        for redirection, name in [("<&-", "input"), (">&-", "output")]:
            result = subprocess.run(
                ["sh", "-c", f'exec "$0" {redirection}', CLIENT],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PATIENCE,
            )
            said = f"upper-client: standard {name} is closed\n"
            self.assertEnded(result, 1, b"", said)

    def test_closedError(self) -> None:
        """
        Where standard error is closed, the status alone tells.
        """
        for redirection in ["2>&-", "2>/dev/full"]:
            result = subprocess.run(
                ["sh", "-c", f'exec "$0" --port x {redirection}', CLIENT],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=PATIENCE,
            )
            self.assertEqual((result.returncode, result.stdout), (2, b""))

    def test_helpThatNobodyReads(self) -> None:
        """
        Help into a pipe that is closed is quiet, and into a full disk an error.
        """
        reader, writer = os.pipe()
        os.close(reader)
        for output, ended in [
            (writer, (0, b"")),
            (
                os.open("/dev/full", os.O_WRONLY),
                (
                    1,
                    b"upper-client: cannot write standard output: No space left on"
                    b" device\n",
                ),
            ),
        ]:
            self.addCleanup(os.close, output)
            result = subprocess.run(
                [CLIENT, "--help"],
                stdout=output,
                stderr=subprocess.PIPE,
                timeout=PATIENCE,
            )
            self.assertEqual((result.returncode, result.stderr), ended)

    def test_ignoredInterrupt(self) -> None:
        """
        Whoever has it ignore SIGINT, as a shell does in the background, is not
        overruled.
        """
        ignore = ["sh", "-c", 'trap "" INT; exec "$0" "$@"']
        with Server() as server:
            result = subprocess.run(
                [*ignore, CLIENT, "--port", str(server.port)],
                input=b"abc\n",
                capture_output=True,
                timeout=PATIENCE,
            )
        self.assertEqual((result.returncode, result.stdout), (0, b"ABC\n"))

    def test_descriptorsAreLeftAlone(self) -> None:
        """
        No flag of the inherited descriptors is changed, not even for a while.
        """
        (childIn, ourIn), (ourOut, childOut), (ourErr, childErr) = (
            os.pipe() for _ in range(3)
        )
        for each in (childIn, ourIn, ourOut, childOut, ourErr, childErr):
            self.addCleanup(os.close, each)
        shared = [childIn, childOut, childErr]

        def flags() -> list[int]:
            return [fcntl.fcntl(each, fcntl.F_GETFL) for each in shared]

        before = flags()
        with Server() as server:
            process = start(
                "-p", str(server.port), stdin=childIn, stdout=childOut, stderr=childErr
            )
            os.write(ourIn, b"abc\n")
            self.assertEqual(os.read(ourOut, 4), b"ABC\n")
            self.assertEqual(flags(), before)
            process.kill()
            process.wait(PATIENCE)
        self.assertEqual(flags(), before)

    def test_nonBlockingDescriptors(self) -> None:
        """
        Descriptors that somebody else has made non-blocking do as well.
        """
        source, target = os.pipe(), os.pipe()
        os.set_blocking(source[0], False)
        os.set_blocking(target[1], False)
        with Server() as server:
            process = start("-p", str(server.port), stdin=source[0], stdout=target[1])
            os.close(source[0])
            os.close(target[1])
            text = b"some line of a file\n" * 50_000
            with os.fdopen(source[1], "wb") as stdin:
                feeder = threading.Thread(target=lambda: stdin.write(text))
                feeder.start()
                with os.fdopen(target[0], "rb") as stdout:
                    self.assertEqual(stdout.read(len(text)), text.upper())
                    feeder.join()
                    stdin.close()
                    self.assertEqual(stdout.read(), b"")
            self.assertEqual(process.communicate(timeout=PATIENCE), (None, b""))
        self.assertEqual(process.returncode, 0)

    def test_interrupt(self) -> None:
        """
        Ctrl-C leaves with 130 and a new line, and nothing else.
        """
        with Server() as server, start("-p", str(server.port)) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(b"abc\n")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), b"ABC\n")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(PATIENCE), 130)
            assert process.stderr is not None
            self.assertEqual(
                (process.stdout.read(), process.stderr.read()), (b"", b"\n")
            )

    def test_interruptFullOutput(self) -> None:
        """
        Ctrl-C leaves also while nobody takes the output.
        """
        with (
            Server() as server,
            open("/dev/zero") as endless,
            start("-p", str(server.port), stdin=endless) as process,
        ):
            waitForFullOutput(process)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(PATIENCE), 130)
            assert process.stderr is not None
            self.assertEqual(process.stderr.read(), b"\n")

    def test_refused(self) -> None:
        """
        A server that is not there is one clear line.
        """
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            result = run("-p", str(port))
        said = f"cannot connect to 127.0.0.1:{port}: Connection refused"
        self.assertEnded(result, 1, b"", f"upper-client: {said}\n")

    def test_unresolvable(self) -> None:
        """
        A name that is none is one clear line.
        """
        result = run("-H", "unknown.invalid")
        said = "cannot connect to unknown.invalid:5000: no such host"
        self.assertEnded(result, 1, b"", f"upper-client: {said}\n")

    def test_noSocket(self) -> None:
        """
        A UNIX socket that is not there is one clear line.
        """
        result = run("-c", "unix:/nowhere/socket")
        said = "cannot connect to unix:/nowhere/socket: No such file or directory"
        self.assertEnded(result, 1, b"", f"upper-client: {said}\n")

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
            self.assertEqual(process.wait(PATIENCE), 1)
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
        self.assertEnded(result, 1, b"", "upper-client: the connection was cut off\n")

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
