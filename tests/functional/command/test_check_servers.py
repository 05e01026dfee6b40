"""
C{upper-client check} against servers with faults: which step fails, and with which
words.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from unittest import SkipTest

from tests.functional.command import faulty
from tests.functional.command.client import serveAll
from tests.functional.command.examination import QUICK, CheckTestCase
from tests.functional.processes import EXAMPLES, TIME_LIMIT


class FaultyServerTests(CheckTestCase):
    """
    Servers with faults.
    """

    def test_answer(self) -> None:
        """
        What does not answer, or otherwise, fails at the known answer.
        """
        for server, said in [
            (faulty.echo, "the text itself came back The text came back as it was"),
            (faulty.silent, "no answer in time The connection is open, and nothing"),
            (faulty.half, "bytes of the answer came in time The rest of the answer"),
            (faulty.late(2), "no answer in time"),
            (faulty.twice, "a line came that is no answer to a text: '1:"),
            (faulty.greeting, "'WELCOME' came"),
            (faulty.garbage, "came, which is not UTF-8"),
            (faulty.endless, "bytes came without a line end More came than was asked"),
            (faulty.foreign, "the answer to another text came: '7:ΑΒΓΔ ÄÖÜ' This is"),
            (faulty.closing, "the connection was closed without saying anything"),
            (faulty.resetting, "the connection was cut off"),
            (faulty.full, "error: too many connections The server itself sent"),
            (faulty.web, "came: the server there is a web server, not an"),
            (faulty.alert, "a TLS alert came in place of the answer The server"
             " expects TLS and does not understand plain text: ask with --tls"),
        ]:  # fmt: skip
            with serveAll(server) as where:
                quick = QUICK if "in time" in said else ()
                self.assertFault("answer", said, where, *quick)

    def test_linesOnly(self) -> None:
        """
        A server that waits for line ends has no fault.
        """
        with serveAll(faulty.linesOnly) as where:
            self.assertGood(where, "--skip", "bulk", skipped="tls quiet")

    def test_late(self) -> None:
        """
        A server that answers in time has no fault, and its time is told.
        """
        with serveAll(faulty.late(0.2)) as where:
            found = self.check(where, "--only", "answer")
        self.assertRegex(found["answer"][1], r"^in [23]\d\d\.\d ms$")

    def test_order(self) -> None:
        """
        Answers in another order are told from wrong ones.
        """
        with serveAll(faulty.swapped) as where:
            self.assertFault(
                "order",
                "the answer to line 2 came in place of the one to line 1",
                *(where, "--only", "answer,order"),
            )

    def test_noEnd(self) -> None:
        """
        A server that answers all and does not end is told from one that cuts.
        """
        with serveAll(faulty.deaf) as where:
            self.assertFault(
                "halfclose",
                "all answers came, but the connection did not end within 1 s Everything"
                " was answered",
                *(where, "--only", "answer,halfclose", *QUICK),
            )

    def test_tutorial(self) -> None:
        """
        The server of a first tutorial takes one connection, and ends. It answers
        text as it comes, and breaks where a character is cut.
        """
        for only, step, said in [
            ("connect,answer", "answer", "the server ends with its first connection"),
            ("order", "order", "answered, then: the connection was"),
            ("order", "order", "or it has crashed"),
            ("answer,quiet", "quiet", "the server ends with its first connection"),
        ]:
            server = subprocess.Popen(
                [sys.executable, "-u", EXAMPLES / "blocking_server.py", "0"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            try:
                assert server.stdout is not None
                found = re.search(rb"(\d+)\)", server.stdout.readline())
                assert found is not None
                where = f"127.0.0.1:{int(found[1])}"
                self.assertFault(step, said, where, "--only", only)
            finally:
                server.kill()
                server.communicate(timeout=TIME_LIMIT)

    def test_socat(self) -> None:
        """
        An echo by C{socat} is a loop; C{tr} knows ASCII alone.
        """
        if shutil.which("socat") is None:
            raise SkipTest("needs socat")
        for command, said in [
            ("EXEC:cat", "the text itself came back"),
            ("SYSTEM:stdbuf -oL tr a-z A-Z", "Only the letters of ASCII have become"),
        ]:
            # Its diagnostics say which port the system has given it.
            server = subprocess.Popen(
                [
                    *("socat", "-dd"),
                    "TCP-LISTEN:0,bind=127.0.0.1,fork,reuseaddr",
                    command,
                ],
                stderr=subprocess.PIPE,
            )
            try:
                assert server.stderr is not None
                line = b""
                while b"listening on" not in line:
                    line = server.stderr.readline()
                port = int(line.rpartition(b":")[2])
                self.assertFault("answer", said, f"127.0.0.1:{port}")
            finally:
                server.terminate()
                server.communicate(timeout=TIME_LIMIT)
