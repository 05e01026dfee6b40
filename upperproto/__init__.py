"""
Text in, the same text in upper case out: a Twisted service and its client.

Each name is imported when it is first used: a client needs nothing of the server.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upperproto.client import UpperClient, UpperError, WrongAnswer
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
    "WrongAnswer",
    "upper",
]

_MODULES = {
    "BlockReceiver": "lineblocks",
    "UpperClient": "client",
    "UpperError": "client",
    "UpperFactory": "factory",
    "UpperProtocol": "protocol",
    "WrongAnswer": "client",
    "upper": "uppercase",
}


def __getattr__(name: str) -> object:
    """
    Import a public name.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
