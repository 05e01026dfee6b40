"""Tell Twisted of the endpoint C{fault:}, which any server can listen on."""

from typing import Any

from twisted.internet.interfaces import (
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IStreamServerEndpointStringParser)
class FaultEndpointParser:
    """
    Read the description of a C{fault:} endpoint.

    Twisted loads this file for any server whose endpoint is no built-in one, so it
    imports the rest only when it is asked for.
    """

    prefix = "fault"

    def parseStreamServer(
        self, reactor: Any, *args: Any, **kwargs: Any
    ) -> IStreamServerEndpoint:
        """
        Make the endpoint: see L{upperproto.faults.endpoint.parse}.
        """
        from upperproto.faults.endpoint import parse

        return parse(reactor, args, kwargs)


fault = FaultEndpointParser()
