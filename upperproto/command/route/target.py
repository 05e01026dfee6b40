"""
Which server C{upper-client} connects to, and how: words and options become a
L{Target}. Here alone a connection gets its TLS.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from upperproto.command.errors import NoDestination, WrongUsage
from upperproto.command.options import Options
from upperproto.command.route.endpoint import parse, portNumber, takeApart
from upperproto.command.route.proxyheader import Source, source

_TLS = ("tls-ca", "tls-cert", "tls-key", "tls-name")

# The address families by the options that choose them.
_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


class Credentials(NamedTuple):
    """
    What is needed for TLS.

    @ivar name: the name that the server's certificate must have.
    @ivar ca: a PEM file, or a folder of them, of the certificates to trust.
    @ivar certificate: a PEM file of a certificate to show.
    @ivar key: a PEM file of its key.
    """

    name: str
    ca: str | None
    certificate: str | None
    key: str | None


class Target(NamedTuple):
    """
    A server.

    @ivar name: it, in messages.
    @ivar host: its name or address; L{None} if an endpoint is used.
    @ivar port: its TCP port.
    @ivar endpoint: an endpoint of Twisted, if there is no host.
    @ivar family: the only address family to use, or C{AF_UNSPEC}.
    @ivar credentials: for TLS; L{None} without it.
    @ivar source: whom a PROXY header speaks for; L{None} without it.
    """

    name: str
    host: str | None
    port: int
    endpoint: str | None
    family: socket.AddressFamily
    credentials: Credentials | None
    source: Source | None

    @property
    def needsOpenSSL(self) -> bool:
        """
        Whether connecting may need OpenSSL, which takes long to import.
        """
        return self.credentials is not None or self.endpoint is not None

    def tls(self) -> Any:
        """
        Prepare TLS.

        @return: what makes the TLS side of a connection; L{None} without TLS.
        @raise NoDestination: where it cannot be had like this.
        """
        if self.credentials is None:
            return None
        from upperproto.tls.credentials import BadCredentials, clientTLS

        try:
            return clientTLS(*self.credentials)
        except BadCredentials as error:
            raise NoDestination(str(error)) from error

    def endpointOn(self, reactor: Any) -> Any:
        """
        Make the endpoint.

        @return: an endpoint of Twisted; L{None} if there is a host.
        @raise WrongUsage: if it is none.
        """
        if self.endpoint is None:
            return None
        return parse(reactor, self.endpoint)


def secure(
    creator: Any, factory: Any, reactor: Any, truncated: Callable[[Any], None]
) -> Any:
    """
    Put TLS under the protocols of a factory.

    @param creator: what L{Target.tls} gave.
    @param factory: the factory.
    @param reactor: what tells the time.
    @param truncated: is called when the server's stream ends without a close_notify.
    @return: a factory for a transport without TLS.
    """
    from upperproto.tls.factory import TLSFactory

    return TLSFactory(creator, True, factory, reactor, truncated)


def target(options: Options, words: Sequence[str]) -> Target:
    """
    Find out which server is meant.

    @param options: those of the connection.
    @param words: C{HOST}, C{HOST:PORT}, C{HOST PORT}, C{[IPv6]:PORT} or an endpoint.
    @raise WrongUsage: where that makes no sense.
    @raise NoDestination: where TLS is not installed.
    """
    endpoint = options.get("connect")
    host, port, itsOwn = _named(words)
    for given, names in (
        (words, ("host", "connect")),
        (port is not None or itsOwn, ("port",)),
        ("connect" in options, ("host", "port")),
    ):
        for name in names:
            if given and name in options:
                raise WrongUsage(f"the server is named twice: also by --{name}")
    endpoint = itsOwn or endpoint
    tls = {name: options.get(name) for name in _TLS}
    secured = "tls" in options or any(tls.values())
    if endpoint is not None:
        if endpoint.lower().startswith("ssl:"):
            if secured:
                raise WrongUsage("ssl: does not verify the server: say tls: instead")
            _requireTLS()
        secured = takeApart(endpoint, tls) or secured
        host, port, endpoint = (
            tls.pop("host", None),
            tls.pop("port", None),
            tls.pop("endpoint", endpoint),
        )
    else:
        host = host or options.get("host", "127.0.0.1")
        port = port or options.get("port", 5000)
    if tls["tls-key"] is not None and tls["tls-cert"] is None:
        raise WrongUsage("--tls-key needs --tls-cert")
    credentials = None
    if secured:
        _requireTLS()
        name = tls["tls-name"] or host
        if name is None:
            raise WrongUsage(f"TLS over {endpoint} needs --tls-name")
        credentials = Credentials(name, tls["tls-ca"], tls["tls-cert"], tls["tls-key"])
    families = [family for name, family in _FAMILIES.items() if name in options]
    if len(families) > 1:
        raise WrongUsage("-4 and -6 exclude each other")
    if endpoint is not None and families:
        raise WrongUsage("-4 and -6 go with a host, not with an endpoint")
    return Target(
        endpoint or _pair(str(host), port or 0),
        None if endpoint else host,
        port or 0,
        endpoint,
        families[0] if families else socket.AF_UNSPEC,
        credentials,
        _source(options.get("proxy-header")),
    )


def _pair(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _source(word: str | None) -> Source | None:
    try:
        return None if word is None else source(word)
    except ValueError as error:
        raise WrongUsage(f"--proxy-header takes {error}, not {word!r}") from error


def _named(words: Sequence[str]) -> tuple[str | None, int | None, str | None]:
    """
    Take the words of a target apart.

    @return: a host, a port and an endpoint, each L{None} if it is not named.
    """
    if len(words) > 2:
        raise WrongUsage(f"not an option: {words[2]}")
    if "" in words:
        raise WrongUsage("the server's name is empty")
    if not words:
        return None, None, None
    word = words[0]
    if word.startswith("["):
        host, bracket, rest = word[1:].partition("]")
        if not bracket or (rest and rest[0] != ":"):
            raise WrongUsage(f"an IPv6 address and a port are [ADDRESS]:PORT: {word}")
        port = rest[1:] if rest else None
    elif word.count(":") == 1 and word.partition(":")[2].isdigit():
        host, _, port = word.partition(":")
    elif ":" not in word or _isIPv6(word):
        host, port = word, None
    else:
        host, port = "", None
    if len(words) == 2:
        if port is not None or not host:
            raise WrongUsage(f"not an option: {words[1]}")
        port = words[1]
    if not host:
        if not word or word.startswith((":", "[")):
            raise WrongUsage(f"no host in {word}")
        return None, None, word
    return host, None if port is None else portNumber(port), None


def _isIPv6(word: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, word.partition("%")[0])
    except OSError:
        return False
    return True


def _requireTLS() -> None:
    """
    See that what TLS needs is installed.
    """
    if find_spec("OpenSSL") is None:
        raise NoDestination("TLS needs more packages: pip install 'upperproto[tls]'")
