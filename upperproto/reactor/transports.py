"""
The transports of connections to the ports of L{upperproto.reactor.epoll.UpperReactor}.

Two things differ from Twisted's transports: when they send, and how much they read. All
else, such as order, half-close and producers, is Twisted's own.

Before it sends, Twisted waits until the socket is writable. A socket almost always is
writable, and this wait costs two calls of C{epoll_ctl} and one of C{epoll_wait} for
each answer. Here the reactor calls C{doWrite} at the end of its iteration. It waits
only for a socket that did not take all the bytes.

These transports use private parts of Twisted. They are the same from 24.3 to 26.10, and
the tests of C{tests.reactor.test_transports} fail if they go away:

  - C{write} keeps data in C{_tempDataBuffer} (its length is C{_tempDataLen}) until
    C{doWrite} joins it; after that, the data is in C{dataBuffer} from C{offset} on;
  - C{_writeDisconnecting} and C{_writeDisconnected}: the sending side is about to end,
    or has ended;
  - C{_maybePauseProducer} is called with each write, and asks C{_isSendBufferFull};
  - C{_dataReceived} gets the bytes that were read;
  - C{repr} shows the C{_realPortNumber} of a port; C{_getLogPrefix} names a protocol
    in the log; C{_addressType} is the class of the addresses of peer and host;
  - a UNIX transport sends by its C{_writeSomeDataBase}, and keeps in C{_sendmsgQueue}
    the descriptors that it has to send.
"""

from __future__ import annotations

from errno import ENOBUFS, EWOULDBLOCK
from socket import socket
from time import perf_counter
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.address import IPv6Address
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from zope.interface import implementer

from upperproto.interfaces import ISendQueue
from upperproto.reactor.readsize import SMALLEST_READ, nextSize
from upperproto.reactor.unsentbytes import FileDescriptorSendQueue

# When more bytes than this wait, they are sent at once, or their producer is paused.
# (Twisted pauses it at bufferSize, which is the same number by default.)
SEND_BUFFER = 65536

# After so many bytes in one iteration, a transport does not send at once any more.
# Without this limit, a producer that writes until it is paused would keep all other
# connections waiting if its peer is fast.
SENT_AT_ONCE = 1048576

# When a read has taken so many seconds, other connections wait for no more such reads.
LONG_READ = 0.00025


