"""
Tests for L{upperproto.service}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import MemoryNetwork
from upperproto.factory import UpperFactory
from upperproto.listeners import CannotStart
from upperproto.service import UpperService


class UpperServiceTests(SynchronousTestCase):
    """
    Tests for L{UpperService}.
    """

    def test_listen(self) -> None:
        """
        It listens on each of its endpoints, for its factory.
        """
        reactor = MemoryReactorClock()
        factory = UpperFactory()
        service = UpperService(factory, ["tcp:1", "unix:/s"], 10, reactor)
        service.startService()
        [(port, served, *_)] = reactor.tcpServers
        self.assertEqual((port, served), (1, factory))
        [(path, served, *_)] = reactor.unixServers
        self.assertEqual((path, served), ("/s", factory))

    def test_notAnEndpoint(self) -> None:
        """
        What is not an endpoint is an error before anything is listened on.
        """
        reactor = MemoryReactorClock()
        with self.assertRaises(CannotStart):
            UpperService(UpperFactory(), ["tcp:1", "foo"], 10, reactor)
        self.assertEqual(reactor.tcpServers, [])

    def test_stop(self) -> None:
        """
        New connections are refused first; then those that are open drain, and
        only then has it stopped.
        """
        network = MemoryNetwork()
        factory = UpperFactory(clock=network)
        service = UpperService(factory, ["tcp:1"], 10, network)
        service.startService()
        client = network.connect(factory)
        client.send(b"hello\n")
        network.turn()
        stopped: Any = service.stopService()
        network.wait(1)
        self.assertEqual(client.receive(), b"HELLO\n")
        self.assertTrue(client.ended)
        self.assertNoResult(stopped)
        client.finish()
        network.wait(1)
        self.successResultOf(stopped)

    def test_triggers(self) -> None:
        """
        What a process has only one of (its signals, its output) is left alone
        until the reactor runs, or shuts down.
        """
        reactor = MemoryReactorClock()
        UpperService(UpperFactory(), [], 10, reactor).startService()
        self.assertIn("shutdown", reactor.triggers["before"])
