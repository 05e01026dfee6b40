"""
Servers and proxies with one fault each, for one connection, with blocking calls.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable

Conversation = Callable[[socket.socket], None]


def lines(connection: socket.socket, answer: Callable[[bytes], bytes]) -> None:
    """
    Answer whole lines.
    """
    with connection.makefile("rb") as stream:
        for line in stream:
            connection.sendall(answer(line))


def upper(line: bytes) -> bytes:
    """
    Answer rightly.
    """
    return line.decode().upper().encode()


def linesOnly(connection: socket.socket) -> None:
    """
    Have no fault, but wait for the end of each line.
    """
    lines(connection, upper)


def tutorial(connection: socket.socket) -> None:
    """
    Answer like the server of a first tutorial: whatever one C{recv} gives.
    """
    # It breaks on a character that lies across the end of what it has received.
    with contextlib.suppress(UnicodeDecodeError):
        while data := connection.recv(1024).decode():
            connection.send(data.upper().encode())


def echo(connection: socket.socket) -> None:
    """
    Send everything back.
    """
    while data := connection.recv(1 << 16):
        connection.sendall(data)


def silent(connection: socket.socket) -> None:
    """
    Answer nothing.
    """
    while connection.recv(1 << 16):
        pass


def half(connection: socket.socket) -> None:
    """
    Answer half of each line.
    """
    lines(connection, lambda line: upper(line)[: len(line) // 2])


def late(seconds: float) -> Conversation:
    """
    Answer after some time.
    """

    def answer(line: bytes) -> bytes:
        time.sleep(seconds)
        return upper(line)

    return lambda connection: lines(connection, answer)


def twice(connection: socket.socket) -> None:
    """
    Answer each line twice.
    """
    lines(connection, lambda line: upper(line) * 2)


def greeting(connection: socket.socket) -> None:
    """
    Say something first.
    """
    connection.sendall(b"WELCOME\n")
    linesOnly(connection)


def garbage(connection: socket.socket) -> None:
    """
    Answer with what makes no sense.
    """
    lines(
        connection,
        lambda line: b"\xff\xfe" + os.urandom(20).replace(b"\n", b"x") + b"\n",
    )


def endless(connection: socket.socket) -> None:
    """
    Answer with a line that has no end.
    """
    connection.recv(1)
    while True:
        connection.sendall(b"X" * 65536)


def foreign(connection: socket.socket) -> None:
    """
    Answer what another connection has asked.
    """
    lines(connection, lambda line: "7:ΑΒΓΔ ÄÖÜ\n".encode())


def swapped(connection: socket.socket) -> None:
    """
    Answer two lines in the wrong order, if both have come.
    """
    with connection.makefile("rb") as stream:
        for line in stream:
            if select.select([connection], [], [], 0.1)[0]:
                connection.sendall(upper(stream.readline()))
            connection.sendall(upper(line))


def closing(connection: socket.socket) -> None:
    """
    Close at once.
    """
    connection.shutdown(socket.SHUT_WR)
    # What was not read would make the system reset it.
    silent(connection)


def resetting(connection: socket.socket) -> None:
    """
    Reset at the first byte.
    """
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def full(connection: socket.socket) -> None:
    """
    Have no place for anybody.
    """
    connection.sendall(b"error: too many connections\n")
    connection.shutdown(socket.SHUT_WR)
    silent(connection)


def web(connection: socket.socket) -> None:
    """
    Be a web server.
    """
    connection.recv(1 << 16)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def alert(connection: socket.socket) -> None:
    """
    Take text for a broken TLS handshake.
    """
    connection.recv(1 << 16)
    connection.sendall(b"\x15\x03\x01\x00\x02\x02\x46")


def deaf(connection: socket.socket) -> None:
    """
    Answer, but do not look for the client's end.
    """
    linesOnly(connection)
    poll = select.poll()
    # Until the client has gone.
    poll.register(connection, 0)
    poll.poll()


def proxy(
    port: int, pump: Callable[[socket.socket, socket.socket], None]
) -> Conversation:
    """
    Be a proxy.

    @param port: the server's.
    @param pump: does what it does with the client's and the server's connection.
    """

    def pass_(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as server:
            pump(connection, server)

    return pass_


def cutsAtHalfClose(client: socket.socket, server: socket.socket) -> None:
    """
    Take the client's end for the end of everything.
    """
    while True:
        for each in select.select([client, server], [], [])[0]:
            data = each.recv(1 << 14)
            if not data:
                return
            (server if each is client else client).sendall(data)


def dropsForSlowReaders(client: socket.socket, server: socket.socket) -> None:
    """
    Buffer what the client does not take, and throw away what is too much.
    """
    buffer = bytearray()
    client.setblocking(False)
    # What the system buffers is not dropped.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)

    def forward() -> None:
        data = b"?"
        with contextlib.suppress(OSError):
            while data:
                select.select([client], [], [])
                data = client.recv(1 << 16)
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=forward)
    thread.start()
    open_ = True
    with contextlib.suppress(OSError):
        while open_ or buffer:
            readers, writers = [server] * open_, [client] * bool(buffer)
            readable, writable, _ = select.select(readers, writers, [])
            if readable:
                data = server.recv(1 << 16)
                open_ = bool(data)
                if len(buffer) < 1 << 18:
                    buffer += data
            if writable:
                with contextlib.suppress(BlockingIOError):
                    del buffer[: client.send(buffer)]
    for each in client, server:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
    thread.join()


def cutsSilence(seconds: float) -> Callable[[socket.socket, socket.socket], None]:
    """
    Cut connections after some silence.
    """

    def pump(client: socket.socket, server: socket.socket) -> None:
        while True:
            ready = select.select([client, server], [], [], seconds)[0]
            if not ready:
                return
            for each in ready:
                data = each.recv(1 << 14)
                if not data:
                    return
                (server if each is client else client).sendall(data)

    return pump


def forgets(seconds: float) -> Callable[[socket.socket, socket.socket], None]:
    """
    Pass nothing on after some silence, and say nothing of it.
    """

    def pump(client: socket.socket, server: socket.socket) -> None:
        while True:
            ready = select.select([client, server], [], [], seconds)[0]
            if not ready:
                silent(client)
                return
            for each in ready:
                data = each.recv(1 << 14)
                if not data:
                    return
                (server if each is client else client).sendall(data)

    return pump
