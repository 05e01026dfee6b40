"""
The client as a process of its own, and servers in threads that it meets.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import TIME_LIMIT, eventually, restoreSignals, script

CLIENT = script("upper-client")


def run(
    *options: str, data: bytes = b"", **more: Any
) -> subprocess.CompletedProcess[bytes]:
    """
    Run the client to its end.
    """
    if "stdin" not in more:
        more["input"] = data
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.run([CLIENT, *options], timeout=TIME_LIMIT, **more)


def start(*options: str, **more: Any) -> subprocess.Popen[bytes]:
    """
    Start the client with pipes.
    """
    pipe = subprocess.PIPE
    more = {"stdin": pipe, "stdout": pipe, "stderr": pipe, **more}
    return subprocess.Popen([CLIENT, *options], preexec_fn=restoreSignals, **more)


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


def waitForFullOutput(process: subprocess.Popen[bytes]) -> None:
    """
    Wait until the client waits for somebody to take its output.
    """
    where = Path(f"/proc/{process.pid}/wchan")
    eventually(lambda: "pipe" in where.read_text(), "a full pipe")
