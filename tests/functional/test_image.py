"""
The image of C{deploy/Containerfile}, built and run.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.image import Image
from tests.functional.processes import TIME_LIMIT, eventually, receiveAll

# Where clients come in; the status has another line.
LISTENING = r"Listening on 0\.0\.0\.0:(\d+)"


@cache
def image() -> Image:
    """
    Build the image of all tests, when the first one asks for it.
    """
    built = Image(Path(tempfile.mkdtemp()))
    # Not setUpClass, which trial does not call.
    atexit.register(built.remove)
    return built


@skipUnless(
    shutil.which("buildah") and os.geteuid() == 0, "needs the program buildah, and root"
)
class ImageTests(SynchronousTestCase):
    """
    The image, run as its user on a root file system that is read-only.
    """

    def setUp(self) -> None:
        """
        Find the image, and a place for logs.
        """
        self.image = image()
        self.configuration = self.image.configuration
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        self.log = Path(folder, "log")

    def start(self, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        """
        Start its service.

        @param variables: options of the service, besides those of the image.
        """
        words = [*self.configuration["Entrypoint"], *options]
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                self.image.inside(*words, **variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.addCleanup(process.wait, TIME_LIMIT)
        self.addCleanup(process.kill)
        return process

    def logged(self, pattern: str) -> re.Match[str]:
        """
        Wait for a line of the log.
        """
        found: re.Match[str] = eventually(
            lambda: re.search(pattern, self.log.read_text()), pattern
        )
        return found

    def ask(self, port: int) -> bytes:
        """
        Hold a conversation.
        """
        with socket.create_connection(("127.0.0.1", port), TIME_LIMIT) as connection:
            connection.sendall("straße".encode())
            connection.shutdown(socket.SHUT_WR)
            return receiveAll(connection)

    def healthy(self, port: int) -> bool:
        """
        Run the health check of the image.

        @param port: that of the status.
        """
        kind, *command = self.configuration["Healthcheck"]["Test"]
        self.assertEqual(kind, "CMD")
        ended = subprocess.run(
            self.image.inside(*command, UPPER_STATUS=str(port)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIME_LIMIT,
            check=False,
        )
        self.assertIn(ended.returncode, (0, 1), ended.stderr)
        return ended.returncode == 0

    def test_serves(self) -> None:
        """
        It serves, by one process and by several, on all addresses, as no user of any
        name, and ends when it is told to.
        """
        for workers in ("1", "2"):
            process = self.start(
                UPPER_PORT="0", UPPER_WORKERS=workers, UPPER_STATUS="0"
            )
            port = int(self.logged(LISTENING)[1])
            if workers != "1":
                self.logged("All workers serve")
            self.assertEqual(self.ask(port), b"STRASSE")
            status = Path(f"/proc/{process.pid}/status").read_text()
            self.assertEqual(
                re.findall(r"^[UG]id:\s+(.*)$", status, re.MULTILINE),
                ["65532\t65532\t65532\t65532"] * 2,
            )
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(TIME_LIMIT), -signal.SIGTERM)
            log = self.log.read_text()
            self.assertNotIn("Traceback", log)
            self.assertNotIn("belongs to no option", log)

    def test_health(self) -> None:
        """
        Its health check says whether the service is ready.
        """
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        self.assertFalse(self.healthy(port))
        process = self.start(UPPER_PORT="0", UPPER_STATUS=str(port))
        eventually(lambda: self.healthy(port), "the service to be ready")
        process.terminate()
        process.wait(TIME_LIMIT)
        self.assertFalse(self.healthy(port))

    def test_plugins(self) -> None:
        """
        Which plugins there are is written down, and what can be listened on by one of
        them is found. TLS is there.
        """
        [cache] = self.image.root.glob(
            "opt/upperproto/lib/python*/site-packages/twisted/plugins/dropin.cache"
        )
        self.assertIn(b"upper_faults", cache.read_bytes())
        process = self.start("--listen", "fault:delay=0.01:tcp:0", UPPER_STATUS="0")
        self.assertEqual(self.ask(int(self.logged(LISTENING)[1])), b"STRASSE")
        process.terminate()
        process.wait(TIME_LIMIT)
        self.assertNotIn("Unable to write", self.log.read_text())
        process = self.start("--tls-cert", "/nowhere", UPPER_STATUS="0")
        self.assertEqual(process.wait(TIME_LIMIT), 1)
        self.assertRegex(self.log.read_text(), "^upper: .*/nowhere")
