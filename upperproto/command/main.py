"""
C{upper-client}: run the command that the command line names.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine
from contextlib import suppress
from math import inf, isinf
from typing import Any

from upperproto.command import standardio as stdio
from upperproto.command.errors import (
    NoDestination,
    NotConnected,
    SessionError,
    WrongUsage,
)
from upperproto.command.interrupt import leaveAtOnce, onInterrupt
from upperproto.command.options import Options

# Exit statuses.
FAILED, WRONG_USAGE = 1, 2

# How long, in seconds, a probe waits for the network by default.
TIMEOUT = 10.0


def run() -> None:
    """
    Run C{upper-client}, and end the process.
    """
    onInterrupt(leaveAtOnce)
    arguments = sys.argv[1:]
    try:
        status = _run(Options(arguments))
    except WrongUsage as error:
        _complain(f"{error} (see upper-client --help)")
        status = _wrong(arguments, str(error), WRONG_USAGE)
    except NoDestination as error:
        _complain(str(error))
        probing = any(word in ("ping", "check") for word in arguments)
        status = _wrong(arguments, str(error), WRONG_USAGE if probing else FAILED)
    except NotConnected as error:
        from upperproto.command.formats.text import notConnected

        _complain(notConnected(error))
        status = FAILED
    except SessionError as error:
        _complain(str(error))
        status = FAILED
    # sys.exit could wait for the thread that reads from the terminal.
    with suppress(Exception):
        sys.stderr.flush()
    os._exit(status)


def _wrong(arguments: list[str], said: str, status: int) -> int:
    """
    Get the exit status of an error before the command began. With the format plugin, it
    is UNKNOWN, and is printed.
    """
    if {"plugin", "--format=plugin"}.intersection(arguments):
        from upperproto.command.formats.plugin import UNKNOWN, line

        _print(line(UNKNOWN, said))
        return UNKNOWN
    return status


def _run(options: Options) -> int:
    """
    Run the command.

    @return: the exit status.
    """
    if "help" in options:
        from upperproto.command.help import text as explain

        _print(explain(options.command if options.named else ""))
        return 0
    if "version" in options:
        from importlib.metadata import version

        _print(f"upper-client {version('upperproto')}\n")
        return 0
    words = options.words
    text = ""
    if options.command == "ask":
        if not words:
            raise WrongUsage("ask needs a TEXT")
        text, *words = words
    from upperproto.command.route.target import target

    datagrams = "udp" in options or bool(words and words[0].startswith("udp:"))
    if datagrams:
        from upperproto.command.datagrams.target import target
    where = target(options, words)
    reactor = _reactor(where.needsOpenSSL)
    from upperproto.command.route.connection import CONNECT_TIMEOUT, Connector

    probing = options.command != "talk"
    timeout = options.get("timeout", TIMEOUT if probing else CONNECT_TIMEOUT)
    connector = Connector(where, reactor, None if isinf(timeout) else timeout)
    if options.command == "talk":
        return _runReactor(reactor, _talk(options, connector, reactor))
    from upperproto.command.formats.choice import formatter

    form = options.get("format", "text")
    printed = formatter(form, options.command, where.name, _print, _complain)
    if options.command == "ask":
        from upperproto.command.probe.ask import ask

        return _runReactor(reactor, ask(text, printed, connector, reactor))
    if options.command == "ping":
        from upperproto.command.probe.ping import Pinger

        pinger = Pinger
        if datagrams:
            from upperproto.command.datagrams.ping import DatagramPinger

            pinger = DatagramPinger
        running = pinger(options, printed, connector, reactor).runUntilInterrupted()
        return _runReactor(reactor, running)
    if datagrams:
        from upperproto.command.datagrams.checksteps import check
    else:
        from upperproto.command.check.runner import check

    return _runReactor(reactor, check(options, printed, connector, reactor))


def _reactor(needsOpenSSL: bool) -> Any:
    """
    Import Twisted's reactor, without OpenSSL if no TLS is needed.

    The reactor imports OpenSSL if that is installed. This takes 0.12 of 0.33 s and 13
    of 44 MB (Python 3.11, Twisted 26.10). So OpenSSL is hidden during the import if the
    connection has no TLS. If that fails one day, the client only starts more slowly.
    """
    hidden = not needsOpenSSL and "OpenSSL" not in sys.modules
    if hidden:
        sys.modules["OpenSSL"] = None  # type: ignore[assignment] # As Python does it.
    try:
        from twisted.internet import reactor
        from twisted.logger import globalLogBeginner
    finally:
        if hidden:
            del sys.modules["OpenSSL"]
    # The log of Twisted is not shown to the user.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)
    return reactor


def _runReactor(reactor: Any, command: Coroutine[Any, Any, int]) -> int:
    """
    Run the reactor until the command has ended.

    @return: the exit status of the command.
    """
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

    results: list[Any] = []

    def start() -> None:
        running = Deferred.fromCoroutine(command)
        running.addBoth(results.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(start)
    # A handler of Twisted would stop the reactor, and the status would be 0.
    reactor.run(installSignalHandlers=False)
    result = results[0]
    if isinstance(result, Failure):
        result.raiseException()
    status: int = result
    return status


async def _talk(options: Options, connector: Any, reactor: Any) -> int:
    """
    Run talk: on a terminal or as a filter.
    """
    for name, stream in (("input", sys.stdin), ("output", sys.stdout)):
        # Python found the descriptor closed. Now another file may have its number.
        if stream is None:
            raise SessionError(f"standard {name} is closed")
    timeout = options.get("timeout", inf)
    more = {
        "verify": "verify" in options,
        "timeout": None if isinf(timeout) else timeout,
    }
    session: Any
    progress = None
    # A person is there only if both are a terminal.
    if os.isatty(stdio.STDIN) and os.isatty(stdio.STDOUT):
        from upperproto.command.talk.interactive import Terminal
        from upperproto.command.talk.keyboard import Keyboard

        if "progress" in options:
            raise WrongUsage("--progress is for filters, not for a terminal")
        keyboard = Keyboard(reactor)

        def interrupted() -> None:
            keyboard.stop()
            leaveAtOnce()

        onInterrupt(interrupted)
        session = Terminal(reactor, keyboard, **more)
    else:
        from upperproto.command.talk.pipe import Filter
        from upperproto.command.talk.progress import Progress

        progress = Progress(reactor) if "progress" in options else None
        session = Filter(reactor, progress, **more)
    try:
        await connector.connect(session)
        await session.done
    finally:
        if progress is not None:
            progress.close()
    return 0


def _print(text: str) -> None:
    """
    Write to standard output. End the process well if nobody reads it any more.
    """
    try:
        stdio.write(text.encode())
    except BrokenPipeError:
        os._exit(0)
    except OSError as error:
        raise SessionError(f"cannot write standard output: {error.strerror}") from error


def _complain(problem: str) -> None:
    """
    Write an error message to standard error, if it is open.
    """
    if sys.stderr is not None:
        with suppress(OSError):
            print(f"upper-client: {problem}", file=sys.stderr, flush=True)
