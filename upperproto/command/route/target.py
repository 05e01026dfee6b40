"""
The server that C{upper-client} connects to, from the command line.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from upperproto.command.errors import NoDestination, WrongUsage
from upperproto.command.options import Options
from upperproto.command.route.endpoint import hostAndPort, parse, portNumber, takeApart
from upperproto.command.route.proxyheader import Source, source

_TLS = ("tls-ca", "tls-cert", "tls-key", "tls-name")

# The options that choose an address family.
_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


class Credentials(NamedTuple):
    """
    The names and files for TLS.

    @ivar name: the name that the server's certificate must have.
    @ivar ca: a PEM file, or a folder of PEM files, of the certificates to trust.
    @ivar certificate: a PEM file of the client certificate.
    @ivar key: a PEM file of its private key.
    """

    name: str
    ca: str | None
    certificate: str | None
    key: str | None


class Target(NamedTuple):
    """
    The server to connect to, and how.

    @ivar name: what messages call it.
    @ivar host: its name or address; L{None} if an endpoint is used.
    @ivar port: its TCP port.
    @ivar endpoint: an endpoint of Twisted, if there is no host.
    @ivar family: the only address family to use, or C{AF_UNSPEC}.
    @ivar credentials: for TLS; L{None} without TLS.
    @ivar source: the client in the PROXY header; L{None} without the header.
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
        @raise NoDestination: if the files are not usable.
        """
        if self.credentials is None:
            return None
        from upperproto.tls.certificates.clientcredentials import (
            BadCredentials,
            clientTLS,
        )

        try:
            return clientTLS(*self.credentials)
        except BadCredentials as error:
            raise NoDestination(str(error)) from error

    def endpointOn(self, reactor: Any) -> Any:
        """
        Make the endpoint.

        @return: an endpoint of Twisted; L{None} if there is a host.
        @raise WrongUsage: if its description is not valid.
        """
        if self.endpoint is None:
            return None
        return parse(reactor, self.endpoint)


def target(options: Options, words: Sequence[str]) -> Target:
    """
    Get the server from the command line.

    @param options: the options of the command line.
    @param words: C{HOST}, C{HOST:PORT}, C{HOST PORT}, C{[IPv6]:PORT} or an endpoint.
    @raise WrongUsage: if the words or options are wrong.
    @raise NoDestination: if the packages for TLS are not installed.
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
                raise WrongUsage("ssl: does not verify the server: use tls:")
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
    if endpoint is not None and families:
        raise WrongUsage("-4 and -6 need a host, not an endpoint")
    return Target(
        endpoint or hostAndPort(str(host), port or 0),
        None if endpoint else host,
        port or 0,
        endpoint,
        families[0] if families else socket.AF_UNSPEC,
        credentials,
        _source(options.get("proxy-header")),
    )


def _source(word: str | None) -> Source | None:
    try:
        return None if word is None else source(word)
    except ValueError as error:
        raise WrongUsage(f"--proxy-header takes {error}, not {word!r}") from error


def _named(words: Sequence[str]) -> tuple[str | None, int | None, str | None]:
    """
    Split the words of a target.

    @return: the host, the port and the endpoint, each L{None} if it is not named.
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
    elif word.endswith(":") and 0 < word.find(":") == len(word) - 1:
        raise WrongUsage(f"no port after the colon in {word}")
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
    Check that the packages for TLS are installed.
    """
    if find_spec("OpenSSL") is None:
        raise NoDestination("TLS needs more packages: pip install 'upperproto[tls]'")
