"""
A network in memory: Twisted's own TCP transport on sockets without a kernel.

All above the socket is what runs in production: the transport's buffers and its
half-close, the reactor's treatment of errors and ends of stream. Only
L{MemorySocket} and what tells which of them are ready stand in for the kernel.

Two private classes of C{twisted.internet.posixbase} say what a reactor does with the
events of the kernel, and are the same from Twisted 24.3 to 26.10. Without them, these
tests would follow their author's opinion of that. Each of them would notice a change.
"""

from __future__ import annotations

import errno
import struct
from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.posixbase import _DisconnectSelectableMixin, _PollLikeMixin
from twisted.internet.tcp import Server
from twisted.internet.testing import MemoryReactorClock


class MemorySocket:
    """
    The server's end of a connection: as much of L{socket.socket} as a transport
    uses. It fails where the kernel's would.

    @ivar window: how many bytes it takes before the client reads.
    @ivar inbound: what the client has sent and the server has not read.
    @ivar outbound: what the server has sent and the client has not read.
    @ivar read: how many bytes the server has read.
    @ivar clientEnded: whether the client has ended its side.
    @ivar ended: whether the server has ended its side.
    @ivar cut: whether one of them has reset the connection.
    @ivar closed: whether the server has closed it.
    """

    def __init__(self, number: int, window: int) -> None:
        """
        @param number: a file descriptor.
        @param window: how many bytes it takes before the client reads.
        """
        self._number = number
        self._linger = True
        self.window = window
        self.inbound = bytearray()
        self.outbound = bytearray()
        self.read = 0
        self.clientEnded = self.ended = self.cut = self.closed = False

    def setblocking(self, blocking: bool) -> None:
        """
        Agree that it does not block.
        """
        assert not blocking

    def fileno(self) -> int:
        """
        Give its descriptor.
        """
        return self._number

    def recv(self, size: int) -> bytes:
        """
        Give what the client has sent.
        """
        self._check()
        if self.inbound:
            data = bytes(self.inbound[:size])
            del self.inbound[:size]
            self.read += len(data)
            return data
        if self.clientEnded:
            return b""
        raise BlockingIOError(errno.EWOULDBLOCK, "nothing to read")

    def send(self, data: memoryview) -> int:
        """
        Take as much as the window lets it.
        """
        self._check()
        if self.ended:
            raise BrokenPipeError(errno.EPIPE, "sending after the end")
        taken = bytes(data[: max(0, self.window - len(self.outbound))])
        if data and not taken:
            raise BlockingIOError(errno.EWOULDBLOCK, "the window is full")
        self.outbound += taken
        return len(taken)

    def shutdown(self, how: int) -> None:
        """
        End the server's side.
        """
        self._check()
        self.ended = True

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        """
        Take note of SO_LINGER, by which a transport asks for a reset.
        """
        self._linger = False

    def close(self) -> None:
        """
        Close; with a reset if the server asked for one, or has not read all.
        """
        assert not self.closed
        self.closed = self.ended = True
        if self.inbound or not self._linger:
            self.reset()

    def reset(self) -> None:
        """
        Cut the connection; all that is on its way is lost.
        """
        self.cut = True
        self.inbound.clear()
        self.outbound.clear()

    def _check(self) -> None:
        assert not self.closed
        if self.cut:
            raise ConnectionResetError(errno.ECONNRESET, "reset")


