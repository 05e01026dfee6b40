"""
C{upper-client}: words on a command line become a conversation.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import globalLogBeginner
from twisted.python import usage
from twisted.python.failure import Failure

from upperproto.command import standardio as stdio
from upperproto.command import target as destination
from upperproto.command.errors import whyNotConnected
from upperproto.command.interactive import Terminal
from upperproto.command.pipe import Filter
from upperproto.command.session import BadEnd
from upperproto.command.target import NoDestination

# Statuses of the process. That of Ctrl-C is what a shell gives for SIGINT.
FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130

STDERR = 2


def _port(word: str) -> int:
    """
    Coerce an option to a TCP port.
    """
    if word.isascii() and word.isdigit() and 0 < int(word) < 65536:
        return int(word)
    raise usage.UsageError(f"--port takes a whole number, 1 to 65535, not {word!r}")


class Options(usage.Options):
    """
    The options of C{upper-client}.
    """

    synopsis = "Usage: upper-client [options]"
    longdesc = (
        "Send text to an upper-case service and show its answers: on a terminal,"
        " one message a line, until q or the end of input; else as a filter from"
        " standard input to standard output. An option --tls-... turns on TLS"
        " for --host and --port; with --connect, say it in the endpoint:"
        " tls:HOST:PORT:trustRoots=FOLDER:certificate=FILE:privateKey=FILE"
        ":endpoint=ENDPOINT."
    )

    optParameters: ClassVar = [
        ["host", "H", "127.0.0.1", "Name or address of the server."],
        ["port", "p", 5000, "TCP port of the server.", _port],
        ["connect", "c", None, "Endpoint to connect to, in place of host and"
         " port: unix:PATH, tls:HOST:PORT, or any other of Twisted's."
         " [default: none]"],
        ["tls-ca", "A", None, "PEM file of the certificates to trust for the"
         " server's. [default: those that the system trusts]"],
        ["tls-cert", "E", None, "PEM file of a client certificate to show, with"
         " those that lead to its CA behind it. [default: none]"],
        ["tls-key", "K", None, "PEM file of its private key. [default: the file"
         " of the client certificate]"],
        ["tls-name", "N", None, "Name that the server's certificate must have."
         " [default: the host]"],
    ]  # fmt: skip

    def opt_version(self) -> None:
        """Show the version and leave."""
        from importlib.metadata import version

        _tell(f"upper-client {version('upperproto')}")

    def opt_help(self) -> None:
        """Show this and leave."""
        _tell(str(self))

    def parseArgs(self, *words: str) -> None:
        """
        Take no words but options.
        """
        if words:
            raise usage.UsageError(f"not an option: {words[0]}")

    def postOptions(self) -> None:
        """
        Refuse options that would be of no effect.
        """
        if self["connect"] is not None:
            for option in ("tls-ca", "tls-cert", "tls-key", "tls-name"):
                if self[option] is not None:
                    raise usage.UsageError(
                        f"--{option} goes with --host and --port; with --connect,"
                        " say it in the endpoint"
                    )
        if self["tls-key"] is not None and self["tls-cert"] is None:
            raise usage.UsageError("--tls-key needs --tls-cert")


def run() -> None:
    """
    Run C{upper-client}, and end the process.
    """
    # A shell that starts a job in the background has it ignore SIGINT.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leaveAtOnce)
    # What Twisted logs is not for the person at the terminal.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)
    status = 0
    try:
        options = Options()
        options.parseOptions()
        _converse(options)
    except usage.UsageError as error:
        _complain(f"{error} (see upper-client --help)")
        status = WRONG_USAGE
    except (BadEnd, NoDestination) as error:
        _complain(str(error))
        status = FAILED
    sys.exit(status)


def _converse(options: Options) -> None:
    """
    Hold a conversation from its beginning to its end.

    @raise BadEnd: for an end that is not good.
    @raise UsageError: for an endpoint that is not one.
    @raise NoDestination: where TLS cannot be had like this.
    """
    for name, stream in (("input", sys.stdin), ("output", sys.stdout)):
        # Python found its descriptor closed; it may be another's by now.
        if stream is None:
            raise BadEnd(f"standard {name} is closed")
    from twisted.internet import reactor as installed

    # The interfaces do not know all that a reactor does.
    reactor: Any = installed
    endpoint = destination.endpoint(options, reactor)
    # A person is there only where both are a terminal.
    person = os.isatty(stdio.STDIN) and os.isatty(stdio.STDOUT)
    conversation = Terminal(reactor) if person else Filter(reactor)

    async def connectAndTalk() -> None:
        try:
            await endpoint.connect(Factory.forProtocol(lambda: conversation))
        except Exception as error:
            where, why = destination.name(options), whyNotConnected(error)
            raise BadEnd(f"cannot connect to {where}: {why}") from error
        await conversation.done

    results: list[Any] = []

    def start() -> None:
        talk = Deferred.fromCoroutine(connectAndTalk())
        talk.addBoth(results.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(start)
    # The handlers of Twisted would end the reactor, and us with status 0.
    reactor.run(installSignalHandlers=False)
    if isinstance(results[0], Failure):
        results[0].raiseException()


def _tell(text: str) -> None:
    """
    Write to standard output, and end.
    """
    try:
        stdio.write(f"{text}\n".encode())
    except BrokenPipeError:
        pass
    except OSError as error:
        raise BadEnd(f"cannot write standard output: {error.strerror}") from error
    sys.exit()


def _complain(problem: str) -> None:
    """
    Tell what is wrong on standard error, if there is one.
    """
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"upper-client: {problem}", file=sys.stderr, flush=True)


def _leaveAtOnce(number: int, frame: FrameType | None) -> None:
    """
    Leave because of Ctrl-C, on a new line.

    An exception would not do: the reactor catches those of what it calls. There
    is nothing to clean up, because nothing that will outlive us was changed.
    """
    with suppress(OSError):
        os.write(STDERR, b"\n")
    os._exit(INTERRUPTED)
