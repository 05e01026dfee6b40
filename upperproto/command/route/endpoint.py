"""
Endpoint descriptions and ports on the command line of C{upper-client}.
"""

from __future__ import annotations

import re
from typing import Any

from upperproto.command.errors import WrongUsage

# The words of an endpoint tls:, and the option that means the same.
_WORDS_OF_TLS = {
    "trustRoots": "tls-ca",
    "certificate": "tls-cert",
    "privateKey": "tls-key",
}

# What Python says if the arguments of a call are wrong, and what we say.
_TYPE_ERRORS = [
    (r"missing \d+ required .*arguments?: (.*)", "it lacks"),
    (r"got an unexpected keyword argument (.*)", "it takes no"),
    (r"takes (.*) positional arguments? but", "too many words: it takes"),
]


def parse(reactor: Any, endpoint: str) -> Any:
    """
    Make an endpoint of Twisted.

    @param reactor: what it connects with.
    @param endpoint: its description.
    @raise WrongUsage: if the description is not valid.
    """
    from twisted.internet.endpoints import clientFromString

    try:
        return clientFromString(reactor, endpoint)
    # Each parser of endpoints raises its own errors, some without a message.
    except Exception as error:
        why = str(error) or str(error.__context__ or "") or type(error).__name__
        for pattern, words in _TYPE_ERRORS:
            found = re.search(pattern, why)
            why = f"{words} {found[1]}" if found else why
        raise _noEndpoint(endpoint, why) from error


def _noEndpoint(endpoint: str, why: str) -> WrongUsage:
    return WrongUsage(f"not an endpoint: {endpoint}: {why}")


def portNumber(word: str) -> int:
    """
    Read a TCP port.

    @raise WrongUsage: if it is not a port.
    """
    if word.isascii() and word.isdigit() and 0 < int(word) < 65536:
        return int(word)
    raise WrongUsage(f"a port is a whole number, 1 to 65535, not {word!r}")


def hostAndPort(host: str, port: int) -> str:
    """
    Write a host and a port, as C{HOST:PORT} or C{[IPv6]:PORT}.
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def takeApart(endpoint: str, tls: dict[str, Any]) -> bool:
    """
    Split an endpoint C{tcp:} or C{tls:} into host, port and the options of TLS. We then
    resolve, connect and verify as without an endpoint. All other endpoints are left to
    Twisted.

    @param endpoint: its description.
    @param tls: gets the host and the port, or another endpoint, and the options of TLS.
    @return: whether the endpoint is C{tls:}.
    """
    words = [
        re.sub(r"\\(.)", r"\1", word)
        for word in re.findall(r"((?:\\.|[^:\\])*)(?::|$)", endpoint)[:-1]
    ]
    kind = words[0].lower()
    if kind not in ("tcp", "tls"):
        return False
    named = dict(word.partition("=")[::2] for word in words[1:] if "=" in word)
    plain = [word for word in words[1:] if "=" not in word]
    for name in ("host", "port"):
        if name not in named and plain:
            named[name] = plain.pop(0)
    host, port = named.pop("host", ""), named.pop("port", "")
    if not host or not port or plain:
        raise _noEndpoint(endpoint, f"it is {kind}:HOST:PORT and words with =")
    try:
        tls["port"] = portNumber(port)
    except WrongUsage as error:
        raise _noEndpoint(endpoint, str(error)) from error
    tls["host"] = host
    tls["endpoint"] = None
    if kind == "tls":
        for word, option in _WORDS_OF_TLS.items():
            if word in named and tls[option] is not None:
                raise WrongUsage(
                    f"{word}= in the endpoint and --{option} have the same meaning"
                )
            if word in named:
                tls[option] = named.pop(word)
        if "endpoint" in named:
            tls["endpoint"] = named.pop("endpoint")
            tls["tls-name"] = tls["tls-name"] or host
            tls["host"] = tls["port"] = None
    if named:
        # A timeout or a source address: Twisted knows these words.
        rest = [f"{name}={value}".replace(":", r"\:") for name, value in named.items()]
        escaped = host.replace(":", r"\:")
        tls["tls-name"] = tls["tls-name"] or (host if kind == "tls" else None)
        tls["endpoint"] = ":".join(["tcp", escaped, port, *rest])
        tls["host"] = tls["port"] = None
    return kind == "tls"
