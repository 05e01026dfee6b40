"""
What a running service tells over HTTP.
"""

from __future__ import annotations

import contextlib
import html
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from tests.functional.processes import (
    TIME_LIMIT,
    Server,
    eventually,
    failToStart,
    reset,
    serveDuring,
)


class Status:
    """
    The status of a server.
    """

    def __init__(self, server: Server) -> None:
        """
        @param server: it has one.
        """
        self.address = server.waitFor(r"Status on (\S+)").group(1)

    def ask(self, path: str) -> tuple[int, str]:
        """
        Ask.

        @return: the status and the body.
        """
        try:
            with urllib.request.urlopen(
                f"http://{self.address}{path}", timeout=TIME_LIMIT
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """
        Read all metrics: names with their labels.
        """
        code, text = self.ask("/metrics")
        assert code == 200, text
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        pairs = [line.rpartition(" ") for line in lines]
        return {name: float(value) for name, _, value in pairs}


def workersOf(server: Server) -> list[int]:
    """
    The processes that a server has started.
    """
    path = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
    return [int(word) for word in Path(path).read_text().split()]


class StatusTests(SynchronousTestCase):
    """
    One process.
    """

    def serve(self, *options: str) -> tuple[Server, Status]:
        """
        Start a server with a status.
        """
        server = serveDuring(self, Server("--status", "0", *options))
        return server, Status(server)

    def test_conversations(self) -> None:
        """
        What clients do is counted: connections, bytes, errors.
        """
        server, status = self.serve()
        self.assertEqual(server.ask(b"abc\n"), b"ABC\n")
        self.assertEqual(server.ask(b"\xff\n"), b"error: invalid UTF-8 at byte 1\n")
        with server.connect() as connection:
            connection.sendall(b"abc\n")
            self.assertEqual(connection.recv(10), b"ABC\n")
            metrics = status.metrics()
            self.assertEqual(metrics["upper_connections"], 1)
            self.assertEqual(metrics["upper_received_bytes_total"], 10)
            self.assertEqual(metrics["upper_sent_bytes_total"], 39)
        listener = f'{{listener="127.0.0.1:{server.port}"}}'
        self.assertEqual(metrics[f"upper_connections_opened_total{listener}"], 3)
        self.assertEqual(metrics['upper_errors_total{kind="invalid_utf8"}'], 1)

    def test_undelivered(self) -> None:
        """
        What a client has not taken when it resets is undelivered, and so is the
        connection an incident.
        """
        server, status = self.serve()
        connection = server.connect()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        sent = 0
        try:
            while True:
                sent += connection.send(b"x" * 1023 + b"\n" * 64)
        except BlockingIOError:
            reset(connection)
        key = 'upper_connections_closed_total{reason="cut_off"}'
        eventually(lambda: status.metrics().get(key), "its end")
        metrics = status.metrics()
        self.assertGreater(metrics["upper_undelivered_bytes_total"], 0)
        self.assertLessEqual(metrics["upper_received_bytes_total"], sent)
        told = ("upper_sent_bytes_total", "upper_undelivered_bytes_total")
        unanswered = metrics["upper_received_bytes_total"] - sum(
            metrics[name] for name in told
        )
        self.assertLess(unanswered, 1024, "more than an unfinished line")
        self.assertIn("cut off", status.ask("/")[1])

    def test_refused(self) -> None:
        """
        A client without a place, and one without a PROXY header.
        """
        server, status = self.serve("--max-connections", "1")
        with server.connect() as first:
            first.sendall(b"a\n")
            first.recv(10)
            self.assertEqual(server.ask(b""), b"error: too many connections\n")
        metrics = status.metrics()
        name = '_total{reason="max_connections"}'
        self.assertEqual(metrics["upper_connections_refused" + name], 1)
        self.assertEqual(metrics["upper_connections_closed" + name], 1)
        self.assertEqual(metrics['upper_errors_total{kind="max_connections"}'], 1)

        server, status = self.serve("--proxy-protocol")
        with contextlib.suppress(ConnectionError):
            server.ask(b"abc\n")
        metrics = status.metrics()
        name = '_total{reason="proxy_header"}'
        self.assertEqual(metrics["upper_connections_refused" + name], 1)
        self.assertEqual(metrics["upper_connections_closed" + name], 1)

    def test_certificate(self) -> None:
        """
        It tells when the certificate expires.
        """
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        certificate, key = Authority(Path(folder.name)).issue("localhost")
        _, status = self.serve("--tls-cert", str(certificate), "--tls-key", str(key))
        name = "upper_certificate_not_after_timestamp_seconds"
        shown = subprocess.run(
            ["openssl", "x509", "-noout", "-enddate", "-in", str(certificate)],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        expires = ssl.cert_time_to_seconds(shown.strip().removeprefix("notAfter="))
        self.assertEqual(status.metrics()[name], expires)

    def test_datagrams(self) -> None:
        """
        What becomes of datagrams is counted.
        """
        server, status = self.serve("--udp")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(TIME_LIMIT)
            client.connect(("127.0.0.1", server.port))
            client.send(b"ABC")
            client.send(b"abc")
            self.assertEqual(client.recv(10), b"ABC")
        metrics = status.metrics()
        self.assertEqual(metrics['upper_datagrams_total{outcome="answered"}'], 1)
        self.assertEqual(metrics['upper_datagrams_total{outcome="unchanged"}'], 1)

    def test_readyDelay(self) -> None:
        """
        From the signal on it is not ready; it takes new clients until the delay is
        over, and the status answers until all conversations have ended.
        """
        server, status = self.serve("--ready-delay", "60")
        self.assertEqual(status.ask("/readyz"), (200, "serving\n"))
        os.kill(server.process.pid, signal.SIGTERM)
        server.waitFor("Not ready any more")
        self.assertEqual(status.ask("/readyz"), (503, "draining\n"))
        self.assertEqual(status.ask("/livez"), (200, "alive\n"))
        self.assertEqual(status.metrics()["upper_draining"], 1)
        self.assertEqual(server.ask(b"abc\n"), b"ABC\n")
        # A second signal does not wait.
        log = server.stop()
        self.assertIn(f"(TCP Port {server.port} Closed)", log)
        self.assertNotIn("Traceback", log)

    def test_faults(self) -> None:
        """
        The page names a listener's faults.
        """
        _, status = self.serve("--listen", "fault:delay=0.01:tcp:0")
        self.assertIn("<td>delay=0.01</td>", status.ask("/")[1])

    def test_page(self) -> None:
        """
        The page is readable without scripts, and nothing sticks out of it, on a phone
        and on a large screen.
        """
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        if chromium is None:
            self.skipTest("needs chromium")
        server, status = self.serve("--listen", "fault:delay=0.02:jitter=0.01:tcp:0")
        server.ask(b"\xff\n")
        page = status.ask("/")[1]
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        measure = Path(folder.name, "measure.html")
        measure.write_text(
            "".join(
                f'<iframe width="{width}" srcdoc="{html.escape(page)}"></iframe>'
                for width in (400, 1400)
            )
            + "<pre></pre><script>onload = () => {"
            "  for (const each of document.querySelectorAll('iframe')) {"
            "    const root = each.contentDocument.documentElement;"
            "    document.querySelector('pre').append("
            "      `${root.scrollWidth <= each.clientWidth}"
            " ${root.querySelectorAll('td').length} `);"
            "  }}</script>"
        )
        shown = subprocess.run(
            [
                *[chromium, "--headless", "--no-sandbox", "--disable-gpu"],
                *["--virtual-time-budget=1000", "--dump-dom", f"file://{measure}"],
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            timeout=TIME_LIMIT,
            check=True,
        )
        cells = page.count("<td>")
        self.assertIn(f"<pre>true {cells} true {cells} </pre>", shown.stdout)

    def test_noPackage(self) -> None:
        """
        Without prometheus_client all but C{/metrics} works, and that says why.
        """
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        Path(folder.name, "prometheus_client.py").write_text("raise ImportError('no')")
        server = Server(
            "--status", "0", command=("env", f"PYTHONPATH={folder.name}:{os.getcwd()}")
        )
        status = Status(serveDuring(self, server))
        code, text = status.ask("/metrics")
        self.assertEqual(code, 501)
        self.assertIn("upperproto[metrics]", text)
        self.assertEqual(status.ask("/readyz")[0], 200)

    def test_bad(self) -> None:
        """
        What cannot be listened on is said in one line.
        """
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            said = failToStart("--port", "0", "--status", str(port))
        self.assertIn(f"{port}", said)
        for options in (["--status", "tcp:x"], ["--ready-delay", "-1"]):
            said = failToStart("--port", "0", *options)
            self.assertTrue(said.startswith("upper: "), said)


class WorkersTests(SynchronousTestCase):
    """
    Several processes, for which their parent answers.
    """

    def test_workers(self) -> None:
        """
        The parent answers from its start on, adds the workers up, tells of one that
        hangs, and lets no count fall when it is replaced.
        """
        server = serveDuring(self, Server("--status", "0", "--workers", "2"))
        status = Status(server)
        self.assertEqual(status.ask("/readyz"), (200, "serving\n"))
        self.assertEqual(status.metrics()["upper_workers"], 2)
        for _ in range(8):
            server.ask(b"abc\n")
        key = f'upper_connections_opened_total{{listener="127.0.0.1:{server.port}"}}'
        eventually(lambda: status.metrics().get(key) == 8, "all connections")
        hanging = workersOf(server)[0]
        os.kill(hanging, signal.SIGSTOP)
        eventually(lambda: status.metrics()["upper_workers"] == 1, "the hung one")
        self.assertIn("hangs: silent for", status.ask("/")[1])
        os.kill(hanging, signal.SIGKILL)
        server.waitFor("was ended by SIGKILL")
        eventually(lambda: status.metrics()["upper_workers"] == 2, "another one")
        self.assertEqual(status.metrics()[key], 8)
        log = server.stop()
        self.assertNotIn("Traceback", log)

    def test_starting(self) -> None:
        """
        Before the workers serve, it is not ready, and says so.
        """
        server = Server("--status", "0", "--workers", "2")
        with tempfile.TemporaryFile() as log:
            process = subprocess.Popen(
                server._arguments, stdout=log, stderr=subprocess.STDOUT
            )
            self.addCleanup(process.wait)
            self.addCleanup(process.terminate)

            def said() -> str:
                log.seek(0)
                return log.read().decode()

            found = eventually(
                lambda: re.search(r"Status on (\S+)", said()), "the status"
            )
            status = Status.__new__(Status)
            status.address = found.group(1)
            self.assertEqual(status.ask("/readyz"), (503, "starting\n"))
            eventually(lambda: status.ask("/readyz")[0] == 200, "the workers")
