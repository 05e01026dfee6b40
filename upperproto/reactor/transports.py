"""
The transports that L{upperproto.reactor.epoll.UpperReactor} makes of connections to
its ports.

They differ from Twisted's in when they send, and in how much they read. All else, such
as order, half-close and producers, is Twisted's own.

Twisted waits for a socket to become writable before it sends, although it almost always
is: that costs two calls of C{epoll_ctl} and one of C{epoll_wait} for each answer. Here
the reactor calls C{doWrite} at the end of its iteration, and only a socket that did not
take all is waited for.

These private parts of Twisted are used, unchanged from 24.3 to 26.10; the tests of
C{tests.reactor.test_transports} would notice their end:

  - C{write} keeps data in C{_tempDataBuffer} (its length is C{_tempDataLen}) until
    C{doWrite} joins it, and in C{dataBuffer} from C{offset} on after that;
  - C{_writeDisconnecting} and C{_writeDisconnected}: the sending side is about to end,
    or has ended;
  - C{_maybePauseProducer} is called with each write, and asks C{_isSendBufferFull};
  - C{_dataReceived} is given what was read;
  - C{_realPortNumber} of a port is what C{repr} shows;
  - a UNIX transport sends by its C{_writeSomeDataBase}, and keeps descriptors that it
    has to send in C{_sendmsgQueue}.
"""

from __future__ import annotations

from errno import ENOBUFS, EWOULDBLOCK
from time import perf_counter
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from zope.interface import implementer

from upperproto.interfaces import ISendQueue
from upperproto.reactor.sendqueue import FileDescriptorSendQueue

# How many bytes may wait before they are sent at once, or their producer is paused.
# (Twisted pauses it at bufferSize, which by default is as much.)
SEND_BUFFER = 65536

# How many bytes are sent at once in one iteration. A producer that writes until it is
# paused would keep all other connections waiting if its peer were fast.
SENT_AT_ONCE = 1048576

# How many bytes are read at a time. Streams of ASCII are 1.2 times as fast with 256 KiB
# as with 128. But a read keeps all other connections waiting, and a protocol may take
# several hundred times as long for other bytes. So the next ones are taken to cost what
# the last ones did, and those that a new connection sends to be the worst. A read is to
# keep the others waiting for no more than READ_TIME seconds.
SMALLEST_READ = 1024
LARGEST_READ = 262144
GROWTH = 4
READ_TIME = 0.001


@implementer(ISendQueue)
class TCPServer(tcp.Server):
    """
    A connection to a TCP port.

    @ivar queued: whether the reactor is going to call L{doWrite} at the end of its
        iteration.
    @ivar bufferSize: how many bytes are read at a time. It follows the time that the
        protocol takes for them.
    """

    # An UpperReactor.
    reactor: Any

    queued = False
    bufferSize = SMALLEST_READ

    # Whether the reactor waits until the socket can take more.
    _blocked = False
    # How many bytes were sent since the last doWrite.
    _sentAtOnce = 0
    # The descriptors that a UNIX transport has to send.
    _sendmsgQueue: Any = ()

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """
        Be read in the iteration that has accepted the connection: a client that speaks
        first has often done so by then.
        """
        super().__init__(*arguments, **keywords)
        # Before Python 3.12, what an instance has is found ten times as fast as what
        # its class has.
        self.queued = self._blocked = self.TLS = self.disconnecting = False
        self.reactor.readAfterEvents(self)

    @property
    def repstr(self) -> str:
        """
        What C{repr} shows. To keep what Twisted makes of it would take a fourteenth of
        the memory of a connection.
        """
        name = type(getattr(self, "protocol", None)).__name__
        return f"<{name} #{self.sessionno} on {self.server._realPortNumber}>"

    @repstr.setter
    def repstr(self, made: str) -> None:
        pass

    def logPrefix(self) -> str:
        """
        Name the connection in the log of a fault; as the access log does, if its
        protocol has such a name.
        """
        prefix: str = super().logPrefix()
        protocol = getattr(self, "protocol", None)
        # TLS may lie in between.
        protocol = getattr(protocol, "wrappedProtocol", protocol)
        name = getattr(protocol, "connectionID", "")
        return f"{prefix},{name}" if name else prefix

    def startWriting(self) -> None:
        """
        Send at the end of the iteration, if nothing is sent before.
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

        It does what Twisted's own does, in one call instead of six. These take a
        twentieth of the reactor's time for a round trip.
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
        Send what waits.

        Most often that is all there is to do. Twisted's own way, which then looks after
        half-close and producers, takes a tenth of the reactor's time for a round trip.

        @return: an exception where the connection is to end.
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
        Send, without the limit of 128 KiB that only Windows needs.

        @return: how many bytes were sent, or an exception where the connection is lost.
        """
        if not data:
            return 0
        try:
            return self.socket.send(data)
        except OSError as error:
            return 0 if error.errno in (EWOULDBLOCK, ENOBUFS) else CONNECTION_LOST

    def unsentBytes(self) -> int:
        """
        How many bytes the kernel has not taken yet.
        """
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def unacknowledgedBytes(self) -> int:
        """
        How many bytes the peer's system has not acknowledged yet.
        """
        return FileDescriptorSendQueue(self).unacknowledgedBytes()

    def _send(self) -> Any:
        """
        Send all that was written, while nothing is blocked, and wait for the socket if
        it does not take all.

        @return: an exception where the connection is lost; then all waits as before.
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
        Send at once where much waits, and pause the producer if that does not help.

        An answer to a large read is larger than what may wait, and to pause and to
        resume its producer for it would cost two calls of C{epoll_ctl}.
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
        # What the protocol returns means nothing, as with Twisted 26.10. In 24.3 that
        # is deprecated, and still heard.
        if not data:
            return CONNECTION_DONE
        size = len(data)
        if size < SMALLEST_READ:
            self.protocol.dataReceived(data)
            return None
        began = perf_counter()
        self.protocol.dataReceived(data)
        affordable = int(size * READ_TIME / max(perf_counter() - began, 1e-6))
        if affordable < size:
            self.bufferSize = max(SMALLEST_READ, affordable)
        elif size == self.bufferSize:
            self.bufferSize = min(LARGEST_READ, GROWTH * size, affordable)
        return None


class UNIXServer(unix.Server, TCPServer):
    """
    A connection to a UNIX port. It can be sent descriptors of files, too.
    """

    _writeSomeDataBase = TCPServer

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """
        Be read in the iteration that has accepted the connection.
        """
        super().__init__(*arguments, **keywords)
        self.reactor.readAfterEvents(self)
