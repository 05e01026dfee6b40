"""
Processes and ports for the tests of what starts and stops them: none is real, but for
sockets that are bound to the loopback interface.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.error import (
    ProcessDone,
    ProcessExitedAlready,
    ProcessTerminated,
)
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from upperproto.processes.restartedprocess import CONTROL, STDERR, STDOUT


class FakeProcess:
    """
    A process that a test lets speak and end.

    @ivar signals: those that it was sent.
    @ivar paused: whether what it says is not read.
    """

    def __init__(self, protocol: ProcessProtocol) -> None:
        """
        @param protocol: the one that it was started with.
        """
        self.pid = 4711
        self.signals: list[str] = []
        self.paused = False
        self._protocol = protocol
        self._ended = False
        protocol.makeConnection(self)

    def signalProcess(self, name: str) -> None:
        """
        Take note of a signal.
        """
        if self._ended:
            raise ProcessExitedAlready
        self.signals.append(name)

    def pauseProducing(self) -> None:
        """
        Let it speak, and nobody read.
        """
        self.paused = True

    def resumeProducing(self) -> None:
        """
        Read again.
        """
        self.paused = False

    def serve(self, snapshot: bytes = b"") -> None:
        """
        Say that it serves, or that it lives.

        @param snapshot: what it says of itself, in JSON.
        """
        self._protocol.childDataReceived(CONTROL, snapshot + b"\n")

    def say(self, data: bytes, error: bool = False) -> None:
        """
        Say something on standard output, or on standard error.
        """
        self._protocol.childDataReceived(STDERR if error else STDOUT, data)

    def exit(self) -> None:
        """
        End, without having been waited for (a zombie).
        """
        self._ended = True

    def end(self, status: int = 0, by: int | None = None) -> None:
        """
        End.

        @param status: with which exit status.
        @param by: by which signal, in place of a status.
        """
        self._ended = True
        end: Exception = ProcessDone(0)
        if status or by:
            end = ProcessTerminated(None if by else status, by)
        self._protocol.processEnded(Failure(end))

    def die(self) -> None:
        """
        End by SIGKILL.
        """
        self.end(by=signal.SIGKILL)


class SpawningReactor(MemoryReactorClock):
    """
    A reactor that takes note of processes in place of starting them, and whose TCP
    ports are bound and accept nothing.

    @ivar processes: those that were started, in this order.
    @ivar spawned: what each was started with: its command and the named arguments.
    @ivar refusal: what keeps processes from being started.
    @ivar happens: what happens in the next iterations, if they are asked for.
    """

    def __init__(self) -> None:
        """
        Begin with none.
        """
        super().__init__()
        self.processes: list[FakeProcess] = []
        self.spawned: list[tuple[list[bytes], dict[str, Any]]] = []
        self.refusal: Exception | None = None
        self.happens: list[Callable[[], object]] = []

    def spawnProcess(
        self,
        protocol: ProcessProtocol,
        executable: bytes,
        command: list[bytes],
        **options: Any,
    ) -> FakeProcess:
        """
        Take note of a process.
        """
        if self.refusal is not None:
            raise self.refusal
        assert command[0] == executable
        self.spawned.append((command, options))
        self.processes.append(FakeProcess(protocol))
        return self.processes[-1]

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> tcp.Port:
        """
        Bind a port.
        """
        bound = tcp.Port(port, factory, backlog, interface, reactor=self)
        bound.startListening()
        return bound

    def listenUNIX(
        self,
        address: Any,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> unix.Port:
        """
        Bind a UNIX socket.
        """
        bound = unix.Port(address, factory, backlog, mode, self, wantPID)
        bound.startListening()
        return bound

    def callWhenRunning(  # type: ignore[override] # Its names hide built-in ones.
        self, call: Callable[..., object], *arguments: Any, **options: Any
    ) -> None:
        """
        Make a call now, or when the reactor runs. (That of Twisted 24.3 makes none
        once it runs.)
        """
        if self.running:
            call(*arguments, **options)
        else:
            super().callWhenRunning(call, *arguments, **options)

    def callFromThread(self, call: Callable[..., object], *arguments: Any) -> None:
        """
        Make a call in the next iteration.
        """
        self.happens.insert(0, lambda: call(*arguments))

    def iterate(self, delay: float = 0) -> None:
        """
        Let something happen, and the time go on.
        """
        assert not self.running
        assert self.seconds() < 3600, "it waits for ever"
        if self.happens:
            self.happens.pop(0)()
        self.advance(delay)
