"""
C{upper-client check} against proxies: which step fails, and with which words.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import SkipTest

from tests.functional.command import faulty
from tests.functional.command.client import folder, serveAll
from tests.functional.command.examination import QUICK, CheckTestCase
from tests.functional.processes import TIME_LIMIT, Server, eventually

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
MODULES = "/usr/lib/nginx/modules"


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
                    "A program on the path closes the whole connection when",
                ),
                (
                    faulty.dropsForSlowReaders,
                    ("--only", "answer,slowreader", "--slow", "2", *QUICK),
                    "slowreader",
                    "Answers that had to wait for a slow reader were thrown away.",
                ),
                (
                    faulty.forgets(0.2),
                    ("--only", "answer,order,idle", "--idle", "0.5", *QUICK),
                    "idle",
                    "after 0.5 s of silence: no answer in time After the silence,"
                    " nothing comes through, and no error is seen.",
                ),
            ]:
                with serveAll(faulty.proxy(server.port, pump)) as where:
                    self.assertFault(step, said, where, *options)

    def test_silence(self) -> None:
        """
        A proxy that ends a silent connection is found, and after how long it does so.
        """
        options = ("--only", "answer,order,idle", "--idle", "4")
        with (
            Server() as server,
            serveAll(faulty.proxy(server.port, faulty.cutsSilence(2))) as where,
        ):
            said = self.assertFault(
                "idle", " s of silence Silence ends the connection.", where, *options
            )
        measured = re.match(r"closed after (\d\.\d) s of silence ", said)
        assert measured is not None, said
        # On a busy machine the proxy ends it late, and never early.
        self.assertGreaterEqual(float(measured[1]), 2.0)
        self.assertLess(float(measured[1]), 4.0)

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
            proxy.wait(TIME_LIMIT)

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
                proxy.wait(TIME_LIMIT)

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
