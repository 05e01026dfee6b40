"""
A service that is started and stopped again and again, and one whose reactor is not in
the main thread.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import TIME_LIMIT

# Serves a client a hundred times, and says what has stayed.
AGAIN = """
import gc, os, signal, socket, sys, threading
from upperproto.reactor import epoll
if sys.argv[1] == "upper":
    epoll.install()
from twisted.internet import defer, reactor, threads
from twisted.logger import globalLogPublisher
from upperproto import UpperFactory
from upperproto.monitoring.accessformats import formatText
from upperproto.monitoring.accesslog import AccessLog
from upperproto.service import UpperService

def state():
    return (
        len(os.listdir("/proc/self/fd")),
        [each.name for each in threading.enumerate() if "PoolThread" not in each.name],
        signal.getsignal(signal.SIGTERM),
        signal.getsignal(signal.SIGINT),
        signal.getsignal(signal.SIGUSR1),
        len(globalLogPublisher._observers),
        sys.stdout.write, sys.__stdout__.write, reactor.doIteration,
        len(reactor.getReaders()), len(reactor.getWriters()),
        len(reactor.getDelayedCalls()),
    )

def ask(port):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"hello")
        client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read()

async def main():
    before = None
    for each in range(101):
        factory = UpperFactory(
            flushAfter=0.05, idleTimeout=60, log="lines", clock=reactor,
            accessLog=AccessLog(sys.argv[3], formatText, reactor, lines=True),
        )
        service = UpperService(
            factory, ["tcp:0:interface=127.0.0.1"], drain=1, reactor=reactor
        )
        service.startService()
        port = next(iter(service)).getHost().port
        assert await threads.deferToThread(ask, port) == b"HELLO"
        await service.stopService()
        gc.collect()
        if before is None:
            # The first has made the reactor's threads.
            before = state()
    after = state()
    assert after == before, (before, after)
    print("nothing stays")

def start():
    done = defer.Deferred.fromCoroutine(main())
    done.addErrback(lambda failure: print(failure.getTraceback()))
    done.addBoth(lambda _: reactor.stop())

reactor.callWhenRunning(start)
if sys.argv[2] == "main":
    reactor.run()
else:
    other = threading.Thread(target=reactor.run, args=(False,), name="reactor")
    other.start()
    other.join()
"""


class AgainTests(SynchronousTestCase):
    """
    One service after another in one process.
    """

    def check(self, *words: str) -> None:
        """
        Check that a hundred of them leave no thread, descriptor, handler, observer,
        call or replaced attribute behind.
        """
        with tempfile.NamedTemporaryFile() as accessLog:
            done = subprocess.run(
                [sys.executable, "-c", AGAIN, *words, accessLog.name],
                capture_output=True,
                text=True,
                timeout=TIME_LIMIT,
            )
            self.assertEqual((done.stdout, done.stderr), ("nothing stays\n", ""))
            self.assertEqual(accessLog.read().count(b"\n"), 101)

    def test_upper(self) -> None:
        """
        On the reactor of this package.
        """
        self.check("upper", "main")

    def test_default(self) -> None:
        """
        On Twisted's own.
        """
        self.check("default", "main")

    def test_anotherThread(self) -> None:
        """
        On a reactor that is not in the main thread.
        """
        self.check("upper", "other")
