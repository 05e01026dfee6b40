"""The options of the service, and the service that they describe."""

from twisted.application.internet import TCPServer
from twisted.python import usage

from yours.factory import LineFactory


class Options(usage.Options):
    """Each has a long name, a short name, a default, a help text, and its type."""

    optParameters = [
        ["port", "p", 5001, "TCP port to listen on.", usage.portCoerce],
        ["interface", "i", "127.0.0.1", "Address to listen on."],
        ["max-length", "m", 16384, "How many bytes a line may have.", int],
    ]


def makeService(options: Options) -> TCPServer:
    """Make the service. If the port is in use, the process ends with a message."""
    factory = LineFactory(options["max-length"])
    return TCPServer(options["port"], factory, interface=options["interface"])
