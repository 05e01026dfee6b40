"""
C{upper}: the service in one word, C{twistd --nodaemon --pidfile= upper}.
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
    The options of C{twistd}, which knows one service and has another name.

    No other plugin is looked for: it does not matter what else is installed, nor
    whether the cache of plugins can be written.
    """

    loadedPlugins: dict[str, Any]

    @property
    def subCommands(self) -> Iterator[tuple[str, None, Any, str]]:
        """
        The service alone.
        """
        self.loadedPlugins = {upper.tapname: upper}
        yield (upper.tapname, None, lambda: upper.options(), upper.description)

    def getSynopsis(self) -> str:
        """
        Begin the help. The name of the service follows, and then its own synopsis.
        """
        return "Usage:"


def run() -> None:
    """
    Serve, as the command line and the environment say.
    """
    options = TwistdOptions()
    options.parseOptions(["--nodaemon", "--pidfile=", upper.tapname, *sys.argv[1:]])
    runApp(options)
