"""
C{docs/tutorial}: each program in it runs, does what the page says, and shows what the
page shows.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import (
    EXAMPLES,
    TIME_LIMIT,
    Server,
    eventually,
    receiveAll,
    restoreSignals,
    script,
)
from tests.functional.terminals import PROMPT, Terminal

DOCS = EXAMPLES.parent
PAGES = DOCS / "tutorial"


def blocks(page: str, language: str) -> list[str]:
    """
    Find what stands in the code blocks of a page.
    """
    text = (PAGES / f"{page}.rst").read_text(encoding="utf-8")
    found = re.findall(
        rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)", text, re.MULTILINE
    )
    return [re.sub("^   ", "", each, flags=re.MULTILINE).strip("\n") for each in found]


def commands(page: str) -> list[tuple[str, str]]:
    """
    Find the commands of a page, each with what it shows.
    """
    found = []
    for block in blocks(page, "console"):
        for each in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = each.partition("\n")
            found.append((command, shown))
    return found


def mask(shown: str) -> str:
    """
    Leave out what differs from run to run: ports, what fits into the buffers of the
    system, and the memory of a process.
    """
    shown = re.sub(r"\d+\)", "PORT)", shown.rstrip("\n"))
    shown = re.sub(r"VmHWM:\s+\d+ kB", "VmHWM: N kB", shown)
    return re.sub(r"after \d+ MB", "after N MB", shown)


class Example:
    """
    A server out of C{docs/examples}, on a port of its own.
    """

    def __init__(
        self, test: SynchronousTestCase, name: str, port: int = 0, code: str = ""
    ) -> None:
        """
        Start it, and wait until it listens.

        @param test: the server ends with it.
        @param name: the name of its file.
        @param port: where it listens; by default the system chooses.
        @param code: what runs in place of the file.
        """
        self.name = name
        folder = tempfile.TemporaryDirectory()
        test.addCleanup(folder.cleanup)
        self._output = Path(folder.name, "output")
        self._errors = Path(folder.name, "errors")
        program = ["-c", code] if code else [str(Path("docs/examples", name))]
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-u", *program, str(port)],
                cwd=DOCS.parent,
                stdout=output,
                stderr=errors,
                preexec_fn=restoreSignals,
            )
        test.addCleanup(self.end)
        eventually(self._ready, "the server to listen")
        found = re.search(r"(\d+)\)", self.output())
        self.port = int(found[1]) if found else 0

    def _ready(self) -> bool:
        """
        Whether it listens, or has failed.
        """
        return "\n" in self.output() or self.process.poll() is not None

    def end(self) -> None:
        """
        End it, whatever it does.
        """
        self.process.kill()
        self.process.wait(TIME_LIMIT)

    def output(self) -> str:
        """
        Read what it has printed so far.
        """
        return self._output.read_text(encoding="utf-8")

    def errors(self) -> str:
        """
        Read what it has said on its standard error so far.
        """
        return self._errors.read_text(encoding="utf-8")

    def memory(self) -> int:
        """
        How much memory it has used at most, in MB; 0 when it has ended. (How much it
        uses now tells nothing: what it keeps for a client goes with the client.)
        """
        if self.process.poll() is not None:
            return 0
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        # A process that has ended, and is not waited for yet, has none.
        found = re.search(r"VmHWM:\s+(\d+)", status)
        return int(found[1]) // 1000 if found else 0

    def connect(self) -> socket.socket:
        """
        Connect to it.
        """
        return socket.create_connection(("127.0.0.1", self.port), timeout=TIME_LIMIT)


class PageTests(SynchronousTestCase):
    """
    The commands of the pages, in the order in which a reader types them.
    """

    def play(self, page: str, server: Example | Server | None = None) -> list[int]:
        """
        Start each server, run each client against the last one, and compare what they
        show.

        @param page: the name of the page.
        @param server: what runs already.
        @return: by how many MB each client has made its server grow.
        """
        grown = []
        for command, shown in commands(page):
            name = re.search(r"^\S+ docs/examples/(\w+_server\.py)", command)
            if "twistd" in command:
                continue
            if name is not None and "\n" not in shown:
                server = Example(self, name[1])
                if "/dev/null" not in command:
                    self.assertEqual(mask(server.output()), mask(shown), command)
                continue
            assert server is not None
            if name is not None:
                assert isinstance(server, Example)
                server.process.wait(TIME_LIMIT)
                self.assertEqual(mask(server.output()), mask(shown), command)
                continue
            if "pgrep" in command:
                assert isinstance(server, Example)
                pid = str(server.process.pid)
                # Other tests may run the same server at this moment.
                finding = rf"\$\(pgrep -f 'python docs/examples/{server.name}'\)"
                command, found = re.subn(finding, pid, command)
                self.assertEqual(found, 1, command)
                said = self.runClient(command, shown, server.port)
                self.assertEqual(mask(said), mask(shown), command)
                continue
            before = server.memory() if isinstance(server, Example) else 0
            self.assertEqual(
                mask(self.runClient(command, shown, server.port)), mask(shown), command
            )
            if isinstance(server, Example):
                grown.append(server.memory() - before)
        return grown

    def runClient(self, command: str, shown: str, port: int) -> str:
        """
        Run the command of a client in a terminal, and type what the page has typed.
        """
        command = re.sub(r"(\.py)( \d+)?$", rf"\1 {port}", command)
        command = command.replace("127.0.0.1 5000", f"127.0.0.1 {port}")
        command = command.replace("venv/bin/", f"{script('')}/")
        command = command.replace("python3", sys.executable)
        return Terminal(command).play(re.findall(rf"^{PROMPT}(.*)$", shown, re.M))

    def test_first(self) -> None:
        """
        The short server and its client.
        """
        self.play("first")

    def test_faults(self) -> None:
        """
        What breaks them.
        """
        self.play("faults")

    def test_twisted(self) -> None:
        """
        The same server, in fifteen lines.
        """
        self.play("twisted")
        tree = ast.parse((EXAMPLES / "twisted_server.py").read_text(encoding="utf-8"))
        lines = {
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.stmt)
            # No docstrings.
            and not (
                isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            )
        }
        self.assertEqual(len(lines), 15)

    def test_lines(self) -> None:
        """
        Line framing.
        """
        self.play("lines")

    def test_halfclose(self) -> None:
        """
        Without half-close answers are lost, and with it none is.
        """
        self.play("halfclose")

    def test_backpressure(self) -> None:
        """
        Without back-pressure the server grows by what it was sent, and with it hardly
        at all.
        """
        without, grown = self.play("backpressure")
        self.assertGreater(without, 90)
        self.assertLess(grown, 20)

    def test_code(self) -> None:
        """
        All clients work with our server.
        """
        with Server() as server:
            self.play("code", server)

    def test_sessions(self) -> None:
        """
        The interactive examples behave as in a session of Python.
        """
        tried = 0
        for page in sorted(PAGES.glob("*.rst")):
            failed, attempted = doctest.testfile(str(page), module_relative=False)
            self.assertEqual(failed, 0, page)
            tried += attempted
        self.assertGreater(tried, 3)

    def test_lineNumbers(self) -> None:
        """
        The calls stand in the lines that the pages name.
        """
        source = (EXAMPLES / "blocking_server.py").read_text(encoding="utf-8")
        client = (EXAMPLES / "blocking_client.py").read_text(encoding="utf-8")
        text = (PAGES / "first.rst").read_text(encoding="utf-8")
        server, _, rest = text.partition("\nThe client\n")
        for page, program, least in [(server, source, 12), (rest, client, 4)]:
            named = re.findall(
                r"^``(.*?)[(…].*`` \(lines? (\d+)(?: and (\d+))?\)$", page, re.MULTILINE
            )
            self.assertGreaterEqual(len(named), least)
            for call, *numbers in named:
                for number in filter(None, numbers):
                    line = program.splitlines()[int(number) - 1]
                    self.assertIn(call.split()[0].split(".")[-1], line)

    def test_quotedLines(self) -> None:
        """
        Where a page names a line of the server, it quotes the line.
        """
        program = (EXAMPLES / "blocking_server.py").read_text(encoding="utf-8")
        numbered = 0
        for page in ["first", "faults"]:
            text = (PAGES / f"{page}.rst").read_text(encoding="utf-8")
            # The list of calls has numbers, too, beside the calls.
            text = re.sub(r"^``.*`` \(lines? .*\)$", "", text, flags=re.MULTILINE)
            quoted = re.findall(
                r"\(line (\d+)\).*:\n\n\.\. code-block:: python\n\n +(.*)", text
            )
            self.assertEqual(len(quoted), len(re.findall(r"\(line \d", text)))
            numbered += len(quoted)
            for number, line in quoted:
                self.assertEqual(program.splitlines()[int(number) - 1].strip(), line)
        self.assertEqual(numbered, 3)


class BlockingServerTests(SynchronousTestCase):
    """
    The short server: what works, and what breaks as the pages say.
    """

    def connect(self, server: Example) -> socket.socket:
        """
        Connect to it until the test ends.
        """
        connection = server.connect()
        self.addCleanup(connection.close)
        return connection

    def test_conversation(self) -> None:
        """
        It answers one client, and ends with it.
        """
        server = Example(self, "blocking_server.py")
        connection = self.connect(server)
        for message in ["I am Simon", "This is a test", "straße"]:
            connection.sendall(message.encode())
            self.assertEqual(connection.recv(1024).decode(), message.upper())
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(receiveAll(connection), b"")
        self.assertEqual(server.process.wait(TIME_LIMIT), 0)

    def test_oneClient(self) -> None:
        """
        A second client waits as long as the first one is there, and then for
        nothing.
        """
        server = Example(self, "blocking_server.py")
        first, second = self.connect(server), self.connect(server)
        second.sendall(b"abc")
        first.sendall(b"abc")
        self.assertEqual(first.recv(1024), b"ABC")
        second.setblocking(False)
        self.assertRaises(BlockingIOError, second.recv, 1024)
        second.settimeout(TIME_LIMIT)
        first.close()
        server.process.wait(TIME_LIMIT)
        error = self.assertRaises(ConnectionResetError, second.recv, 1024)
        page = (PAGES / "faults.rst").read_text(encoding="utf-8")
        self.assertIn(f"ConnectionResetError: {error}", page)

    def test_splitCharacter(self) -> None:
        """
        It dies of a character that C{recv(1024)} has cut, with the traceback
        that the page shows.
        """
        server = Example(self, "blocking_server.py")
        self.connect(server).sendall(b"x" * 1023 + "é".encode())
        self.assertEqual(server.process.wait(TIME_LIMIT), 1)
        [shown] = blocks("faults", "text")
        # Each version of Python marks the place in its own way.
        traces = [
            re.sub(r"\n *[~^]+(?=\n)", "", each) for each in (shown, server.errors())
        ]
        self.assertEqual(
            traces[0], traces[1].rstrip("\n").replace(f"{DOCS.parent}/", "/…/")
        )

    def test_restart(self) -> None:
        """
        It can be started again at once, although it ended before its client did;
        without C{SO_REUSEADDR} it could not, not even where it ran with it before.
        """
        code = (EXAMPLES / "blocking_server.py").read_text(encoding="utf-8")
        without = re.sub(".*SO_REUSEADDR.*\n", "", code)
        for program, works in [(code, True), (without, False)]:
            first = Example(self, "", code=program)
            client = self.connect(first)
            client.sendall(b"abc")
            self.assertEqual(client.recv(1024), b"ABC")
            first.process.send_signal(signal.SIGINT)
            first.process.wait(TIME_LIMIT)
            self.assertIn("KeyboardInterrupt", first.errors())
            self.assertEqual(receiveAll(client), b"")
            client.close()
            again = Example(self, "", first.port, program)
            self.assertEqual(again.port, first.port if works else 0)
            if works:
                # The connection is remembered, and so is its port.
                again.end()
                again = Example(self, "", first.port, without)
                self.assertEqual(again.port, 0)
            said = again.errors().splitlines()[-1]
            self.assertEqual(blocks("first", "text"), [said])

    def test_noServer(self) -> None:
        """
        Without a server the client ends as the page says.
        """
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            client = subprocess.run(
                [
                    sys.executable,
                    str(EXAMPLES / "blocking_client.py"),
                    str(taken.getsockname()[1]),
                ],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                timeout=TIME_LIMIT,
            )
        page = (PAGES / "first.rst").read_text(encoding="utf-8")
        self.assertIn(client.stderr.splitlines()[-1], page)

    def test_hereToo(self) -> None:
        """
        What breaks the short server does not break ours.
        """
        with Server() as server, server.connect() as first, server.connect() as second:
            second.sendall(b"x" * 1023 + "é\n".encode())
            with second.makefile("rb") as answers:
                self.assertEqual(answers.readline(), b"X" * 1023 + "É\n".encode())
            first.sendall(b"abc")
            self.assertEqual(first.recv(1024), b"ABC")


class TwistedServerTests(SynchronousTestCase):
    """
    What the pages say of the servers in Twisted.
    """

    def test_onlyOne(self) -> None:
        """
        Half a character ends the connection that it came on, and no other.
        """
        server = Example(self, "twisted_server.py")
        with server.connect() as good, server.connect() as bad:
            bad.sendall(b"\xc3")
            self.assertEqual(receiveAll(bad), b"")
            good.sendall(b"abc")
            self.assertEqual(good.recv(1024), b"ABC")
        self.assertIn("UnicodeDecodeError", server.errors())

    def test_strictLines(self) -> None:
        """
        The line server closes the connection at broken bytes and at a long line, and
        answers no last piece without a line end.
        """
        server = Example(self, "line_server.py")
        for sent in [b"\xff\n", b"x" * 20000]:
            with server.connect() as connection:
                connection.sendall(sent)
                # It is a reset if something of the line was not read.
                with contextlib.suppress(ConnectionResetError):
                    self.assertEqual(receiveAll(connection), b"")
        server = Example(self, "halfclose_server.py")
        with server.connect() as connection:
            connection.sendall(b"one\ntwo")
            connection.shutdown(socket.SHUT_WR)
            self.assertEqual(receiveAll(connection), b"ONE\n")

    def test_others(self) -> None:
        """
        While one client does not read, the others are served.
        """
        server = Example(self, "backpressure_server.py")
        with server.connect() as deaf, server.connect() as other:
            deaf.settimeout(1)
            self.assertRaises(TimeoutError, deaf.sendall, b"x" * 999 + b"\n" * 10**8)
            other.sendall(b"abc\n")
            self.assertEqual(other.recv(1024), b"ABC\n")
