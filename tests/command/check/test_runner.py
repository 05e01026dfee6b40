"""
Tests for L{upperproto.command.check}: each step, with and without its fault.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.command.fakes import ADDRESS, TAKES, Connector, Server, upper
from upperproto.command.check import answers, halfclose, slowreader
from upperproto.command.check.runner import check
from upperproto.command.errors import NotConnected
from upperproto.command.formats.choice import formatter
from upperproto.command.options import Options
from upperproto.command.route.addresses import Address


class ByLines(Server):
    """
    A server that answers lines only.
    """

    begun = b""

    def received(self, data: bytes) -> None:
        """
        Answer what ends with a line end, and all before it.
        """
        self.begun += data
        if self.begun.endswith(b"\n"):
            data, self.begun = self.begun, b""
            super().received(data)


class CheckTests(SynchronousTestCase):
    """
    L{check}.
    """

    def setUp(self) -> None:
        """
        Send less than over a network.
        """
        self.patch(answers, "BULK", 1 << 18)
        self.patch(answers, "LONG_LINE", 1 << 14)
        self.patch(slowreader, "_MOST_UNREAD", 1 << 18)
        self.patch(halfclose, "_CONVERSATIONS", (1, 1, 100))

    def check(self, connector: Connector, *words: str) -> dict[str, dict[str, Any]]:
        """
        Examine a path.

        @return: the steps.
        """
        output: list[str] = []
        options = Options(["check", "--slow", "0.5", *words])
        form = formatter("json", "check", "h", output.append, self.fail)
        fake: Any = connector
        self.status = connector.run(check(options, form, fake, connector.clock))
        assert isinstance(self.status, int), self.status
        self.report = json.loads(output[0])
        return {step["step"]: step for step in self.report["steps"]}

    def assertFault(
        self, connector: Connector, step: str, fault: str, said: str, *words: str
    ) -> None:
        """
        Assert that one step fails, and with what.
        """
        found = self.check(connector, *words)
        failed = {
            name: s["fault"] for name, s in found.items() if s["status"] == "fail"
        }
        self.assertEqual(failed, {step: fault}, found)
        self.assertIn(said, found[step]["problem"])
        self.assertEqual(self.status, 1)

    def test_good(self) -> None:
        """
        Where there is no fault, all steps are ok.
        """
        found = self.check(Connector(), "--idle", "100")
        statuses = {name: step["status"] for name, step in found.items()}
        self.assertEqual(statuses.pop("tls"), "skip")
        self.assertEqual(set(statuses.values()), {"ok"}, found)
        self.assertEqual(len(statuses), 11)
        self.assertEqual((self.status, self.report["ok"]), (0, True))
        self.assertEqual(found["connect"]["measured"]["connect_seconds"], {
            str(ADDRESS): TAKES
        })  # fmt: skip
        self.assertGreaterEqual(found["idle"]["elapsed_seconds"], 100)

    def test_choice(self) -> None:
        """
        Steps can be chosen, and left out.
        """
        found = self.check(Connector(), "--only", "answer,order,bulk", "--skip", "bulk")
        self.assertEqual(list(found), ["answer", "order"])
        found = self.check(Connector(), "--only", "idle")
        self.assertEqual(found["idle"]["detail"], "without --idle")
        self.assertEqual(self.status, 2)
        self.assertNotIn("idle", self.check(Connector()))

    def test_resolve(self) -> None:
        """
        Without an address, nothing else is tried.
        """
        connector = Connector()
        connector.addresses = NotConnected("no-host", "no such host")
        self.assertFault(connector, "resolve", "no-host", "no such host")
        self.assertEqual({s["status"] for s in self.report["steps"]}, {"fail", "skip"})

    def refusing(self, *refused: Address) -> Connector:
        """
        Make a connector to two addresses, some of which refuse.
        """
        connector = Connector()
        other = Address(10, "2001:db8::1", 5000)
        connector.addresses = [other, ADDRESS]
        connect = connector.connect

        async def connectOrNot(protocol: Any, addresses: Any, **how: Any) -> Any:
            if addresses[0] in refused:
                raise NotConnected("refused", "Connection refused")
            return await connect(protocol, addresses, **how)

        self.patch(connector, "connect", connectOrNot)
        return connector

    def test_someAddresses(self) -> None:
        """
        One address of two that refuses is a fault; the steps go on with the other.
        """
        other = Address(10, "2001:db8::1", 5000)
        self.assertFault(
            self.refusing(other),
            "connect",
            "some-addresses",
            "[2001:db8::1]:5000: Connection refused; 192.0.2.1:5000 in 1.000 ms",
        )
        steps = {step["step"]: step["status"] for step in self.report["steps"]}
        self.assertEqual(steps["answer"], "ok")

    def test_refused(self) -> None:
        """
        Where all refuse, nothing else is tried.
        """
        other = Address(10, "2001:db8::1", 5000)
        self.assertFault(
            self.refusing(other, ADDRESS), "connect", "refused", "Connection refused"
        )

    def test_gone(self) -> None:
        """
        A server that is not there any more is told from one that never was.
        """
        connector = Connector()
        connect = connector.connect
        made: list[None] = []

        async def connectOnce(*words: Any, **how: Any) -> Any:
            made.append(None)
            if len(made) > 1:
                raise NotConnected("refused", "Connection refused")
            return await connect(*words, **how)

        self.patch(connector, "connect", connectOnce)
        self.assertFault(connector, "answer", "gone", "Connection refused")

    def test_order(self) -> None:
        """
        Answers in another order.
        """

        class Swapping(Server):
            kept = b""

            def received(self, data: bytes) -> None:
                if self.kept:
                    data, self.kept = data + self.kept, b""
                elif data.startswith(b"5:"):
                    self.kept = data
                    return
                self.transport.send(upper(data))

        self.assertFault(
            Connector(Swapping),
            "order",
            "order",
            "the answer to line 4 came in place of the one to line 3",
            *("--only", "answer,order"),
        )

    def test_halfClose(self) -> None:
        """
        Answers that are cut off with our end; and an end that does not come.
        """

        class Cutting(Server):
            def received(self, data: bytes) -> None:
                self.transport._clock.callLater(
                    TAKES, lambda: self.transport.send(upper(data))
                )

        class Endless(Server):
            def ended(self) -> None:
                pass

        class Resetting(Server):
            def ended(self) -> None:
                self.transport._clock.callLater(1, self.transport.cut)

        only = ("--only", "answer,halfclose")
        for server, code, said in [
            (
                Cutting,
                "halfclose-cut",
                "0 of 1 answered, then: the connection was closed",
            ),
            (
                Endless,
                "halfclose-open",
                "all answers came, but the connection did not end within 10 s",
            ),
            (
                Resetting,
                "cut",
                "all answers came, but the connection did not end in order",
            ),
        ]:
            self.assertFault(Connector(server), "halfclose", code, said, *only)

    def test_slowReader(self) -> None:
        """
        Answers that are lost while nobody reads.
        """

        class Dropping(Server):
            def received(self, data: bytes) -> None:
                if len(self.transport._unread) < 5:
                    super().received(data)

        self.assertFault(
            Connector(Dropping),
            *("slowreader", "slowreader-lost", "5 of ", "--only", "answer,slowreader"),
        )

    def test_slowReaderOfAll(self) -> None:
        """
        What happens to quick readers, too, is told as what it is.
        """

        class Dropping(Server):
            lines = 0

            def received(self, data: bytes) -> None:
                self.lines += 1
                if self.lines == 5:
                    self.transport.cut()
                else:
                    super().received(data)

        found = self.check(Connector(Dropping), "--only", "order,slowreader")
        self.assertEqual([s["fault"] for s in found.values()], ["cut", "cut"])

    def test_quiet(self) -> None:
        """
        A server that answers lines only, and one that answers neither.
        """

        class Deaf(Server):
            def received(self, data: bytes) -> None:
                if data.endswith(b"\n") and len(data) > 1:
                    super().received(data)

        found = self.check(Connector(ByLines), "--only", "answer,quiet")
        self.assertEqual(found["quiet"]["status"], "skip")
        self.assertEqual(
            found["quiet"]["detail"], "the server answers lines only (waited 3 s)"
        )
        self.assertFault(
            Connector(Deaf), "quiet", "silent", "no answer in time", "--only", "quiet"
        )

    def test_named(self) -> None:
        """
        A server that says first who it is has no fault for that, also where its name
        is long or it answers lines only; the step that asks for an answer names it.
        """
        name = "n" * 255

        class Named(Server):
            told = False

            def received(self, data: bytes) -> None:
                if not self.told:
                    self.told = True
                    self.transport.send(f"server: name={name} peer=unix\n".encode())
                # The notice comes alone, and the answer when the client is quiet.
                self.later(self.transport.send, upper(data))

            def ended(self) -> None:
                self.later(self.transport.finish)

            def later(self, *call: Any) -> None:
                self.transport._clock.callLater(0.05, *call)

        class Lines(ByLines, Named):
            pass

        found = self.check(Connector(Named), "--idle", "1")
        statuses = {name: step["status"] for name, step in found.items()}
        self.assertEqual(statuses.pop("tls"), "skip")
        self.assertEqual(set(statuses.values()), {"ok"}, found)
        self.assertIn(f" ms, served by {name}", found["answer"]["detail"])
        self.assertEqual(found["answer"]["measured"]["instance"], name)
        self.assertEqual(found["reconnect"]["measured"]["instances"], {name: 20})
        found = self.check(Connector(Lines), "--only", "quiet")
        self.assertIn("answers lines only", found["quiet"]["detail"])

    def test_idle(self) -> None:
        """
        A connection that is cut in silence, or forgotten, or closed with a reason.
        """

        class Impatient(Server):
            def received(self, data: bytes) -> None:
                super().received(data)
                self.transport._clock.callLater(5, self.transport.finish)

        class Telling(Server):
            def received(self, data: bytes) -> None:
                super().received(data)
                self.transport._clock.callLater(5, self.tell)

            def tell(self) -> None:
                self.transport.send(b"error: idle for 5 s\n")
                self.transport.finish()

        class Forgetful(Server):
            asked = 0

            def received(self, data: bytes) -> None:
                self.asked += 1
                if self.asked == 1:
                    super().received(data)

        words = ("--only", "answer,idle", "--idle", "60")
        for server, code, said in [
            (Impatient, "idle-cut", "closed after 5.0 s of silence"),
            (Telling, "idle-cut", "of silence (error: idle for 5 s)"),
        ]:
            self.assertFault(Connector(server), "idle", code, said, *words)
        self.assertFault(
            Connector(Forgetful),
            "idle",
            "idle-dead",
            "after 60 s of silence: no answer in time",
            *("--only", "idle", "--idle", "60"),
        )

    def test_reconnect(self) -> None:
        """
        Some connections that do not work; and who has answered those that do.
        """
        made: list[Server] = []

        class Pool(Server):
            def __init__(self) -> None:
                made.append(self)
                self.name = "ab"[len(made) % 2]
                self.broken = False

            def received(self, data: bytes) -> None:
                if self.broken:
                    self.transport.cut()
                else:
                    self.transport.send(f"server: name={self.name}\n".encode())
                    super().received(data)

        found = self.check(Connector(Pool), "--only", "reconnect")["reconnect"]
        self.assertEqual(found["measured"]["instances"], {"a": 10, "b": 10})
        self.assertIn("2 instances (a: 10, b: 10)", found["detail"])

        class Broken(Pool):
            def __init__(self) -> None:
                super().__init__()
                self.broken = self.name == "a"

        self.assertFault(
            Connector(Broken),
            "reconnect",
            "unsteady",
            "connections of 6 worked; ",
            *("--only", "reconnect"),
        )

    def test_stepHasAnEnd(self) -> None:
        """
        A step ends in its time, though something always comes.
        """

        class Drops(Server):
            def received(self, data: bytes) -> None:
                if b"\n" in data:
                    for index, byte in enumerate(upper(data)):
                        self.transport._clock.callLater(
                            index * 5, self.transport.send, bytes([byte])
                        )

        self.assertFault(
            Connector(Drops),
            *(
                "answer",
                "slow",
                "the step did not end within 60.5 s",
                "--only",
                "answer",
            ),
        )
        found = self.check(Connector(Drops, timeout=None), "--only", "answer")
        self.assertEqual(found["answer"]["fault"], "slow")

    def test_bulk(self) -> None:
        """
        A connection that is lost in the middle, and bytes that are.
        """

        class Cutting(Server):
            lines = 0

            def received(self, data: bytes) -> None:
                self.lines += 1
                if self.lines == 4:
                    self.transport.cut()
                else:
                    super().received(data)

        class Losing(Server):
            def received(self, data: bytes) -> None:
                answer = upper(data)
                self.transport.send(answer[:20000] + answer[20400:])

        for step in "bulk", "longline":
            self.patch(answers, "LONG_LINE", 1 << 16)
            found = self.check(Connector(Losing), "--only", step)[step]
            self.assertIn(found["fault"], ("torn", "wrong"))
            self.assertIn("after ", found["problem"])
        self.assertFault(
            Connector(Cutting), "bulk", "cut", "MiB of answers: the connection was cut",
            *("--only", "bulk"),
        )  # fmt: skip
