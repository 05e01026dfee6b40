"""
Where C{upper-client} connects to: options become an endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, clientFromString, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.usage import UsageError


class NoDestination(Exception):
    """
    The way that the options describe cannot be gone. The message says why, in
    one line.
    """


def name(options: Mapping[str, Any]) -> str:
    """
    Name the server, for messages.

    @param options: those of C{upper-client}.
    @return: an endpoint, or host and port.
    """
    if options["connect"] is not None:
        return str(options["connect"])
    host, port = options["host"], options["port"]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def endpoint(options: Mapping[str, Any], reactor: Any) -> IStreamClientEndpoint:
    """
    Make what connects to the server.

    @param options: those of C{upper-client}.
    @param reactor: what it connects with.
    @return: the endpoint.
    @raise UsageError: for an endpoint that is not one.
    @raise NoDestination: where TLS cannot be had like this.
    """
    connect = options["connect"]
    if connect is not None:
        if connect.lower().startswith(("tls:", "ssl:")):
            _requireTLS()
        try:
            made: IStreamClientEndpoint = clientFromString(reactor, connect)
        # Parsers of endpoints fail as they like, and some without a word of their own.
        except Exception as error:
            why = str(error) or str(error.__context__ or "") or type(error).__name__
            raise UsageError(f"not an endpoint: {connect}: {why}") from error
        return made
    plain = HostnameEndpoint(reactor, options["host"], options["port"])
    ca, certificate = options["tls-ca"], options["tls-cert"]
    key, serverName = options["tls-key"], options["tls-name"]
    if ca is None and certificate is None and serverName is None:
        return plain
    _requireTLS()
    from upperproto.tls.credentials import BadCredentials, clientTLS

    if serverName is None:
        serverName = options["host"]
    try:
        return wrapClientTLS(clientTLS(serverName, ca, certificate, key), plain)
    except BadCredentials as error:
        raise NoDestination(str(error)) from error


def _requireTLS() -> None:
    """
    See that what TLS needs is installed.
    """
    if find_spec("OpenSSL") is None:
        raise NoDestination("TLS needs more packages: pip install 'upperproto[tls]'")
