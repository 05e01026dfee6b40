"""The options of the service, and the service that they describe."""

from twisted.application.internet import TCPServer
from twisted.python import usage

from yours.factory import LineFactory


class Options(usage.Options):
    """Each: long name, short name, default, its help, what makes a value of a word."""

    optParameters = [
        ["port", "p", 5001, "TCP port to listen on.", usage.portCoerce],
        ["interface", "i", "127.0.0.1", "Address to listen on."],
        ["max-length", "m", 16384, "Bytes that a line may have.", int],
    ]


def makeService(options: Options) -> TCPServer:
    """Make the service. A port that is taken ends the process, which says so."""
    factory = LineFactory(options["max-length"])
    return TCPServer(options["port"], factory, interface=options["interface"])
