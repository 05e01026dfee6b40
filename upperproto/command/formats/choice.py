"""
The choice of an output format by its name.
"""

from __future__ import annotations

from typing import Any

from upperproto.command.formats.formatter import Formatter


def formatter(name: str, *arguments: Any) -> Formatter:
    """
    Make a formatter.

    @param name: of the format.
    @param arguments: the arguments of L{Formatter}.
    """
    # Only the format that is needed is imported.
    if name == "json":
        from upperproto.command.formats.jsonlines import JSONFormatter

        return JSONFormatter(*arguments)
    if name == "plugin":
        from upperproto.command.formats.plugin import PluginFormatter

        return PluginFormatter(*arguments)
    if name == "prometheus":
        from upperproto.command.formats.prometheus import PrometheusFormatter

        return PrometheusFormatter(*arguments)
    from upperproto.command.formats.text import TextFormatter

    return TextFormatter(*arguments)
