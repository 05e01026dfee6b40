"""
TLS, with the clients that people have at hand, and with their mistakes.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from unittest import skipUnless

from twisted.internet import endpoints
from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from tests.functional.processes import (
    TIME_LIMIT,
    Server,
    eventually,
    failToStart,
    receiveAll,
    script,
)
from tests.functional.ways import CutOff, TLSClient, TLSWay
from tests.tls.rawrecords import TEXT, RecordWriter


class TLSTests(SynchronousTestCase):
    """
    A server with a certificate.
    """

    def setUp(self) -> None:
        """
        Have it issued.
        """
        self.way = TLSWay()
        self.addCleanup(shutil.rmtree, self.way.folder)
        self.authority = self.way.authority
        self.options = self.way.options()

    def connect(self, server: Server, *certificate: str) -> TLSClient:
        """
        Shake hands with a server, and offer protocols, as browsers do.

        @param certificate: the files of the client's own certificate.
        """
        context = self.way.context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        if certificate:
            context.load_cert_chain(*certificate)
        client = TLSClient(server.connect(), context)
        self.addCleanup(client.close)
        return client

    @skipUnless(shutil.which("openssl"), "needs the command openssl")
    def test_openssl(self) -> None:
        """
        C{openssl s_client} gets its answers and an orderly end, in TLS 1.2 and
        1.3. (It does not wait for answers once it has ended its own side.)
        """
        with Server(*self.options, "--idle-timeout", "0.2") as server:
            for version in ("-tls1_2", "-tls1_3"):
                client = subprocess.run(
                    [
                        *("openssl", "s_client", "-quiet", version),
                        *("-verify_return_error", "-CAfile"),
                        *(self.authority.certificate, "-connect"),
                        f"127.0.0.1:{server.port}",
                    ],
                    input=b"hello\nthe last line",
                    capture_output=True,
                    timeout=TIME_LIMIT,
                    check=True,
                )
                self.assertEqual(
                    client.stdout,
                    b"HELLO\nTHE LAST LINE\nerror: idle for 0.2 s\n",
                )

    @skipUnless(shutil.which("openssl"), "needs the command openssl")
    def test_opensslExtensions(self) -> None:
        """
        What a real client says beside its hello does no harm: protocols (ALPN), the
        name of a server, sessions that are resumed, early data.
        """
        session, early = self.way.folder / "session", self.way.folder / "early"
        early.write_bytes(b"early\n")
        options = [
            ["-alpn", "http/1.1,h2"],
            ["-servername", "example.org"],
            ["-sess_out", str(session)],
            ["-sess_in", str(session)],
            ["-sess_in", str(session), "-early_data", str(early)],
        ]
        with Server(*self.options, "--idle-timeout", "0.2") as server:
            for words in options:
                client = subprocess.run(
                    [
                        *("openssl", "s_client", "-ign_eof", "-CAfile"),
                        *(self.authority.certificate, "-connect"),
                        *(f"127.0.0.1:{server.port}", *words),
                    ],
                    input=b"hello\n",
                    capture_output=True,
                    timeout=TIME_LIMIT,
                    check=True,
                )
                self.assertIn(b"HELLO\n", client.stdout, words)
                resumed = b"Reused, TLSv1.3" in client.stdout
                self.assertEqual(resumed, "-sess_in" in words, words)

    @skipUnless(shutil.which("curl"), "needs the command curl")
    def test_curl(self) -> None:
        """
        C{curl} offers protocols, shakes hands and is answered, though not in HTTP.
        """
        with Server(*self.options) as server:
            client = subprocess.run(
                [
                    *("curl", "--silent", "--max-time", "10", "--http0.9"),
                    *("--cacert", self.authority.certificate),
                    f"https://localhost:{server.port}/straße",
                ],
                capture_output=True,
                timeout=TIME_LIMIT,
            )
            self.assertIn(b"GET /STRA", client.stdout)

    @skipUnless(shutil.which("gnutls-cli"), "needs the command gnutls-cli")
    def test_gnutls(self) -> None:
        """
        C{gnutls-cli}, which offers protocols and a name, is answered.
        """
        with Server(*self.options) as server:
            client = subprocess.run(
                [
                    *("gnutls-cli", "--alpn=http/1.1", "--x509cafile"),
                    *(self.authority.certificate, "--port", str(server.port)),
                    "localhost",
                ],
                input=b"hello\n",
                capture_output=True,
                timeout=TIME_LIMIT,
            )
            self.assertIn(b"HELLO\n", client.stdout)

    @skipUnless(shutil.which("socat"), "needs the command socat")
    def test_socat(self) -> None:
        """
        C{socat} is answered in full, and its end is a whole one.
        """
        with Server(*self.options) as server:
            address = f"OPENSSL:localhost:{server.port},pf=ip4"
            client = subprocess.run(
                [
                    "socat",
                    "-t10",
                    "-",
                    f"{address},cafile={self.authority.certificate}",
                ],
                input=b"hello\nthe last line",
                capture_output=True,
                timeout=TIME_LIMIT,
                check=True,
            )
            self.assertEqual(client.stdout, b"HELLO\nTHE LAST LINE")
            server.waitFor("closed after")
            self.assertNotIn("without a TLS close_notify", server.log())

    @skipUnless(shutil.which("haproxy"), "needs the program haproxy")
    def test_haproxyCheck(self) -> None:
        """
        A health check of HAProxy that offers protocols finds the server up. It goes as
        soon as it has shaken hands, and nothing that it is due counts as undelivered.
        """
        with Server(*self.options) as server:
            configuration = self.way.folder / "haproxy.cfg"
            admin = self.way.folder / "admin.sock"
            configuration.write_text(
                f"global\n stats socket {admin}\n"
                "defaults\n timeout connect 9s\n timeout server 9s\n"
                f"backend uppers\n server one 127.0.0.1:{server.port} check inter 100"
                " check-ssl verify none check-alpn http/1.1\n"
            )
            proxy = subprocess.Popen(
                ["haproxy", "-q", "-f", str(configuration)], stdin=subprocess.DEVNULL
            )
            self.addCleanup(proxy.wait, TIME_LIMIT)
            self.addCleanup(proxy.terminate)

            def isUp() -> bool:
                with socket.socket(socket.AF_UNIX) as connection:
                    if connection.connect_ex(str(admin)):
                        return False
                    connection.sendall(b"show stat\n")
                    return b",L6OK," in receiveAll(connection)

            eventually(isUp, "the health check")
            eventually(lambda: server.log().count("closed after") > 5, "checks")
            log = server.log()
        self.assertEqual(log.count("closed after"), log.count(" 0 undelivered"), log)

    def test_clientOfAServerThatEnds(self) -> None:
        """
        C{upper-client} ends, and says why, when its server does while input waits.
        """
        for _ in range(3):
            with (
                Server(*self.options, "--drain", "0") as server,
                subprocess.Popen(["yes", "straße"], stdout=subprocess.PIPE) as source,
            ):
                client = subprocess.Popen(
                    [
                        *(script("upper-client"), "--port", str(server.port)),
                        *(
                            "--tls-ca",
                            self.authority.certificate,
                            "--host",
                            "localhost",
                        ),
                    ],
                    stdin=source.stdout,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
                assert client.stdout is not None
                client.stdout.read(1 << 20)
                server.process.send_signal(signal.SIGTERM)
                _, said = client.communicate(timeout=TIME_LIMIT)
                source.kill()
                self.assertEqual(client.returncode, 1)
                # Where the answers were not taken in time, they are cut off.
                self.assertRegex(said, rb"before the end of input|cut off")

    def test_brokenWhileAnswersWait(self) -> None:
        """
        A connection whose TLS breaks while answers to it wait gives its place and its
        descriptor back when the client has gone, whatever has broken it.
        """
        line = "ΐ".encode() * 2000 + b"\n"
        for broken in (
            b"\x17\x03\x03\x00\x20" + bytes(32),
            b"\x15\x03\x03\x00\x02\x02\x28",
            b"GET / HTTP/1.1\r\n\r\n",
        ):
            with Server(*self.options, "--max-connections", "3") as server:
                for _ in range(3):
                    client = self.connect(server)
                    client.send(line)
                    time.sleep(0.2)
                    client.socket.sendall(client.encode(line * 14) + broken)
                    with contextlib.suppress(OSError, CutOff):
                        client.receiveAll()
                    linger = struct.pack("ii", 1, 0)
                    client.socket.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, linger
                    )
                    client.socket.close()
                client = self.connect(server)
                client.end(b"still served")
                self.assertEqual(client.receiveAll(), b"STILL SERVED")
                log = server.stop()
                self.assertEqual(log.count(" closed after "), 4)

    def test_keyUpdates(self) -> None:
        """
        A client that has the server change its key again and again, and says nothing
        else, is cut off; one that says something is answered.
        """
        context = self.way.context()
        context.keylog_filename = f"{self.way.folder}/keys"
        with Server(*self.options) as server:
            client = TLSClient(server.connect(), context)
            self.addCleanup(client.close)
            writer = RecordWriter(context.keylog_filename)
            updates = b"".join(writer.keyUpdate() for _ in range(500))
            client.socket.sendall(updates + writer.record(TEXT, b"hello\n"))
            self.assertEqual(client.receive(), b"HELLO\n")
            updates = b"".join(writer.keyUpdate() for _ in range(10_000))
            client.socket.sendall(updates)
            client.socket.shutdown(socket.SHUT_WR)
            self.assertRaises(CutOff, client.receiveAll)
            server.waitFor("closed after .*cut off")

    @skipUnless(shutil.which("ncat"), "needs the command ncat")
    def test_ncat(self) -> None:
        """
        C{ncat --ssl} ends its TCP stream without a close_notify. It is answered
        in full, and the log says that it might have been cut short.
        """
        with Server(*self.options) as server:
            for _ in range(10):
                client = subprocess.run(
                    ["ncat", "--ssl", "127.0.0.1", str(server.port)],
                    input=b"hello\nthe last line",
                    capture_output=True,
                    timeout=TIME_LIMIT,
                    check=True,
                )
                self.assertEqual(client.stdout, b"HELLO\nTHE LAST LINE")
            server.waitFor("without a TLS close_notify")

    def test_clientCertificates(self) -> None:
        """
        Where clients need a certificate, the log names its subject; who has
        none, or one of somebody else's, is refused with one line.
        """
        ca = ("--tls-client-ca", self.authority.certificate)
        with Server(*self.options, *ca) as server:
            client = self.connect(server, *self.authority.issue("alice"))
            client.end(b"hello\n")
            self.assertEqual(client.receiveAll(), b"HELLO\n")
            server.waitFor(r"127.0.0.1:\d+ \(CN=alice\) closed after")
            stranger = Authority(self.way.folder / "other", "stranger")
            for certificate in [(), stranger.issue("mallory")]:
                # With TLS 1.3 it learns of it only when it listens.
                client = self.connect(server, *certificate)
                self.assertRaises(CutOff, client.receive)
            server.waitFor("refused: TLS handshake failed: certificate verify failed")
            log = server.stop()
        self.assertEqual(log.count("refused"), 2, log)
        self.assertNotIn("Traceback", log)

    def test_plainText(self) -> None:
        """
        Plain text is refused, with one line in the log and without a traceback.
        So are clients that go away without a word.
        """
        with Server(*self.options) as server:
            for said in (b"hello\n", b"GET / HTTP/1.1\r\n\r\n"):
                with server.connect() as client, contextlib.suppress(ConnectionError):
                    client.sendall(said)
                    self.assertEqual(client.recv(100), b"")
            server.connect().close()
            server.waitFor("closed before a TLS handshake")
            log = server.stop()
        self.assertEqual(log.count("refused"), 3, log)
        self.assertNotIn("Traceback", log)

    def test_renewed(self) -> None:
        """
        A certificate that is renewed is used for the next connection, and those
        that are open stay. Where the new one is broken, the old one stays.
        """
        with Server(*self.options) as server:
            first = self.connect(server)
            self.authority.issue("server")
            second = self.connect(server)
            server.waitFor("The TLS certificate has been read again")
            Path(self.way.key).write_bytes(b"broken")
            third = self.connect(server)
            server.waitFor("The TLS certificate stays as it was: no usable private")
            certificates = [
                client.tls.getpeercert(binary_form=True)
                for client in (first, second, third)
            ]
            self.assertNotEqual(certificates[0], certificates[1])
            self.assertEqual(certificates[1], certificates[2])
            for client in (first, second, third):
                client.end(b"hello\n")
                self.assertEqual(client.receiveAll(), b"HELLO\n")

    def test_arriving(self) -> None:
        """
        Who has not shaken hands does not hold up the end of the service.
        """
        with Server(*self.options) as server, server.connect() as client:
            # The server has accepted it when it answers one that came later.
            self.connect(server)
            log = server.stop()
            with contextlib.suppress(ConnectionError):
                self.assertEqual(client.recv(100), b"")
        self.assertIn("refused: the service is shutting down", log)

    def test_unix(self) -> None:
        """
        UNIX sockets are served without TLS, beside TCP with it.
        """
        path = f"{self.way.folder}/socket"
        with Server(
            *self.options, "--listen", "tcp:0:interface=127.0.0.1", "--listen",
            f"unix:{path}",
        ) as server, socket.socket(socket.AF_UNIX) as plain:  # fmt: skip
            eventually(lambda: plain.connect_ex(path) == 0, "the UNIX socket")
            plain.sendall(b"hello\n")
            self.assertEqual(plain.recv(100), b"HELLO\n")
            client = self.connect(server)
            client.end(b"hello\n")
            self.assertEqual(client.receiveAll(), b"HELLO\n")

    def test_ssl(self) -> None:
        """
        An C{ssl:} endpoint keeps the same promises.
        """
        self.check(
            f"ssl:0:privateKey={self.way.key}:certKey={self.way.certificate}"
            ":interface=127.0.0.1"
        )

    def test_tls(self) -> None:
        """
        So does a C{tls:} endpoint, which old versions of Twisted do not have.
        """
        if not hasattr(endpoints, "_TLSServerEndpointParser"):
            return
        folder = self.way.folder / "both"
        folder.mkdir()
        with (folder / "both.pem").open("wb") as both:
            for path in (self.way.key, self.way.certificate):
                both.write(Path(path).read_bytes())
        self.check(f"tls:{folder}:0:interface=127.0.0.1")

    def check(self, endpoint: str) -> None:
        """
        Check that nothing is lost at the end of either side.
        """
        for workers in ("1", "2"):
            options = ("--listen", endpoint, "--workers", workers)
            with Server(*options) as server:
                for _ in range(5):
                    client = self.connect(server)
                    client.end(b"hello\nthe last line")
                    self.assertEqual(client.receiveAll(), b"HELLO\nTHE LAST LINE")
                client = self.connect(server)
                client.send(b"hello\n")
                self.assertEqual(client.receive(), b"HELLO\n")
                server.process.send_signal(signal.SIGTERM)
                self.assertEqual(client.receiveAll(), b"")

    def test_workers(self) -> None:
        """
        Several processes serve it, too.
        """
        with Server(*self.options, "--workers", "2") as server:
            for _ in range(10):
                client = self.connect(server)
                client.end(b"hello\nthe last line")
                self.assertEqual(client.receiveAll(), b"HELLO\nTHE LAST LINE")

    def test_cannotStart(self) -> None:
        """
        Files and options that are of no use end the start with a message and a
        status that is not zero.
        """
        certificate, key = self.way.certificate, self.way.key
        cert = ("--tls-cert", certificate)
        pair = (*cert, "--tls-key", key)
        _, other = self.authority.issue("other")
        for options, message in [
            (("--tls-cert", "/none"), "upper: cannot read /none: No such file or"),
            (cert, f"upper: no usable private key in {certificate}"),
            ((*cert, "--tls-key", other), f"private key in {other} does not fit"),
            ((*pair, "--tls-client-ca", key), f"upper: no usable certificate in {key}"),
            (("--tls-key", key), "--tls-key needs --tls-cert"),
            (("--tls-client-ca", key), "--tls-client-ca needs --tls-cert"),
            (
                (*pair, "--listen", "ssl:0"),
                "has its own certificate: remove --tls-cert",
            ),
            (("--listen", "ssl:0:privateKey=/none"), "No such file or directory"),
        ]:
            for workers in ("1", "2"):
                said = failToStart(*options, "--workers", workers)
                self.assertIn(message, said)
