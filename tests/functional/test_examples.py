"""
The examples in C{docs/examples}, each run as its reader would.
"""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import urlopen

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import EXAMPLES, TIME_LIMIT, Server, receiveAll, script

DOCS = EXAMPLES.parent

# A program that wraps our factory.
WRAPPED = """
import sys
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.python.log import startLogging

sys.path.append(sys.argv[1])
from halfclose import HalfCloseableFactory
from upperproto import UpperFactory

startLogging(sys.stdout)
endpoint = serverFromString(reactor, "tcp:5000:interface=127.0.0.1")
endpoint.listen(HalfCloseableFactory(UpperFactory()))
reactor.run()
"""


def onAnyPort(program: str) -> str:
    """
    Let the system choose the ports on which a program listens.
    """
    return program.replace("tcp:5000:", "tcp:0:").replace("tcp:8080:", "tcp:0:")


class Program(Server):
    """
    Somebody's own program with our service in it.
    """

    def __init__(self, *command: str) -> None:
        """
        @param command: the program and its arguments.
        """
        self._arguments = list(command)


class EmbeddingTests(SynchronousTestCase):
    """
    Programs of one's own, with our service in them.
    """

    def test_script(self) -> None:
        """
        C{embed.py} answers, and loses no answer when it is told to end.
        """
        program = onAnyPort((EXAMPLES / "embed.py").read_text(encoding="utf-8"))
        with Program(sys.executable, "-c", program) as server:
            self.assertEqual(server.ask("straße\n".encode()), b"STRASSE\n")
            with server.connect() as connection:
                connection.sendall(b"abc\n")
                self.assertEqual(connection.recv(4), b"ABC\n")
                log = server.stop()
                self.assertEqual(receiveAll(connection), b"")
        self.assertIn("Connection from 127.0.0.1:", log)
        self.assertNotIn("Traceback", log)

    def test_application(self) -> None:
        """
        C{embed.tac} answers, and its web page counts the clients.
        """
        program = onAnyPort((EXAMPLES / "embed.tac").read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "embed.tac")
            path.write_text(program, encoding="utf-8")
            with Program(
                script("twistd"), "-n", "--pidfile=", "-y", str(path)
            ) as server:
                page = server.waitFor(r"Site starting on (\d+)")[1]
                server.port = int(server.waitFor(r"UpperFactory starting on (\d+)")[1])
                with server.connect() as connection:
                    connection.sendall(b"abc\n")
                    self.assertEqual(connection.recv(4), b"ABC\n")
                    with urlopen(f"http://127.0.0.1:{page}", timeout=TIME_LIMIT) as web:
                        self.assertEqual(web.read(), b"1 connections\n")
                self.assertNotIn("Traceback", server.stop())

    def test_ownTests(self) -> None:
        """
        C{test_embed.py} passes, run as it says of itself.
        """
        example = EXAMPLES / "test_embed.py"
        commands = re.findall(r"C\{(.*?)\}", example.read_text(encoding="utf-8"))
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(example, folder)
            for command in commands:
                program, *words = command.split()
                tests = subprocess.run(
                    [script(program), *words],
                    cwd=folder,
                    stdout=subprocess.PIPE,
                    timeout=TIME_LIMIT,
                )
                self.assertEqual(tests.returncode, 0, tests.stdout)
                self.assertRegex(tests.stdout, b"successes=2|2 passed")
        self.assertEqual(len(commands), 2)

    def test_ownProtocol(self) -> None:
        """
        C{rot13.py} answers whole lines, long ones in parts, and the tail at the
        end of stream, also where the client had not been reading.
        """
        names = runpy.run_path(str(EXAMPLES / "rot13.py"))
        protocol = names["Rot13Factory"]().buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        self.assertIs(transport.producer, protocol)
        protocol.dataReceived(b"Hello,\nworld\n" + b"a" * 20000)
        self.assertEqual(transport.value(), b"Uryyb,\njbeyq\n" + b"n" * 20000)
        transport.clear()
        protocol.pauseProducing()
        protocol.dataReceived(b"one\ntwo")
        self.assertEqual(transport.value(), b"")
        protocol.readConnectionLost()
        self.assertEqual(transport.value(), b"bar\ngjb")
        self.assertTrue(transport.disconnecting)
        self.assertIsNone(transport.producer)

    def test_wrapper(self) -> None:
        """
        C{halfclose.py} lets every answer through, although the client ends its
        side at once.
        """
        program = onAnyPort(WRAPPED)
        with Program(sys.executable, "-c", program, str(EXAMPLES)) as server:
            for _ in range(50):
                self.assertEqual(server.ask(b"abc\ndef"), b"ABC\nDEF")
