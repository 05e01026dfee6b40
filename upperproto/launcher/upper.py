"""
The command C{upper}: a short name for C{twistd --nodaemon --pidfile= upper}.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from twisted.scripts.twistd import (  # type: ignore[attr-defined] # They are public.
    ServerOptions,
    runApp,
)

from twisted.plugins.upper_plugin import upper


class TwistdOptions(ServerOptions):
    """
    The options of C{twistd} with this service only.

    Twisted does not look for other plugins. So other packages cannot break the command,
    and the plugin cache need not be writable.
    """

    loadedPlugins: dict[str, Any]

    @property
    def subCommands(self) -> Iterator[tuple[str, None, Any, str]]:
        """
        Give this service only.
        """
        self.loadedPlugins = {upper.tapname: upper}
        yield (upper.tapname, None, lambda: upper.options(), upper.description)

    def getSynopsis(self) -> str:
        """
        Begin the help. The name of the service and its synopsis follow.
        """
        return "Usage:"


def run() -> None:
    """
    Start the service with the options of the command line and the environment.
    """
    options = TwistdOptions()
    options.parseOptions(["--nodaemon", "--pidfile=", upper.tapname, *sys.argv[1:]])
    runApp(options)
