"""
The number of bytes that wait to be sent in a plain transport of Twisted.
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
    Get the number of bytes that a socket has sent or will send, and that the peer's
    system has not acknowledged (C{SIOCOUTQ} of tcp(7)).

    @param descriptor: the socket.
    @return: bytes; 0 if the system does not know.
    """
    with suppress(OSError):
        queued = fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0" * 4)
        return int(struct.unpack("i", queued)[0])
    return 0


@implementer(ISendQueue)
class FileDescriptorSendQueue:
    """
    The number of bytes that wait in a L{FileDescriptor}.

    This is the sum of two numbers. The first is the length of C{dataBuffer} after
    C{offset}. The second is C{_tempDataLen}, which is private: the number of bytes that
    C{write} got after the last C{doWrite}. All three are the same from Twisted 24.3 to
    26.10, and C{tests.reactor.test_unsentbytes} fails if they go away.
    """

    def __init__(self, transport: FileDescriptor) -> None:
        """
        @param transport: the transport that has these bytes.
        """
        self._transport = transport

    def unsentBytes(self) -> int:
        """
        Get the number of bytes that the kernel has not taken yet.
        """
        transport = self._transport
        waiting: int = len(transport.dataBuffer) - transport.offset
        return waiting + transport._tempDataLen

    def unacknowledgedBytes(self) -> int:
        """
        Get the number of bytes that the peer's system has not acknowledged yet.
        """
        waiting = self.unsentBytes()
        if self._transport.connected:
            waiting += unacknowledgedInKernel(self._transport.fileno())
        return waiting


registerAdapter(FileDescriptorSendQueue, FileDescriptor, ISendQueue)