class Client:
    """
    The client's end of a connection.

    @ivar sent: all that it has sent.
    @ivar received: all that it has received.
    @ivar socket: the server's end.
    @ivar protocol: the server's protocol.
    @ivar transport: the server's transport.
    """

    def __init__(self, socket: MemorySocket, protocol: Any, transport: Server) -> None:
        """
        @param socket: the server's end.
        @param protocol: the server's protocol.
        @param transport: the server's transport.
        """
        self.socket = socket
        self.protocol = protocol
        self.transport = transport
        self.sent = b""
        self.received = b""

    @property
    def ended(self) -> bool:
        """
        Whether all has been received, up to a clean end of stream.
        """
        socket = self.socket
        return socket.ended and not socket.outbound and not socket.cut

    def send(self, data: bytes) -> None:
        """
        Send; to an end that is closed already, the kernel answers with a reset.
        """
        assert not self.socket.clientEnded
        self.sent += data
        if self.socket.closed:
            self.socket.reset()
        if not self.socket.cut:
            self.socket.inbound += data

    def finish(self) -> None:
        """
        End the client's side.
        """
        self.socket.clientEnded = True

    def receive(self, size: int = 1 << 30) -> bytes:
        """
        Receive what is there.
        """
        data = bytes(self.socket.outbound[:size])
        del self.socket.outbound[:size]
        self.received += data
        return data


class MemoryNetwork(_PollLikeMixin, _DisconnectSelectableMixin, MemoryReactorClock):
    """
    A reactor whose connections are in memory, and whose time passes on demand.

    @ivar clients: the clients, in the order in which they connected.
    """

    _POLL_IN, _POLL_OUT, _POLL_DISCONNECTED = 1, 2, 4

    def __init__(self) -> None:
        """
        Begin with no connection.
        """
        super().__init__()
        self.clients: list[Client] = []

    @property
    def _reads(self) -> set[int]:
        return {reader.fileno() for reader in self.readers}

    def connect(
        self, factory: IProtocolFactory, window: int = 65536, host: str = "192.0.2.1"
    ) -> Client:
        """
        Connect a client to a server.

        @param factory: the server's.
        @param window: how many bytes the kernels take before the client reads.
        @param host: the client's address.
        @return: the client's end.
        """
        # No descriptor of this process, should anything use it as one.
        number = 0x100000 + len(self.clients)
        socket: Any = MemorySocket(number, window)
        protocol = factory.buildProtocol(None)  # type: ignore[arg-type] # unused
        assert protocol is not None
        port: Any = None
        transport = Server(socket, protocol, (host, number), port, number, self)
        client = Client(socket, protocol, transport)
        self.clients.append(client)
        protocol.makeConnection(transport)
        return client

    def iterateUntilIdle(self) -> None:
        """
        Let everything happen that can happen now.
        """
        busy = True
        while busy:
            busy = self._callDue()
            for client in self.clients:
                event = self._event(client)
                if event:
                    number = client.socket.fileno()
                    self._doReadOrWrite(client.transport, number, event)
                    busy = True

    def wait(self, seconds: float) -> None:
        """
        Let time pass, and everything happen at its time.
        """
        end = self.seconds() + seconds
        self.iterateUntilIdle()
        while True:
            times = [call.getTime() for call in self.getDelayedCalls()]
            self.rightNow = min([end, *times])
            self.iterateUntilIdle()
            if self.rightNow >= end:
                return

    def _callDue(self) -> bool:
        """
        Make the calls that are due, before anything is read, as a reactor does.
        Those that they add have to wait for the next time.
        """
        due: list[Any] = [
            call for call in self.calls if call.getTime() <= self.rightNow
        ]
        for call in due:
            if call.active():
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)
        return bool(due)

    def ioctl(self, number: int, request: int, argument: bytes) -> bytes:
        """
        Say how much the client has not taken, as SIOCOUTQ does.
        """
        socket = self.clients[number - 0x100000].socket
        return struct.pack("i", len(socket.outbound))

    def _event(self, client: Client) -> int:
        """
        What epoll(7) would say of a connection.
        """
        reading = client.transport in self.readers
        writing = client.transport in self.writers
        socket = client.socket
        event = 0
        if reading and (socket.inbound or socket.clientEnded or socket.cut):
            event |= self._POLL_IN
        if writing and (len(socket.outbound) < socket.window or socket.cut):
            event |= self._POLL_OUT
        if (reading or writing) and (
            socket.cut or (socket.clientEnded and socket.ended)
        ):
            event |= self._POLL_DISCONNECTED
        return event
