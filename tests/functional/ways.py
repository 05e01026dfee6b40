"""
Every way in: how a server listens for it, and a client that comes by it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import tempfile
from pathlib import Path

from tests.authority import Authority
from tests.functional.processes import TIME_LIMIT, Server, eventually

# How long nothing must move before a client that does not read believes that
# the server reads no more. If it is wrong, a test checks less, and still passes.
STALL = 0.3

# How much is said at a time.
PIECE = 1 << 16


class CutOff(Exception):
    """
    The server's side has ended without the orderly end of its kind.
    """


class Client:
    """
    A client with a stream socket and nothing else.
    """

    def __init__(self, connection: socket.socket) -> None:
        """
        @param connection: connected, and at the start of the conversation.
        """
        self.socket = connection
        connection.settimeout(TIME_LIMIT)
        # What has been said and not been sent.
        self._unsent = memoryview(b"")

    def close(self) -> None:
        """
        Be gone.
        """
        self.socket.close()

    def send(self, data: bytes) -> None:
        """
        Say something.
        """
        self.socket.sendall(self.encode(data))

    def end(self, data: bytes = b"") -> None:
        """
        Say one last thing, and at once that it is the last one.
        """
        self.socket.sendall(data)
        self.socket.shutdown(socket.SHUT_WR)

    def receive(self) -> bytes:
        """
        Wait for an answer.

        @return: some of it; nothing at the orderly end of the stream.
        @raise CutOff: at any other end.
        """
        try:
            return self.socket.recv(1 << 18)
        except ConnectionError as error:
            raise CutOff from error

    def receiveAll(self) -> bytes:
        """
        Wait for all that comes before the orderly end of the stream.
        """
        return b"".join(iter(self.receive, b""))

    def stuff(self, data: bytes) -> int:
        """
        Say as much as the server takes from a client that does not read.

        @return: how many bytes of C{data} were said.
        """
        said = 0
        while select.select([], [self.socket], [], STALL)[1]:
            if not self._unsent:
                if said == len(data):
                    break
                piece = data[said : said + PIECE]
                said += len(piece)
                self._unsent = memoryview(self.encode(piece))
            self._sendSome()
        return said

    def unstuff(self, data: bytes = b"") -> bytes:
        """
        Say the rest while receiving.

        @param data: the rest; by default, only what L{stuff} has begun to send.
        @return: what has come until all was sent.
        """
        said, received = 0, []
        while self._unsent or said < len(data):
            if not self._unsent:
                piece = data[said : said + PIECE]
                said += len(piece)
                self._unsent = memoryview(self.encode(piece))
            readable, writable, _ = select.select(
                [self.socket], [self.socket], [], TIME_LIMIT
            )
            if readable:
                received.append(self.receive())
            if writable:
                self._sendSome()
        return b"".join(received)

    def encode(self, data: bytes) -> bytes:
        """
        Turn what is said into what is sent.
        """
        return data

    def _sendSome(self) -> None:
        self.socket.setblocking(False)
        self._unsent = self._unsent[self.socket.send(self._unsent) :]
        self.socket.settimeout(TIME_LIMIT)


class TLSClient(Client):
    """
    A client that decides which bytes go into which segment.
    """

    def __init__(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        """
        Shake hands.

        @param connection: connected, and at the start of the handshake.
        @param context: with what the server's certificate is verified.
        """
        super().__init__(connection)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._decrypted = b""
        self.tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.socket.sendall(self._out.read())
                self._feed()
        self.socket.sendall(self._out.read())

    def encode(self, data: bytes) -> bytes:
        """
        Encrypt what is said.
        """
        self.tls.write(data)
        return self._out.read()

    def end(self, data: bytes = b"") -> None:
        """
        Say one last thing, and send it in one piece with a close_notify.
        """
        if data:
            self.tls.write(data)
        # OpenSSL looks for the server's close_notify, too, which is not due yet,
        # and must not find an answer in its place.
        with contextlib.suppress(ssl.SSLWantReadError):
            while decrypted := self.tls.read(PIECE):
                self._decrypted += decrypted
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.socket.sendall(self._out.read())

    def receive(self) -> bytes:
        """
        Wait for an answer.
        """
        if self._decrypted:
            data, self._decrypted = self._decrypted, b""
            return data
        while True:
            try:
                return self.tls.read(1 << 18)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLWantReadError:
                self._feed()
            except ssl.SSLError as error:
                raise CutOff from error

    def _feed(self) -> None:
        data = super().receive()
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()


class Way:
    """
    TCP over IPv4, the way that all others are measured by.

    @ivar peer: how the log names the client; without the port, which is a
        surprise.
    """

    peer = "127.0.0.1:"

    def __init__(self) -> None:
        """
        Prepare what server and client need.
        """
        self.folder = Path(tempfile.mkdtemp())

    def options(self) -> tuple[str, ...]:
        """
        With what the server is to be started.
        """
        return ()

    def connect(self, server: Server) -> Client:
        """
        Come to the server by this way.
        """
        return self.greet(self.socket(server))

    def greet(self, connection: socket.socket) -> Client:
        """
        Come to where conversations begin.

        @param connection: connected.
        """
        return Client(connection)

    def socket(self, server: Server) -> socket.socket:
        """
        Connect a socket, and say nothing.
        """
        return server.connect()


class IPv6Way(Way):
    """
    TCP over IPv6.
    """

    peer = "[::1]:"

    def options(self) -> tuple[str, ...]:
        """
        Listen on the loopback address.
        """
        return ("--port", "0", "--interface", "::1")

    def socket(self, server: Server) -> socket.socket:
        """
        Connect to it.
        """
        return socket.create_connection(("::1", server.port), timeout=TIME_LIMIT)


class UNIXWay(Way):
    """
    A UNIX socket.
    """

    peer = "a UNIX socket"

    def options(self) -> tuple[str, ...]:
        """
        Listen on a path.
        """
        return ("--listen", f"unix:{self.folder}/socket")

    def socket(self, server: Server) -> socket.socket:
        """
        Connect to it.
        """
        connection = socket.socket(socket.AF_UNIX)

        # Twisted says that it listens shortly before it does.
        def connected() -> bool:
            return connection.connect_ex(f"{self.folder}/socket") == 0

        eventually(connected, "a connection to the UNIX socket")
        return connection


class TLSWay(Way):
    """
    TLS 1.3 over TCP.
    """

    version = ssl.TLSVersion.TLSv1_3

    def __init__(self) -> None:
        """
        Have a certificate issued for the server.
        """
        super().__init__()
        self.authority = Authority(self.folder)
        self.certificate, self.key = self.authority.issue("server")

    def options(self) -> tuple[str, ...]:
        """
        Use it.
        """
        return ("--tls-cert", self.certificate, "--tls-key", self.key)

    def greet(self, connection: socket.socket) -> Client:
        """
        Shake hands.
        """
        return TLSClient(connection, self.context())

    def context(self) -> ssl.SSLContext:
        """
        Make what a client of this way begins with.
        """
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.minimum_version = context.maximum_version = self.version
        return context


class TLS12Way(TLSWay):
    """
    TLS 1.2 over TCP.
    """

    version = ssl.TLSVersion.TLSv1_2


class ProxyWay(Way):
    """
    A PROXY header of version 1, before what TCP brings.
    """

    peer = "192.0.2.1:40000"
    header = b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 5000\r\n"

    def options(self) -> tuple[str, ...]:
        """
        Want a header.
        """
        return (*super().options(), "--proxy-protocol")

    def socket(self, server: Server) -> socket.socket:
        """
        Send one.
        """
        connection = super().socket(server)
        connection.sendall(self.header)
        return connection


class Proxy2Way(ProxyWay):
    """
    A PROXY header of version 2, before what TCP brings.
    """

    peer = "[2001:db8::1]:40000"
    header = (
        b"\r\n\r\n\0\r\nQUIT\n\x21\x21"
        + struct.pack("!H", 36)
        + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
        + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
        + struct.pack("!HH", 40000, 5000)
    )


class ProxyTLSWay(Proxy2Way, TLSWay):
    """
    A PROXY header, and then TLS.
    """


class ProxyUNIXWay(Proxy2Way, UNIXWay):
    """
    A PROXY header before what a UNIX socket brings.
    """
