"""
Text in, the same text in upper case out: a Twisted service and its client.
"""

from upperproto.client import UpperClient, UpperError
from upperproto.factory import UpperFactory
from upperproto.lineblocks import BlockReceiver
from upperproto.protocol import UpperProtocol
from upperproto.uppercase import upper

__all__ = [
    "BlockReceiver",
    "UpperClient",
    "UpperError",
    "UpperFactory",
    "UpperProtocol",
    "upper",
]
