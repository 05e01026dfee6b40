"""
A wrapper that does not hide from Twisted that its protocol can be half-closed.
"""

from __future__ import annotations

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer


@implementer(IHalfCloseableProtocol)
class HalfCloseableWrapper(ProtocolWrapper):
    """
    Hand on what Twisted tells of each side's end.
    """

    def readConnectionLost(self) -> None:
        """
        The client has ended its side.
        """
        IHalfCloseableProtocol(self.wrappedProtocol).readConnectionLost()

    def writeConnectionLost(self) -> None:
        """
        We have ended ours.
        """
        IHalfCloseableProtocol(self.wrappedProtocol).writeConnectionLost()


class HalfCloseableFactory(WrappingFactory):
    """
    Wrap a factory whose protocols can be half-closed.
    """

    protocol = HalfCloseableWrapper
