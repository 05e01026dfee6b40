"""
C{upper-client} over TLS.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.authority import Authority
from tests.functional.command.client import folder, run, serve, start
from tests.functional.processes import TIME_LIMIT, Server, eventually, receiveAll


class TLSTests(SynchronousTestCase):
    """
    The server is reached over TLS.
    """

    def setUp(self) -> None:
        """
        Make a certificate authority.
        """
        self.authority = Authority(folder(self))

    def serveTLS(
        self,
        certificate: tuple[str, str],
        clientCA: str | None = None,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ) -> contextlib.AbstractContextManager[list[str]]:
        """
        Serve one TLS connection: answer everything at the client's end.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        context.maximum_version = version
        if clientCA is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clientCA)

        def answer(connection: socket.socket) -> None:
            # What goes wrong here the client is asked about.
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(connection, server_side=True) as secured,
            ):
                secured.sendall(receiveAll(secured).upper())
                secured.unwrap()

        return serve(answer)

    def assertRefused(self, options: list[str], said: str, *more: str) -> None:
        """
        Assert that a client refuses to speak, and what it says. It may explain this.
        """
        result = run(*options, *more, data=b"abc\n")
        first, *explanation = result.stderr.decode().splitlines()
        self.assertEqual(
            (result.returncode, result.stdout, first), (1, b"", f"upper-client: {said}")
        )
        for line in explanation:
            self.assertTrue(line.startswith("  "), line)

    def test_expected(self) -> None:
        """
        All is answered, whatever the version of TLS: the end of input is told by
        a close_notify, after which the server still answers.
        """
        text = b"some line of a file\n" * 50_000 + b"tail"
        certificate = self.authority.issue("server")
        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
            with self.serveTLS(certificate, version=version) as options:
                result = run(*options, "-A", self.authority.certificate, data=text)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertEqual(result.stdout, text.upper())

    def test_endpoint(self) -> None:
        """
        C{tls:} endpoints do as well.
        """
        certificate = self.authority.issue("server")
        roots = os.path.dirname(self.authority.certificate)
        with self.serveTLS(certificate) as options:
            endpoint = f"tls:localhost:{options[1]}:trustRoots={roots}"
            result = run("--connect", endpoint, data=b"abc\n")
        self.assertEqual(
            (result.returncode, result.stdout, result.stderr), (0, b"ABC\n", b"")
        )

    def test_name(self) -> None:
        """
        The server's name can be another than the host's.
        """
        certificate = self.authority.issue("other", server="upper.example")
        trust = ("--tls-ca", self.authority.certificate)
        with self.serveTLS(certificate) as options:
            result = run(*options, *trust, "--tls-name", "upper.example", data=b"abc")
        self.assertEqual(
            (result.returncode, result.stdout, result.stderr), (0, b"ABC", b"")
        )
        with self.serveTLS(certificate) as options:
            said = (
                "the server's certificate is for another name: upper.example,"
                " not 127.0.0.1"
            )
            self.assertRefused(options, said, *trust)

    def test_clientCertificate(self) -> None:
        """
        A client certificate is shown where there is one, and missed where not.
        """
        certificate = self.authority.issue("server")
        trust = ("--tls-ca", self.authority.certificate)
        clientCertificate, key = self.authority.issue("client.example")
        both = Path(folder(self), "file")
        both.write_bytes(Path(clientCertificate).read_bytes() + Path(key).read_bytes())
        for shown in [
            ("--tls-cert", clientCertificate, "--tls-key", key),
            ("--tls-cert", str(both)),
        ]:
            with self.serveTLS(certificate, self.authority.certificate) as options:
                result = run(*options, *trust, *shown, data=b"abc")
            self.assertEqual(
                (result.returncode, result.stdout, result.stderr), (0, b"ABC", b"")
            )
        for version, said in [
            (
                ssl.TLSVersion.TLSv1_3,
                "certificate required (it wants a client certificate)",
            ),
            (
                ssl.TLSVersion.TLSv1_2,
                "handshake failure (it may want a client certificate)",
            ),
        ]:
            serving = self.serveTLS(certificate, self.authority.certificate, version)
            with serving as options:
                said = f"the server refused TLS: {said}"
                self.assertRefused(options, said, *trust)

    def test_unknownClientCertificate(self) -> None:
        """
        A server that does not trust the client's certificate says so.
        """
        certificate = self.authority.issue("server")
        shown, key = self.authority.issue("client.example", selfSigned=True)
        with self.serveTLS(certificate, self.authority.certificate) as options:
            self.assertRefused(
                options,
                "the server refused TLS: unknown ca"
                " (it does not know who signed the client certificate)",
                *("-A", self.authority.certificate, "-E", shown, "-K", key),
            )

    def test_untrusted(self) -> None:
        """
        Each fault of a server's certificate is named.
        """
        for certificate, said in [
            (
                self.authority.issue("self", selfSigned=True),
                "self-signed certificate",
            ),
            (self.authority.issue("expired", days=-9), "certificate has expired"),
            (
                self.authority.issue("future", days=9, start=8),
                "certificate is not yet valid or the system clock is incorrect",
            ),
        ]:
            with self.serveTLS(certificate) as options:
                said = f"the server's certificate is not trusted: {said}"
                self.assertRefused(
                    options, said, "--tls-ca", self.authority.certificate
                )

    def test_unknownAuthority(self) -> None:
        """
        Without C{--tls-ca}, the system's authorities are trusted.
        """
        certificate = self.authority.issue("server")
        with self.serveTLS(certificate) as options:
            self.assertRefused(
                options,
                "the server's certificate is not trusted:"
                " unable to get local issuer certificate",
                *("--tls-name", "localhost"),
            )

    def test_plainServer(self) -> None:
        """
        A server that does not speak TLS is told from one that does.
        """

        def hangUp(connection: socket.socket) -> None:
            connection.recv(1 << 16)

        with Server() as server:
            options = ["-p", str(server.port)]
            said = "the server does not speak TLS (wrong version number)"
            self.assertRefused(options, said, "-A", self.authority.certificate)
        with serve(hangUp) as options:
            self.assertRefused(
                options,
                "the server closed the connection during the TLS handshake:"
                " does it speak TLS?",
                *("-A", self.authority.certificate),
            )

    def test_truncated(self) -> None:
        """
        A TLS server that goes without a close_notify has cut the conversation
        off, although TCP ended cleanly.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.authority.issue("server"))

        def hangUp(connection: socket.socket) -> None:
            with context.wrap_socket(
                connection, server_side=True, suppress_ragged_eofs=False
            ) as secured:
                secured.sendall(receiveAll(secured).upper())

        with serve(hangUp) as options:
            result = run(*options, "-A", self.authority.certificate, data=b"abc\n")
        self.assertEqual(
            (result.returncode, result.stdout, result.stderr),
            (1, b"ABC\n", b"upper-client: the connection was cut off\n"),
        )

    def test_shutdown(self) -> None:
        """
        A server that shuts down while input waits ends the client, which says so.
        """
        certificate, key = self.authority.issue("server")
        options = ("--tls-cert", certificate, "--tls-key", key, "--drain", "0")
        lines = Path(folder(self), "lines")
        lines.write_bytes("straße\n".encode() * (1 << 20))
        for _ in range(3):
            with (
                Server(*options) as server,
                lines.open() as stdin,
                open(os.devnull, "w") as stdout,
                start(
                    *("-p", str(server.port), "-A", self.authority.certificate),
                    stdin=stdin,
                    stdout=stdout,
                ) as process,
            ):
                eventually(partial(atWork, process.pid), "the client to send")
                server.stop()
                self.assertEqual(process.wait(TIME_LIMIT), 1)
                assert process.stderr is not None
                said = process.stderr.read().decode()
                self.assertRegex(said, "^upper-client: the (server|connection) .*\n$")


def atWork(pid: int) -> bool:
    """
    Tell whether a process has read some of a file.
    """
    found = re.search(r"pos:\s*(\d+)", Path(f"/proc/{pid}/fdinfo/0").read_text())
    return found is not None and int(found[1]) > 1 << 18
