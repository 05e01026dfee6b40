"""
C{upper-client check} against faults of all kinds: which step fails, and with which
words.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from tests.functional.command import faulty
from tests.functional.command.client import folder, run, serveAll
from tests.functional.processes import EXAMPLES, PATIENCE, Server, eventually
from tests.functional.ways import ProxyTLSWay, ProxyWay, UNIXWay, Way

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
MODULES = "/usr/lib/nginx/modules"

QUICK = ("--timeout", "1", "--slow", "0.5")


def steps(output: bytes) -> dict[str, tuple[str, str]]:
    """
    Read what C{check} prints.

    @return: for each step its status, and its words on one line.
    """
    found = re.findall(
        r"^(\w+) +(ok|FAIL|skip)  (.*(?:\n {10,}.*)*)", output.decode(), re.MULTILINE
    )
    return {name: (status, " ".join(said.split())) for name, status, said in found}


class CheckTestCase(SynchronousTestCase):
    """
    A path is examined.
    """

    def check(self, *options: str) -> dict[str, tuple[str, str]]:
        """
        Examine a path.

        @return: the steps.
        """
        result = run("check", *QUICK, *options)
        self.assertEqual(result.stderr.decode(), "")
        found = steps(result.stdout)
        failed = any(status == "FAIL" for status, _ in found.values())
        self.assertEqual(result.returncode, int(failed), result.stdout)
        return found

    def assertFault(self, step: str, said: str, *options: str) -> None:
        """
        Assert that one step fails and no other, and what is said then.
        """
        found = self.check(*options)
        failed = [name for name, (status, _) in found.items() if status == "FAIL"]
        self.assertEqual(failed, [step], found)
        self.assertIn(said, found[step][1])
        self.assertIn("Usual cause: ", found[step][1])

    def assertGood(self, *options: str, skipped: str = "tls") -> None:
        """
        Assert that each step is ok, or left out for a good reason.

        @param skipped: which, with spaces between them.
        """
        found = self.check(*options)
        self.assertEqual(
            {name: status for name, (status, _) in found.items() if status != "ok"},
            dict.fromkeys(skipped.split(), "skip"),
            found,
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
        By a UNIX socket, with a PROXY header, and with that and TLS.
        """
        header = ("--proxy-header", "192.0.2.1:40000")
        for kind, options, skipped in [
            (UNIXWay, (), "resolve tls"),
            (ProxyWay, header, "tls"),
            (ProxyTLSWay, header, ""),
        ]:
            way: Way = kind()
            self.addCleanup(shutil.rmtree, way.folder)
            with Server(*way.options()) as server:
                where = f"unix:{way.folder}/socket"
                if server.port:
                    where = f"localhost:{server.port}"
                    options += ("-4",)
                if isinstance(way, ProxyTLSWay):
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
            (faulty.silent, "no answer in time The connection stands, and nothing"),
            (faulty.half, "bytes of the answer came in time The rest of the answer"),
            (faulty.late(2), "no answer in time"),
            (faulty.twice, "a line came that nobody had asked for: '1:"),
            (faulty.greeting, "'WELCOME' came"),
            (faulty.garbage, "came, which is not UTF-8"),
            (faulty.endless, "bytes came without a line end More came than was asked"),
            (faulty.foreign, "the answer to another text came: '7:ΑΒΓΔ ÄÖÜ' This is"),
            (faulty.closing, "the connection was closed without saying anything"),
            (faulty.resetting, "the connection was cut off"),
            (faulty.full, "error: too many connections The server itself says so."),
            (faulty.web, "came: this is a web server"),
            (faulty.alert, "a TLS alert came in place of the answer Plain text cannot"
             " reach it: ask with --tls"),
        ]:  # fmt: skip
            with serveAll(server) as where:
                self.assertFault("answer", said, where)

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
                "all answers came, and no end within 1 s All was answered, but",
                *(where, "--only", "answer,halfclose"),
            )

    def test_tutorial(self) -> None:
        """
        The server of a first tutorial takes one connection, and ends. It answers
        text as it comes, and breaks where a character is cut.
        """
        for only, step, said in [
            ("connect,answer", "answer", "the server takes one connection, and ends"),
            ("order", "order", "answered, then: the connection was"),
            ("order", "order", "or it has crashed"),
            ("answer,quiet", "quiet", "the server takes one connection, and ends"),
        ]:
            server = subprocess.Popen(
                [sys.executable, EXAMPLES / "blocking_server.py", "0"],
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
                server.communicate(timeout=PATIENCE)

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
                server.communicate(timeout=PATIENCE)


class ProxyTests(CheckTestCase):
    """
    Proxies in front of the service.
    """

    def test_faulty(self) -> None:
        """
        What a proxy does wrong is found, though all else is right.
        """
        with Server() as server:
            for pump, options, step, said in [
                (
                    faulty.cutsAtHalfClose,
                    ("--only", "answer,order,halfclose"),
                    "halfclose",
                    "Somebody takes the end of our side for the end of everything",
                ),
                (
                    faulty.dropsForSlowReaders,
                    ("--only", "answer,order,longline,slowreader", "--slow", "2"),
                    "slowreader",
                    "Answers that had to wait for a slow reader were thrown away.",
                ),
                (
                    faulty.cutsSilence(2),
                    ("--only", "answer,order,idle", "--idle", "4"),
                    "idle",
                    "closed after 2.0 s of silence Silence ends the connection.",
                ),
                (
                    faulty.forgets(0.2),
                    ("--only", "answer,order,idle", "--idle", "0.5"),
                    "idle",
                    "after 0.5 s of silence: no answer in time After the silence,"
                    " nothing comes through, and nobody says so.",
                ),
            ]:
                with serveAll(faulty.proxy(server.port, pump)) as where:
                    self.assertFault(step, said, where, *options)

    def test_nginx(self) -> None:
        """
        nginx without C{proxy_half_close} cuts answers off; with it, it has no fault.
        """
        if not (
            os.path.exists(NGINX) and os.path.exists(f"{MODULES}/ngx_stream_module.so")
        ):
            raise SkipTest("needs nginx with its stream module")
        for word in "off", "on":
            with Server() as server, self.nginx(server.port, word) as where:
                if word == "on":
                    self.assertGood(where, "--skip", "bulk")
                else:
                    self.assertFault(
                        "halfclose",
                        "nginx without proxy_half_close on",
                        *(where, "--skip", "bulk"),
                    )

    @contextlib.contextmanager
    def nginx(self, port: int, halfClose: str) -> Iterator[str]:
        """
        Run nginx.

        @param port: the server's.
        @param halfClose: C{on} or C{off}.
        """
        place = folder(self)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            own = listener.getsockname()[1]
            Path(place, "conf").write_text(
                f"load_module {MODULES}/ngx_stream_module.so; events {{}} stream {{"
                f" server {{ listen 127.0.0.1:{own}; proxy_pass 127.0.0.1:{port};"
                f" proxy_half_close {halfClose}; }} }}"
            )
            proxy = subprocess.Popen(
                [
                    *(NGINX, "-p", place, "-c", f"{place}/conf", "-e", "stderr"),
                    *("-g", f"daemon off; pid {place}/pid;"),
                ],
                env={**os.environ, "NGINX": f"{listener.fileno()};"},
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        try:
            eventually(lambda: self.answers(own), "nginx to answer")
            yield f"127.0.0.1:{own}"
        finally:
            proxy.terminate()
            proxy.wait(PATIENCE)

    def test_haproxy(self) -> None:
        """
        HAProxy has no fault.
        """
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        if not os.path.exists(program):
            raise SkipTest("needs HAProxy")
        place = folder(self)
        with Server() as server, socket.create_server(("127.0.0.1", 0)) as listener:
            own = listener.getsockname()[1]
            Path(place, "conf").write_text(
                "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n"
                f" timeout server 60s\nlisten a\n bind fd@{listener.fileno()}\n"
                f" server b 127.0.0.1:{server.port}\n"
            )
            proxy = subprocess.Popen(
                [program, "-db", "-f", f"{place}/conf"],
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                eventually(lambda: self.answers(own), "HAProxy to answer")
                self.assertGood(f"127.0.0.1:{own}", "--skip", "bulk")
            finally:
                proxy.terminate()
                proxy.wait(PATIENCE)

    def answers(self, port: int) -> bool:
        """
        Tell whether a proxy answers yet.
        """
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"a\n")
                return connection.recv(2) == b"A\n"
        except OSError:
            return False


class TLSTests(CheckTestCase):
    """
    Certificates that do not do.
    """

    def setUp(self) -> None:
        """
        Make a certificate authority.
        """
        self.authority = Authority(folder(self))

    def assertTLSFault(self, certificate: tuple[str, str], *said: str) -> None:
        """
        Assert that the step tls fails, and that the certificate is described.
        """
        certificateFile, key = certificate
        options = ("--tls-cert", certificateFile, "--tls-key", key)
        with Server(*options) as server:
            where = f"127.0.0.1:{server.port}"
            for each in said:
                self.assertFault(
                    "tls", each, where, "--tls-ca", self.authority.certificate
                )

    def test_certificates(self) -> None:
        """
        What is wrong with a certificate is told, and what it shows, too.
        """
        self.assertTLSFault(
            self.authority.issue("other", server="upper.example"),
            "for another name: upper.example, not 127.0.0.1; it shows: TLSv1.3, ",
        )
        self.assertTLSFault(
            self.authority.issue("expired", days=-9),
            "not trusted: certificate has expired; it shows: TLSv1.3, ",
            "for localhost, 127.0.0.1, ::1, expired 9 days ago",
        )
        self.assertTLSFault(
            self.authority.issue("self", selfSigned=True),
            "not trusted: self-signed certificate; it shows: TLSv1.3, ",
        )

    def test_good(self) -> None:
        """
        A good certificate is described, too.
        """
        certificate, key = self.authority.issue("server", days=10.06)
        with Server("--tls-cert", certificate, "--tls-key", key) as server:
            found = self.check(
                *(f"127.0.0.1:{server.port}", "--only", "tls,answer"),
                *("--tls-ca", os.path.dirname(self.authority.certificate)),
            )
            self.assertRegex(
                found["tls"][1],
                r"^TLSv1.3, TLS_\w+, for localhost, 127.0.0.1, ::1, 10\S* days left,",
            )
            result = run(
                *("ask", "a", f"127.0.0.1:{server.port}", "--format", "prometheus"),
                *("--tls-ca", self.authority.certificate),
            )
            self.assertIn(b"probe_ssl_earliest_cert_expiry 1", result.stdout)

    def test_plainServer(self) -> None:
        """
        A server without TLS is told.
        """
        with Server() as server:
            self.assertFault(
                "tls",
                "the server does not speak TLS (wrong version number)",
                *(f"127.0.0.1:{server.port}", "--tls"),
            )
        with serveAll(faulty.silent) as where:
            self.assertFault("tls", "no TLS handshake within 1 s", where, "--tls")

    def test_askedInPlain(self) -> None:
        """
        A server that speaks TLS and was asked in plain text is recognised.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.authority.issue("server"))

        def shakeHands(connection: socket.socket) -> None:
            context.wrap_socket(connection, server_side=True)

        with serveAll(shakeHands) as where:
            found = self.check(where)["answer"]
            self.assertEqual(found[0], "FAIL")
            self.assertIn("ask with --tls, or with --tls-ca FILE", found[1])


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
                "Connection refused The machine is there and refuses: nothing listens",
                f"127.0.0.1:{port}",
            )

    def test_someAddresses(self) -> None:
        """
        An address of several that does not answer is told.
        """
        if not socket.has_ipv6:
            raise SkipTest("needs IPv6")
        with Server() as server:
            found = socket.getaddrinfo("localhost", server.port)
            if len({each[0] for each in found}) < 2:
                raise SkipTest("needs a localhost of both families")
            self.assertFault(
                "connect", "[::1]", f"localhost:{server.port}", "--only", "connect"
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
                f"127.0.0.1:{address[1]}",
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
