"""
A format by its name.
"""

from __future__ import annotations

from typing import Any

from upperproto.command.findings.formatter import Formatter


def formatter(name: str, *arguments: Any) -> Formatter:
    """
    Make a formatter.

    @param name: of the format.
    @param arguments: of L{Formatter}.
    """
    # Each is imported where it is needed.
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
