"""
The C{upper-client} command, through pipes, files and terminals.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from tests.functional.processes import (
    PATIENCE,
    Server,
    eventually,
    receiveAll,
    restoreSignals,
    script,
)

CLIENT = script("upper-client")


def run(
    *options: str, data: bytes = b"", **more: Any
) -> subprocess.CompletedProcess[bytes]:
    """
    Run the client as a filter to its end.
    """
    if "stdin" not in more:
        more["input"] = data
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.run([CLIENT, *options], timeout=PATIENCE, **more)


def start(*options: str, **more: Any) -> subprocess.Popen[bytes]:
    """
    Start the client with pipes.
    """
    pipe = subprocess.PIPE
    more = {"stdin": pipe, "stdout": pipe, "stderr": pipe, **more}
    return subprocess.Popen([CLIENT, *options], preexec_fn=restoreSignals, **more)


def waitForFullOutput(process: subprocess.Popen[bytes]) -> None:
    """
    Wait until the client waits for somebody to take its output.
    """
    where = Path(f"/proc/{process.pid}/wchan")
    eventually(lambda: "pipe" in where.read_text(), "a full pipe")


def folder(test: SynchronousTestCase) -> str:
    """
    Make a folder for the time of a test.
    """
    temporary = tempfile.TemporaryDirectory()
    test.addCleanup(temporary.cleanup)
    return temporary.name


@contextlib.contextmanager
def serve(conversation: Callable[[socket.socket], None]) -> Iterator[list[str]]:
    """
    Serve one connection with blocking calls.

    @param conversation: what to do with it; then it is closed.
    @return: options for a client to get there.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def serveOne() -> None:
            connection, _ = listener.accept()
            connection.settimeout(PATIENCE)
            with connection:
                conversation(connection)

        thread = threading.Thread(target=serveOne)
        thread.start()
        yield ["--port", str(listener.getsockname()[1])]
        thread.join()


def tutorial(connection: socket.socket) -> None:
    """
    Answer like the server of a first tutorial: whatever one C{recv} gives.
    """
    while data := connection.recv(1024).decode():
        connection.send(data.upper().encode())


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
            (["word"], "not an option: word"),
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


