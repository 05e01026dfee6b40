"""
The client as a process of its own, and servers in threads that it meets.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.forkserver import Forked, fork
from tests.functional.processes import TIME_LIMIT, eventually, restoreSignals, script

CLIENT = script("upper-client")


def run(
    *options: str, data: bytes = b"", **more: Any
) -> subprocess.CompletedProcess[bytes]:
    """
    Run the client to its end.

    @param data: its standard input, if that is not among C{more}.
    @param more: its standard input, output and error, as L{subprocess.run} has them.
    """
    with start(*options, **more) as process:
        output, errors = process.communicate(data)
    status = process.returncode
    assert status is not None
    return subprocess.CompletedProcess([CLIENT, *options], status, output, errors)


def start(*options: str, **more: Any) -> Client:
    """
    Start the client.

    @param more: its standard input, output and error, as L{subprocess.Popen} has them.
        What is not among them is a pipe.
    """
    return Client([CLIENT, *options], **more)


def needsTLS(command: list[str]) -> bool:
    """
    Tell whether a client uses TLS, by its options.
    """
    signs = ("--tls", "-A", "-E", "-K", "tls:", "ssl:")
    return any(word.startswith(signs) for word in command)


class Client:
    """
    A process of the client, with what tests use of L{subprocess.Popen}. A fork server
    forks it, if it can (L{fork}).

    @ivar pid: its number.
    @ivar stdin: our end of its standard input, if that is a pipe.
    @ivar stdout: the same, of its standard output.
    @ivar stderr: the same, of its standard error.
    """

    stdin: BinaryIO | None = None
    stdout: BinaryIO | None = None
    stderr: BinaryIO | None = None

    def __init__(self, command: list[str], **standard: Any) -> None:
        """
        Start it.

        @param command: the client and its options.
        @param standard: its standard input, output and error, if they are no pipes.
        """
        with contextlib.ExitStack() as closing:
            theirs: list[int] = []
            for name in ("stdin", "stdout", "stderr"):
                given = standard.pop(name, subprocess.PIPE)
                if given == subprocess.PIPE:
                    reader, writer = os.pipe()
                    given, ours = os.fdopen(writer, "wb"), os.fdopen(reader, "rb")
                    if name == "stdin":
                        given, ours = ours, given
                    setattr(self, name, ours)
                    closing.enter_context(given)
                elif given == subprocess.DEVNULL:
                    given = closing.enter_context(open(os.devnull, "r+b", buffering=0))
                theirs.append(given if isinstance(given, int) else given.fileno())
            assert not standard, standard
            self._process: Forked | subprocess.Popen[bytes]
            forked = fork(command, os.getcwd(), theirs, secured=needsTLS(command))
            self._process = forked or subprocess.Popen(
                command,
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=theirs[2],
                preexec_fn=restoreSignals,
            )
        self.pid = self._process.pid
        self.poll = self._process.poll
        self.wait = self._process.wait
        self.send_signal = self._process.send_signal
        self.kill = self._process.kill

    @property
    def returncode(self) -> int | None:
        """
        How it has ended, as C{Popen} has it; L{None} if nobody has looked.
        """
        return self._process.returncode

    def __enter__(self) -> Client:
        """
        Give the process.
        """
        return self

    def __exit__(self, *failure: object) -> None:
        """
        Close our ends, and wait for its end.
        """
        for stream in (self.stdout, self.stderr, self.stdin):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        try:
            self.wait(TIME_LIMIT)
        finally:
            self.kill()

    def communicate(
        self, data: bytes = b"", timeout: float = TIME_LIMIT
    ) -> tuple[bytes | None, bytes | None]:
        """
        Write, and read to the end of both outputs.

        @return: what came from standard output and standard error, if these are pipes.
        """
        read: dict[str, bytes] = {}

        def write() -> None:
            assert self.stdin is not None
            with contextlib.suppress(BrokenPipeError), self.stdin:
                self.stdin.write(data)

        def readAll(name: str, stream: BinaryIO) -> None:
            read[name] = stream.read()

        threads = []
        if self.stdin is not None:
            threads.append(threading.Thread(target=write, daemon=True))
        for name, stream in ("stdout", self.stdout), ("stderr", self.stderr):
            if stream is not None:
                reading = threading.Thread(
                    target=readAll, args=(name, stream), daemon=True
                )
                threads.append(reading)
        for thread in threads:
            thread.start()
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        for thread in threads:
            thread.join(timeout)
        return read.get("stdout"), read.get("stderr")


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
        listener.settimeout(TIME_LIMIT)

        def serveOne() -> None:
            connection, _ = listener.accept()
            connection.settimeout(TIME_LIMIT)
            with connection:
                conversation(connection)

        thread = threading.Thread(target=serveOne)
        thread.start()
        yield ["--port", str(listener.getsockname()[1])]
        thread.join()


@contextlib.contextmanager
def serveAll(conversation: Callable[[socket.socket], None]) -> Iterator[str]:
    """
    Serve any number of connections at once, each in a thread of its own.

    @param conversation: what to do with each; then it is closed.
    @return: where the server is.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serveOne(connection: socket.socket) -> None:
        connection.settimeout(TIME_LIMIT)
        # A client that goes is no fault of ours.
        with contextlib.suppress(OSError), connection:
            conversation(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                thread = threading.Thread(target=serveOne, args=(connection,))
                threads.append(thread)
                thread.start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        # Whoever waits for one of them, waits no more.
        for each in [listener, *connections]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for thread in threads:
            thread.join()


class ClientTestCase(SynchronousTestCase):
    """
    The client runs to its end.
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


def waitForFullOutput(process: Client) -> None:
    """
    Wait until the client waits for somebody to take its output.
    """
    where = Path(f"/proc/{process.pid}/wchan")
    eventually(lambda: "pipe" in where.read_text(), "a full pipe")