@implementer(ISendQueue)
class TCPServer(tcp.Server):
    """
    A connection to a TCP port.

    @ivar queued: whether the reactor will call L{doWrite} at the end of its iteration.
    @ivar isSlow: whether the protocol took long for its last full read.
    @ivar bufferSize: the number of bytes that one read may take. It depends on the time
        that the protocol needs for them.
    """

    # An UpperReactor.
    reactor: Any

    queued = isSlow = False
    bufferSize = SMALLEST_READ

    # Whether the reactor waits until the socket can take more.
    _blocked = False
    # The number of bytes that were sent at once after the last doWrite.
    _sentAtOnce = 0
    # The descriptors that a UNIX transport has to send.
    _sendmsgQueue: Any = ()

    def __init__(
        self,
        sock: socket,
        protocol: Any,
        client: tuple[Any, ...],
        server: Any,
        sessionno: int,
        reactor: Any,
    ) -> None:
        """
        Make the transport, and read it in the iteration that accepts the connection: a
        client that speaks first has often sent its request by then.

        Twisted's C{Server} does the same, and makes L{repstr} and L{logstr}, too.
        """
        tcp.Connection.__init__(self, sock, protocol, reactor)
        if len(client) != 2:
            self._addressType = IPv6Address
        self.server = server
        self.client = client
        self.sessionno = sessionno
        self.hostname = client[0]
        self.startReading()
        self.connected = True
        # Before Python 3.12, an attribute of an instance is found ten times as fast as
        # an attribute of its class.
        self.queued = self._blocked = self.TLS = self.disconnecting = False
        self.reactor.readAfterEvents(self)

    @property
    def repstr(self) -> str:
        """
        The text that C{repr} shows. Twisted makes it once and keeps it; that would take
        a fourteenth of the memory of a connection.
        """
        name = type(getattr(self, "protocol", None)).__name__
        return f"<{name} #{self.sessionno} on {self.server._realPortNumber}>"

    @repstr.setter
    def repstr(self, made: str) -> None:
        pass

    @property
    def logstr(self) -> str:
        """
        The name of the connection for the log. Twisted makes it once, too.
        """
        prefix = self._getLogPrefix(getattr(self, "protocol", None))
        return f"{prefix},{self.sessionno},{self.hostname}"

    @logstr.setter
    def logstr(self, made: str) -> None:
        pass

    def logPrefix(self) -> str:
        """
        Get the name for the log of a fault. It has the name of the access log in it, if
        the protocol has one.
        """
        prefix, protocol = self.logstr, getattr(self, "protocol", None)
        # That of TLS may be around it.
        protocol = getattr(protocol, "wrappedProtocol", protocol)
        name = getattr(protocol, "connectionID", "")
        return f"{prefix},{name}" if name else prefix

    def startWriting(self) -> None:
        """
        Send at the end of the iteration.
        """
        if not (self.queued or self._blocked) and self.connected:
            self.queued = True
            self.reactor.writeAfterEvents(self)

    def stopWriting(self) -> None:
        """
        Send nothing.
        """
        self.queued = False
        if self._blocked:
            self._blocked = False
            self.reactor.removeWriter(self)

    def write(self, data: bytes) -> None:
        """
        Send some bytes at the end of the iteration.

        It does the same as Twisted's C{write}, in one call instead of six. These six
        take a twentieth of the time of a round trip.
        """
        if self.TLS or not isinstance(data, bytes):
            super().write(data)
        elif data and self.connected and not self._writeDisconnected:
            self._tempDataBuffer.append(data)
            self._tempDataLen += len(data)
            if self._blocked or self._tempDataLen > SEND_BUFFER:
                self._maybePauseProducer()
            if not (self.queued or self._blocked):
                self.queued = True
                self.reactor.writeAfterEvents(self)

    def doWrite(self) -> Any:
        """
        Send the bytes that wait.

        Most often there is nothing else to do. Twisted's C{doWrite}, which also handles
        half-close and producers, takes a tenth of the time of a round trip.

        @return: an exception if the connection has to end.
        """
        self.queued = False
        self._sentAtOnce = 0
        if not self.dataBuffer:
            if self._tempDataLen or self._sendmsgQueue:
                why = self._send()
                if why or self.dataBuffer:
                    return why
            if self.producer is None or (
                self.streamingProducer and not self.producerPaused
            ):
                if self.disconnecting:
                    return CONNECTION_DONE
                if not self._writeDisconnecting:
                    return None
        return super().doWrite()

    def writeSomeData(self, data: bytes) -> Any:
        """
        Send without the limit of 128 KiB that only Windows needs.

        @return: the number of bytes sent, or an exception if the connection is lost.
        """
        if not data:
            return 0
        try:
            return self.socket.send(data)
        except OSError as error:
            return 0 if error.errno in (EWOULDBLOCK, ENOBUFS) else CONNECTION_LOST

    def unsentBytes(self) -> int:
        """
        Get the number of bytes that the kernel has not taken yet.
        """
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def unacknowledgedBytes(self) -> int:
        """
        Get the number of bytes that the peer's system has not acknowledged yet.
        """
        return FileDescriptorSendQueue(self).unacknowledgedBytes()

    def _send(self) -> Any:
        """
        Send all bytes that were written, and wait for the socket if it does not take
        all of them. The caller makes sure that the socket is not waited for already.

        @return: an exception if the connection is lost; then all bytes wait as before.
        """
        data = b"".join(self._tempDataBuffer)
        sent = self.writeSomeData(data)
        if not isinstance(sent, int):
            return sent
        self._tempDataBuffer.clear()
        self._tempDataLen = 0
        if sent < len(data):
            self.dataBuffer, self.offset = data, sent
            self._blocked = True
            self.reactor.addWriter(self)
        return None

    def _maybePauseProducer(self) -> None:
        """
        Send at once if many bytes wait, and pause the producer if that does not help.

        An answer to a large read is larger than SEND_BUFFER. To pause and resume its
        producer for such an answer would cost two calls of C{epoll_ctl}.
        """
        if (
            not self._blocked
            and self._sentAtOnce < SENT_AT_ONCE
            and self._isSendBufferFull()
        ):
            self._sentAtOnce += self._tempDataLen
            # doWrite will meet the same exception.
            self._send()
        super()._maybePauseProducer()

    def _isSendBufferFull(self) -> bool:
        return self.unsentBytes() > SEND_BUFFER

    def _dataReceived(self, data: bytes | None) -> Any:
        # The return value of the protocol is ignored, as in Twisted 26.10. Twisted 24.3
        # still obeys it, and calls that deprecated.
        if not data:
            return CONNECTION_DONE
        size = len(data)
        if size < SMALLEST_READ:
            self.protocol.dataReceived(data)
            return None
        began = perf_counter()
        self.protocol.dataReceived(data)
        seconds = perf_counter() - began
        self.isSlow = seconds > LONG_READ
        if self.isSlow:
            self.reactor.isLate = True
        self.bufferSize = nextSize(self.bufferSize, size, seconds)
        return None


class UNIXServer(unix.Server, TCPServer):
    """
    A connection to a UNIX port. Its peer can send descriptors of files, too.
    """

    _writeSomeDataBase = TCPServer

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """
        Make the transport, and read it in the iteration that accepts the connection.
        """
        super().__init__(*arguments, **keywords)
        self.reactor.readAfterEvents(self)