class TLSTests(SynchronousTestCase):
    """
    The server is reached over TLS.
    """

    def setUp(self) -> None:
        """
        Make a certificate authority.
        """
        self.authority = Authority(folder(self))

    def serveTLS(
        self,
        certificate: tuple[str, str],
        clientCA: str | None = None,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> contextlib.AbstractContextManager[list[str]]:
        """
        Serve one TLS connection: answer everything at the client's end.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        context.maximum_version = version
        if clientCA is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clientCA)

        def answer(connection: socket.socket) -> None:
            # What goes wrong here the client is asked about.
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(connection, server_side=True) as secured,
            ):
                secured.sendall(receiveAll(secured).upper())
                secured.unwrap()

        return serve(answer)

    def assertRefused(self, options: list[str], said: str, *more: str) -> None:
        """
        Assert that a client refuses to speak, and what it says.
        """
        result = run(*options, *more, data=b"abc\n")
        self.assertEqual(
            (result.returncode, result.stdout, result.stderr.decode()),
            (1, b"", f"upper-client: {said}\n"),
        )

    def test_answers(self) -> None:
        """
        All is answered, whatever the version of TLS: the end of input is told by
        a close_notify, after which the server still answers.
        """
        text = b"some line of a file\n" * 50_000 + b"tail"
        certificate = self.authority.issue("server")
        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
            with self.serveTLS(certificate, version=version) as options:
                result = run(*options, "-A", self.authority.certificate, data=text)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertEqual(result.stdout, text.upper())

    def test_endpoint(self) -> None:
        """
        C{tls:} endpoints do as well.
        """
        certificate = self.authority.issue("server")
        roots = os.path.dirname(self.authority.certificate)
        with self.serveTLS(certificate) as options:
            endpoint = f"tls:localhost:{options[1]}:trustRoots={roots}"
            result = run("--connect", endpoint, data=b"abc\n")
        self.assertEqual(
            (result.returncode, result.stdout, result.stderr), (0, b"ABC\n", b"")
        )

    def test_name(self) -> None:
        """
        The server's name can be another than the host's.
        """
        certificate = self.authority.issue("other", server="upper.example")
        trust = ("--tls-ca", self.authority.certificate)
        with self.serveTLS(certificate) as options:
            result = run(*options, *trust, "--tls-name", "upper.example", data=b"abc")
        self.assertEqual(
            (result.returncode, result.stdout, result.stderr), (0, b"ABC", b"")
        )
        with self.serveTLS(certificate) as options:
            said = "the server's certificate is for another name"
            self.assertRefused(options, said, *trust)

    def test_clientCertificate(self) -> None:
        """
        A client certificate is shown where there is one, and missed where not.
        """
        certificate = self.authority.issue("server")
        trust = ("--tls-ca", self.authority.certificate)
        clientCertificate, key = self.authority.issue("client.example")
        both = Path(folder(self), "file")
        both.write_bytes(Path(clientCertificate).read_bytes() + Path(key).read_bytes())
        for shown in [
            ("--tls-cert", clientCertificate, "--tls-key", key),
            ("--tls-cert", str(both)),
        ]:
            with self.serveTLS(certificate, self.authority.certificate) as options:
                result = run(*options, *trust, *shown, data=b"abc")
            self.assertEqual(
                (result.returncode, result.stdout, result.stderr), (0, b"ABC", b"")
            )
        for version, said in [
            (
                ssl.TLSVersion.TLSv1_3,
                "certificate required (it wants a client certificate)",
            ),
            (
                ssl.TLSVersion.TLSv1_2,
                "handshake failure (it may want a client certificate)",
            ),
        ]:
            serving = self.serveTLS(certificate, self.authority.certificate, version)
            with serving as options:
                said = f"the server refused TLS: {said}"
                self.assertRefused(options, said, *trust)

    def test_unknownClientCertificate(self) -> None:
        """
        A server that does not trust the client's certificate says so.
        """
        certificate = self.authority.issue("server")
        shown, key = self.authority.issue("client.example", selfSigned=True)
        with self.serveTLS(certificate, self.authority.certificate) as options:
            self.assertRefused(
                options,
                "the server refused TLS: unknown ca"
                " (it does not know who signed the client certificate)",
                *("-A", self.authority.certificate, "-E", shown, "-K", key),
            )

    def test_untrusted(self) -> None:
        """
        Each fault of a server's certificate is named.
        """
        for certificate, said in [
            (
                self.authority.issue("self", selfSigned=True),
                "self-signed certificate",
            ),
            (self.authority.issue("expired", days=-9), "certificate has expired"),
            (
                self.authority.issue("future", days=9, start=8),
                "certificate is not yet valid or the system clock is incorrect",
            ),
        ]:
            with self.serveTLS(certificate) as options:
                said = f"the server's certificate is not trusted: {said}"
                self.assertRefused(
                    options, said, "--tls-ca", self.authority.certificate
                )

    def test_unknownAuthority(self) -> None:
        """
        Without C{--tls-ca}, the system's authorities are trusted.
        """
        certificate = self.authority.issue("server")
        with self.serveTLS(certificate) as options:
            self.assertRefused(
                options,
                "the server's certificate is not trusted:"
                " unable to get local issuer certificate",
                *("--tls-name", "localhost"),
            )

    def test_plainServer(self) -> None:
        """
        A server that does not speak TLS is told from one that does.
        """

        def hangUp(connection: socket.socket) -> None:
            connection.recv(1 << 16)

        with Server() as server:
            options = ["-p", str(server.port)]
            said = "the server does not speak TLS (wrong version number)"
            self.assertRefused(options, said, "-A", self.authority.certificate)
        with serve(hangUp) as options:
            self.assertRefused(
                options,
                "the server closed the connection during the TLS handshake:"
                " does it speak TLS?",
                *("-A", self.authority.certificate),
            )

    def test_truncated(self) -> None:
        """
        A TLS server that goes without a close_notify has cut the conversation
        off, although TCP ended cleanly.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.authority.issue("server"))

        def hangUp(connection: socket.socket) -> None:
            with context.wrap_socket(
                connection, server_side=True, suppress_ragged_eofs=False
            ) as secured:
                secured.sendall(receiveAll(secured).upper())

        with serve(hangUp) as options:
            result = run(*options, "-A", self.authority.certificate, data=b"abc\n")
        self.assertEqual(
            (result.returncode, result.stdout, result.stderr),
            (1, b"ABC\n", b"upper-client: the connection was cut off\n"),
        )


