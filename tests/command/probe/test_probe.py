"""
Tests for L{upperproto.command.probe.probe} and
L{upperproto.command.probe.recordingclient}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.command.fakes import TAKES, Connector, Server, upper
from upperproto.command.errors import NotConnected
from upperproto.command.findings.diagnoses import Fault
from upperproto.command.findings.records import Answered
from upperproto.command.probe.probe import Probe


class ProbeTests(SynchronousTestCase):
    """
    L{Probe}.
    """

    def ask(self, server: type[Server], *texts: str, timeout: float = 10.0) -> Answered:
        """
        Ask some texts.

        @return: the record of the last one.
        """
        self.connector = Connector(server, timeout=timeout)

        async def ask() -> Answered:
            connector: Any = self.connector
            self.probe = Probe(connector, self.connector.clock)
            await self.probe.open()
            for text in texts:
                record = await self.probe.ask(text, 7)
            return record

        record = self.connector.run(ask())
        assert isinstance(record, Answered)
        return record

    def test_answer(self) -> None:
        """
        A right answer, and the time that it took.
        """
        record = self.ask(Server, "straße")
        self.assertEqual((record.answer, record.outcome), ("STRASSE", "ok"))
        self.assertEqual(record.rttSeconds, TAKES)
        self.assertEqual(record.resolveSeconds, 0)
        self.assertEqual(record.number, 7)

    def test_slow(self) -> None:
        """
        An answer may take longer than the limit while something comes.
        """

        class Drops(Server):
            def received(self, data: bytes) -> None:
                for index, byte in enumerate(upper(data)):
                    self.transport._clock.callLater(
                        index, self.transport.send, bytes([byte])
                    )

        record = self.ask(Drops, "abcdefgh", timeout=2)
        self.assertEqual(record.answer, "ABCDEFGH")
        self.assertAlmostEqual(record.rttSeconds or 0, 8 + TAKES)

    def test_late(self) -> None:
        """
        One that does not come in time is lost.
        """

        class Late(Server):
            def received(self, data: bytes) -> None:
                self.transport._clock.callLater(20, self.transport.send, upper(data))

        record = self.ask(Late, "a")
        assert record.fault is not None
        self.assertEqual((record.fault.code, record.outcome), ("silent", "lost"))
        self.assertEqual(self.connector.clock.seconds(), 10 + TAKES)

    def test_half(self) -> None:
        """
        Half of an answer is told from nothing.
        """

        class Half(Server):
            def received(self, data: bytes) -> None:
                self.transport.send(upper(data)[:3])

        record = self.ask(Half, "abcdef")
        assert record.fault is not None
        self.assertEqual(record.fault.code, "half")
        self.assertEqual(str(record.fault), "only 3 bytes of the answer came in time")

    def test_unasked(self) -> None:
        """
        What nobody has asked for is wrong, also if all answers are right.
        """

        class Twice(Server):
            def received(self, data: bytes) -> None:
                self.transport.send(upper(data) * 2)

        record = self.ask(Twice, "abc")
        assert record.fault is not None
        self.assertEqual(
            str(record.fault), "a line came that is no answer to a text: 'ABC'"
        )
        self.assertEqual(record.outcome, "wrong")

    def test_instance(self) -> None:
        """
        The server may say who it is.
        """

        class Named(Server):
            def received(self, data: bytes) -> None:
                self.transport.send(b"server: name=b peer=192.0.2.7:1 tls=1.3\n")
                self.transport.send(upper(data))

        self.assertEqual(self.ask(Named, "a").instance, "b")

    def test_badInstance(self) -> None:
        """
        What it says of itself does nothing to the terminal that shows it.
        """

        class Named(Server):
            def received(self, data: bytes) -> None:
                self.transport.send(b"server: tls=1.3 name=\x1b[2J\xff\xc2\x85 x=y z\n")
                self.transport.send(upper(data))

        self.assertEqual(self.ask(Named, "a").instance, "\\x1b[2J\ufffd\\x85")

    def test_lastWord(self) -> None:
        """
        An error that nobody had asked for is remembered.
        """

        class Idle(Server):
            def received(self, data: bytes) -> None:
                self.transport.send(upper(data) + b"error: idle for 1 s\n")

        self.ask(Idle, "a")
        self.assertEqual(self.probe.client.error, "idle for 1 s")

    def test_forEver(self) -> None:
        """
        Without a limit, an answer is waited for.
        """
        connector: Any = Connector(timeout=None)
        probe = Probe(connector, connector.clock)

        async def ask() -> Answered:
            await probe.open()
            return await probe.ask("a")

        self.assertEqual(connector.run(ask()).answer, "A")

    def test_notConnected(self) -> None:
        """
        A connection that cannot be made is a fault.
        """
        connector: Any = Connector()
        connector.addresses = NotConnected("wrong-name", "x", "cannot connect: x")
        fault = connector.run(Probe(connector, connector.clock).open())
        assert isinstance(fault, Fault)
        self.assertEqual((fault.code, str(fault)), ("wrong-name", "x"))
        self.assertTrue(fault.meaning and fault.cause)

    def test_close(self) -> None:
        """
        What is closed ends, and what is aborted does at once.
        """
        self.ask(Server, "a")
        self.probe.close()
        self.assertIsNotNone(self.probe.client.reason)
        self.ask(Server, "a")
        self.probe.abort()
        self.assertIsNotNone(self.probe.client.reason)
        self.probe.abort()
