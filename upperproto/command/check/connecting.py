"""
Steps of check about the connection: name, TCP, TLS.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface import implementer

from upperproto.command.check.stepcontext import Finding, Skip, StepContext
from upperproto.command.errors import NotConnected
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.durations import milliseconds
from upperproto.command.route.addresses import Address


async def resolve(context: StepContext) -> Finding:
    """
    Find all addresses of the name.
    """
    connector = context.connector
    if connector.target.host is None:
        raise Skip(
            f"{connector.target.name} is an endpoint that finds its own addresses"
        )
    started = connector.now()
    try:
        context.addresses = await connector.resolve()
    except NotConnected as error:
        context.broken = "no address"
        raise Fault(error.code, error.why) from error
    taken = connector.now() - started
    addresses = list(map(str, context.addresses))
    return Finding(
        f"{', '.join(addresses)} in {milliseconds(taken)}",
        {"addresses": addresses, "resolve_seconds": round(taken, 6)},
    )


async def connect(context: StepContext) -> Finding:
    """
    Connect to each address.
    """
    if context.connector.target.host is not None and not context.addresses:
        await resolve(context)
    targets: list[Address | None] = [*context.addresses] or [None]
    times: dict[str, float | None] = {}
    said, good = [], []
    fault = None
    for address in targets:
        name = str(address or context.connector.target.name)
        addresses = [] if address is None else [address]
        try:
            probe = await context.open(addresses=addresses, plain=True)
        except Fault as found:
            fault = found
            times[name] = None
            said.append(f"{name}: {found}")
            continue
        assert probe.opened is not None
        seconds = probe.opened.connectSeconds
        times[name] = round(seconds, 6)
        said.append(f"{name} in {milliseconds(seconds)}")
        good.append(address)
        probe.client.transport.loseConnection()
        # Let it end in order. The server might log an abort as a fault.
        await context.wait(0)
    if fault is not None:
        if not good:
            context.broken = "no connection"
            raise fault
        context.addresses = [address for address in good if address is not None]
        raise Fault("some-addresses", "; ".join(said))
    return Finding(", ".join(said), {"connect_seconds": times})


async def tls(context: StepContext) -> Finding:
    """
    Make a TLS session, and look at the certificate.
    """
    if context.connector.target.credentials is None:
        raise Skip("without --tls")
    try:
        probe = await context.open()
    except Fault as fault:
        context.broken = "no TLS session"
        shown = await _shown(context)
        if shown is not None and fault.code in ("tls", "untrusted", "wrong-name"):
            raise Fault(fault.code, f"{fault}; it shows: {shown.detail}") from fault
        raise
    assert probe.opened is not None
    return _described(probe.opened.tls, probe.opened.tlsSeconds)


async def _shown(context: StepContext) -> Finding | None:
    """
    Look at a certificate that is not trusted. No text is sent.
    """
    target = context.connector.target
    assert target.credentials is not None
    try:
        probe = await context.open(creator=_unverified(target.credentials.name))
    except Fault:
        return None
    assert probe.opened is not None
    return _described(probe.opened.tls, probe.opened.tlsSeconds)


def _described(details: Any, seconds: float | None) -> Finding:
    names = ", ".join(details["names"]) or "nobody"
    days = details["days"]
    left = f"{days:g} days left" if days >= 0 else f"expired {-days:g} days ago"
    said = (
        f"{details['version']}, {details['cipher']}, for {names}, {left}, handshake in"
        f" {milliseconds(seconds)}"
    )
    return Finding(said, {**details, "tls_seconds": round(seconds or 0.0, 6)})


def _unverified(name: str) -> IOpenSSLClientConnectionCreator:
    """
    Make a TLS side that trusts every certificate.
    """
    from OpenSSL.SSL import Connection
    from twisted.internet.ssl import CertificateOptions

    @implementer(IOpenSSLClientConnectionCreator)
    class Creator:
        def clientConnectionForTLS(self, protocol: object) -> Connection:
            connection = Connection(CertificateOptions(verify=False).getContext(), None)
            if not name.replace(".", "").isdigit() and ":" not in name:
                connection.set_tlsext_host_name(name.encode("idna"))
            return connection

    return Creator()
