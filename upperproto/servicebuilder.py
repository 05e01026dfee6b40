"""
Make the service and its parts from the options that L{upperproto.tap} has read.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from twisted.application.service import IService
from twisted.internet.endpoints import quoteStringArgument
from twisted.python import usage

from upperproto.factory import UpperFactory
from upperproto.interfaces import IConnectionLog
from upperproto.limits.descriptorlimit import fitDescriptors
from upperproto.service import UpperService
from upperproto.ways.endpoints import CannotStart, forWorker, kindOf
from upperproto.ways.proxyprotocol.headerwait import LOOPBACK

if TYPE_CHECKING:
    # Only who wants them needs these.
    from upperproto.monitoring.counters import Counters
    from upperproto.tls.certificates.serverfiles import Certificates


def assemble(options: usage.Options, reactor: Any) -> IService:
    """
    Make the service that options describe, in one process or several, with its status.

    @param options: parsed options, as in L{upperproto.tap.Options}.
    @param reactor: listens and tells the time.
    @return: a service that is not started yet.
    @raise CannotStart: for an endpoint that is not valid.
    """
    make = makeSupervisor if options["workers"] > 1 else makeUpperService
    service: IService = make(options, reactor)
    endpoint, readyDelay = options["status"], options["ready-delay"]
    if endpoint is None and not readyDelay:
        return service
    # Few need it.
    from upperproto.status.service import StatusService

    if endpoint is not None and endpoint.isdecimal():
        endpoint = f"tcp:{endpoint}:interface=127.0.0.1"
    return StatusService(service, reactor, endpoint, readyDelay)


def makeSupervisor(options: usage.Options, reactor: Any) -> IService:
    """
    Make the service in several processes.
    """
    # Few need it.
    from upperproto.processes.supervisor import Supervisor

    workers = options["workers"]
    # This raises CannotStart if the workers could not use the files.
    _certificates(options)
    share = {**options, "workers": 1}
    for cap in ["max-connections", "max-per-peer"]:
        if options[cap] is not None:
            share[cap] = max(1, options[cap] // workers)
    share["listen"] = [forWorker(each) for each in options["listen"]]
    return Supervisor(
        workers,
        share,
        endpointsOf(options),
        options["drain"],
        reactor,
        _datagramsOf(options),
    )


def makeUpperService(options: usage.Options, reactor: Any) -> UpperService:
    """
    Make the service in one process, without its status.

    @param options: parsed options.
    @param reactor: listens and tells the time.
    @return: a service that is not started yet. It has counters if there is a status.
    @raise CannotStart: for an endpoint that is not valid.
    """
    certificates = _certificates(options)
    waits = certificates is not None or options["proxy-protocol"]
    maxConnections, maxRefused = fitDescriptors(
        options["max-connections"], queues=2 if waits else 1
    )
    factory = UpperFactory(
        errors=options["errors"],
        flushAfter=options["flush-after"],
        idleTimeout=options["idle-timeout"],
        maxConnections=maxConnections,
        maxPerPeer=options["max-per-peer"],
        maxRefused=maxRefused,
        log=options["log"],
        clock=reactor,
        counters=_counters(options),
        name=options["name"],
        accessLog=_accessLog(options, reactor),
    )
    proxies = None
    if options["proxy-protocol"]:
        proxies = [ip_network(each) for each in options["proxy-from"] or LOOPBACK]
    service = UpperService(
        factory,
        endpointsOf(options),
        options["drain"],
        reactor,
        maxRefused,
        certificates,
        proxies,
    )
    datagrams = _datagramsOf(options)
    if datagrams is not None:
        service.addDatagrams(*datagrams)
    return service


def endpointsOf(options: usage.Options) -> list[str]:
    """
    Give the descriptions of the endpoints to listen on, each with its backlog.
    """
    backlog = f"backlog={options['backlog']}"
    if not options["listen"]:
        interface = quoteStringArgument(options["interface"])
        return [f"tcp:{options['port']}:interface={interface}:{backlog}"]
    endpoints = []
    for endpoint in options["listen"]:
        if endpoint.isdecimal():
            endpoint = f"tcp:{endpoint}"
        hasBacklog = kindOf(endpoint) in ("tcp", "tcp6", "ssl", "tls", "unix")
        if hasBacklog and "backlog=" not in endpoint:
            endpoint = f"{endpoint}:{backlog}"
        endpoints.append(endpoint)
    return endpoints


def _datagramsOf(options: usage.Options) -> tuple[int | str, str] | None:
    """
    Give the port and the interface for datagrams, as in
    L{upperproto.datagrams.service.chooseAddress}; L{None} without datagrams.
    """
    if options["udp"] is None:
        return None
    return options["udp"], options["interface"]


def _certificates(options: usage.Options) -> Certificates | None:
    """
    Read the files of TLS, if there are any.

    @raise CannotStart: for files that cannot be used.
    """
    if options["tls-cert"] is None:
        return None
    try:
        from upperproto.tls.certificates.serverfiles import Certificates
    except ImportError as error:
        raise CannotStart(
            f"upper: TLS needs more packages (pip install 'upperproto[tls]'): {error}"
        ) from error
    try:
        return Certificates(
            options["tls-cert"], options["tls-key"], options["tls-client-ca"]
        )
    except ValueError as error:
        raise CannotStart(f"upper: {error}") from error


def _counters(options: usage.Options) -> Counters | None:
    """
    Make counters, if there is a status that shows them.
    """
    if options["status"] is None:
        return None
    from upperproto.monitoring.counters import Counters

    return Counters()


def _accessLog(options: usage.Options, reactor: Any) -> IConnectionLog | None:
    """
    Make the access log, if there is one.
    """
    target = options["access-log"]
    if target is None:
        return None
    from upperproto.monitoring.accessformats import formatJSON, formatText
    from upperproto.monitoring.accesslog import STANDARD_OUTPUT, AccessLog

    return AccessLog(
        STANDARD_OUTPUT if target == "-" else target,
        formatJSON if options["access-log-format"] == "json" else formatText,
        reactor,
        lines=options["log"] == "lines",
        isQuiet=options["log"] == "none",
    )
