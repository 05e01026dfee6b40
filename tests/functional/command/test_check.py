"""
C{upper-client check} where the service has no fault, or nobody is there.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket

from tests.functional.command.client import run
from tests.functional.command.examination import QUICK, CheckTestCase
from tests.functional.processes import Server
from tests.functional.ways import (
    IPv6Way,
    ProxyTLSWay,
    ProxyWay,
    TLSWay,
    UNIXWay,
    Way,
)


class ServiceTests(CheckTestCase):
    """
    The service itself has no fault, whatever the way to it.
    """

    def test_all(self) -> None:
        """
        All steps, also those that take longer.
        """
        with Server() as server:
            self.assertGood(f"127.0.0.1:{server.port}", "--idle", "0.2")

    def test_ways(self) -> None:
        """
        Over IPv6, by a UNIX socket, over TLS, with a PROXY header, and with that and
        TLS.
        """
        header = ("--proxy-header", "192.0.2.1:40000")
        for kind, options, skipped in [
            (IPv6Way, (), "tls"),
            (UNIXWay, (), "resolve tls"),
            (TLSWay, (), ""),
            (ProxyWay, header, "tls"),
            (ProxyTLSWay, header, ""),
        ]:
            way: Way = kind()
            self.addCleanup(shutil.rmtree, way.folder)
            with Server(*way.options()) as server:
                where = f"unix:{way.folder}/socket"
                if server.port:
                    where = f"127.0.0.1:{server.port}"
                if isinstance(way, IPv6Way):
                    where = f"[::1]:{server.port}"
                if isinstance(way, TLSWay):
                    options += ("--tls-ca", way.authority.certificate)
                self.assertGood(where, *options, "--skip", "bulk", skipped=skipped)

    def test_noHeader(self) -> None:
        """
        Where a PROXY header is missing, that is guessed.
        """
        way = ProxyWay()
        self.addCleanup(shutil.rmtree, way.folder)
        with Server(*way.options()) as server:
            self.assertFault(
                "answer",
                "wants a PROXY header (--proxy-header)",
                f"127.0.0.1:{server.port}",
            )

    def test_idle(self) -> None:
        """
        The service's own limit is told in its words.
        """
        with Server("--idle-timeout", "0.2") as server:
            self.assertFault(
                "idle",
                "s of silence (error: idle for 0.2 s)",
                *(f"127.0.0.1:{server.port}", "--only", "idle", "--idle", "5"),
            )

    def test_json(self) -> None:
        """
        All formats tell the same.
        """
        with Server() as server:
            where = (f"127.0.0.1:{server.port}", "--only", "resolve,answer,tls")
            result = run("check", *where, "--format", "json")
            report = json.loads(result.stdout)
            self.assertEqual((result.returncode, report["ok"]), (0, True))
            statuses = {each["step"]: each["status"] for each in report["steps"]}
            expected = {"resolve": "ok", "tls": "skip", "answer": "ok"}
            self.assertEqual(statuses, expected)
            result = run("check", *where, "--format", "plugin")
            self.assertEqual(result.returncode, 0)
            self.assertRegex(
                result.stdout.decode(),
                r"^OK - 127.0.0.1:\d+: 2 steps ok \| time=0\.\d{6}s;;;0\n$",
            )
            result = run("check", *where, "--format", "prometheus")
            self.assertEqual(result.returncode, 0)
            self.assertIn(b'upper_check_step_success{step="answer"} 1\n', result.stdout)


class ConnectTests(CheckTestCase):
    """
    Nobody is there.
    """

    def test_closed(self) -> None:
        """
        A closed port refuses.
        """
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            self.assertFault(
                "connect",
                "Connection refused The machine can be reached, but nothing listens",
                f"127.0.0.1:{port}",
            )

    def test_fullBacklog(self) -> None:
        """
        A port whose queue of new connections is full swallows them.
        """
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            address = listener.getsockname()
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    waiting.connect(address)
            self.assertFault(
                "connect",
                "no answer in time Nothing came back, not even a refusal.",
                *(f"127.0.0.1:{address[1]}", *QUICK),
            )

    def test_unknown(self) -> None:
        """
        A name that is none is told.
        """
        self.assertFault("resolve", "no such host", "unknown.invalid")

    def test_nothingToTry(self) -> None:
        """
        Where nothing can be tried, the status is another.
        """
        result = run("check", "unix:/nowhere", "--only", "resolve")
        self.assertEqual((result.returncode, result.stderr), (2, b""))