class Person:
    """
    A client on a terminal, and who sits there.
    """

    def __init__(self, *options: str, stdout: int | None = None) -> None:
        """
        @param options: for the client.
        @param stdout: where its output goes, if not to the terminal.
        """
        self._ours, self._theirs = pty.openpty()
        self.settings = termios.tcgetattr(self._theirs)
        # setsid makes it the controlling terminal, whose Ctrl-C is a signal.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", CLIENT, *options],
            stdin=self._theirs,
            stdout=self._theirs if stdout is None else stdout,
            stderr=self._theirs,
            preexec_fn=restoreSignals,
        )
        self._screen = b""

    def __enter__(self) -> Person:
        """
        Sit down.
        """
        return self

    def __exit__(self, *failure: object) -> None:
        """
        Go.
        """
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self._ours)
        os.close(self._theirs)

    def type(self, text: str) -> None:
        """
        Press some keys.
        """
        os.write(self._ours, text.encode())

    def sees(self, text: str) -> None:
        """
        Wait until the screen shows some text next.

        @param text: all that has been shown since the last call.
        """
        expected = text.replace("\n", "\r\n").encode()
        while len(self._screen) < len(expected):
            if not expected.startswith(self._screen):
                break
            if not select.select([self._ours], [], [], PATIENCE)[0]:
                break
            self._screen += os.read(self._ours, 1 << 16)
        shown, self._screen = (
            self._screen[: len(expected)],
            self._screen[len(expected) :],
        )
        if shown != expected:
            raise AssertionError(f"{shown + self._screen!r} is shown, not {expected!r}")

    def leaves(self) -> int:
        """
        Wait for the end.

        @return: the status, when nothing more has been shown and the terminal is
            as it was.
        """
        status = self.process.wait(PATIENCE)
        if select.select([self._ours], [], [], 0)[0]:
            self._screen += os.read(self._ours, 1 << 16)
        if self._screen:
            raise AssertionError(f"{self._screen!r} is shown, too")
        if termios.tcgetattr(self._theirs) != self.settings:
            raise AssertionError("the terminal has been changed")
        if fcntl.fcntl(self._theirs, fcntl.F_GETFL) & os.O_NONBLOCK:
            raise AssertionError("O_NONBLOCK has been left behind")
        return status


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

    def test_endOfInputWithinLine(self) -> None:
        """
        What stands on the line at the end of input is answered before.
        """
        with Server() as server, Person("-p", str(server.port)) as person:
            person.sees(" -> ")
            person.type("abc\x04\x04")
            person.sees("abc\nReceived from server: ABC\n")
            self.assertEqual(person.leaves(), 0)

    def test_interrupt(self) -> None:
        """
        Ctrl-C leaves with 130 and a new line.
        """
        with Server() as server, Person("-p", str(server.port)) as person:
            person.sees(" -> ")
            person.type("\x03")
            person.sees("^C\n")
            self.assertEqual(person.leaves(), 130)

    def test_paste(self) -> None:
        """
        Many lines at once are many messages.
        """
        lines = [f"line {number} ä" for number in range(300)]
        answers = "".join(f"Received from server: {each.upper()}\n" for each in lines)
        with Server() as server, Person("-p", str(server.port)) as person:
            person.sees(" -> ")
            # The echo comes in between the answers; without, the order is known.
            settings = termios.tcgetattr(person._theirs)
            settings[3] &= ~termios.ECHO
            termios.tcsetattr(person._theirs, termios.TCSANOW, settings)
            person.settings = settings
            person.type("".join(f"{each}\n" for each in [*lines, "q", "never sent"]))
            person.sees(answers)
            self.assertEqual(person.leaves(), 0)

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
        A server that is not there is told before any prompt.
        """
        with Person("-c", "unix:/nowhere/socket") as person:
            person.sees(
                "upper-client: cannot connect to unix:/nowhere/socket:"
                " No such file or directory\n"
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
                person.sees(f"{message}\nReceived from server: {message.upper()}\n -> ")
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
