"""
Ask a service in this container whether it is ready: C{GET /readyz} of its C{--status}.

Status 0: it is. Status 1: it is not, and a line says why. C{UPPER_STATUS} says where it
is asked: a number, C{tcp:PORT}, C{tcp:PORT:interface=ADDRESS} or C{unix:PATH}.

It imports nothing but what an answer needs, because it is started every few seconds.
"""

import os
import socket
import sys

# More than any answer takes, in seconds; the image allows for a little more.
TIMEOUT = 2


def connect(endpoint: str) -> socket.socket:
    """
    Connect to where an endpoint listens.

    @param endpoint: a server endpoint, as Twisted has it.
    """
    kind, *rest = (
        each.replace("\0", ":") for each in endpoint.replace("\\:", "\0").split(":")
    )
    if kind == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(TIMEOUT)
        connection.connect(rest[0].removeprefix("address="))
        return connection
    port = kind if kind.isdecimal() else rest[0].removeprefix("port=")
    [address, *_] = [
        *(each[10:] for each in rest if each.startswith("interface=")),
        "127.0.0.1",
    ]
    # What listens on every address listens on this one.
    everywhere = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}
    return socket.create_connection(
        (everywhere.get(address, address), int(port)), TIMEOUT
    )


def main() -> str:
    """
    Ask.

    @return: what is wrong; empty if the service is ready.
    """
    endpoint = os.environ.get("UPPER_STATUS", "8080")
    try:
        with connect(endpoint) as connection:
            connection.sendall(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            with connection.makefile("rb") as answer:
                status = answer.readline(1000).split()
    except (OSError, ValueError, IndexError) as error:
        return f"{endpoint}: {error}"
    if status[1:2] == [b"200"]:
        return ""
    return f"{endpoint}: not ready: {b' '.join(status).decode('ascii', 'replace')}"


if __name__ == "__main__":
    sys.exit(main() or 0)
