"""
How much of what was written to a plain transport of Twisted still waits.
"""

from __future__ import annotations

import fcntl
import struct
import termios
from contextlib import suppress

from twisted.internet.abstract import FileDescriptor
from twisted.python.components import registerAdapter
from zope.interface import implementer

from upperproto.interfaces import ISendQueue


def unacknowledgedInKernel(descriptor: int) -> int:
    """
    How many bytes of a socket the peer's system has not acknowledged (C{SIOCOUTQ} of
    tcp(7)).

    @param descriptor: the socket.
    @return: bytes; 0 where the system does not tell.
    """
    with suppress(OSError):
        queued = fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0" * 4)
        return int(struct.unpack("i", queued)[0])
    return 0


@implementer(ISendQueue)
class FileDescriptorSendQueue:
    """
    The bytes that wait in a L{FileDescriptor}.

    It counts what is in C{dataBuffer} from C{offset} on, and C{_tempDataLen}, which is
    private: what C{write} was given since the last C{doWrite}. All are unchanged from
    Twisted 24.3 to 26.10; C{tests.reactor.test_sendqueue} would notice their end.
    """

    def __init__(self, transport: FileDescriptor) -> None:
        """
        @param transport: whose bytes these are.
        """
        self._transport = transport

    def unsentBytes(self) -> int:
        """
        How many bytes the kernel has not taken yet.
        """
        transport = self._transport
        waiting: int = len(transport.dataBuffer) - transport.offset
        return waiting + transport._tempDataLen

    def unacknowledgedBytes(self) -> int:
        """
        How many bytes the peer's system has not acknowledged yet.
        """
        waiting = self.unsentBytes()
        if self._transport.connected:
            waiting += unacknowledgedInKernel(self._transport.fileno())
        return waiting


registerAdapter(FileDescriptorSendQueue, FileDescriptor, ISendQueue)
