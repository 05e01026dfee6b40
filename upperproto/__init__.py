"""
Text in, the same text in upper case out: a Twisted service and its client.
"""

from upperproto.blocks import BlockReceiver
from upperproto.casing import upper
from upperproto.client import UpperClient, UpperError
from upperproto.factory import UpperFactory
from upperproto.protocol import UpperProtocol

__all__ = [
    "BlockReceiver",
    "UpperClient",
    "UpperError",
    "UpperFactory",
    "UpperProtocol",
    "upper",
]
