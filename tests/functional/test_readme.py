"""
C{README.md}: what it shows happens as it shows it.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import Server, script
from tests.functional.terminals import PROMPT, Terminal
from tests.functional.test_examples import Program, onAnyPort

ROOT = Path(__file__).parents[2]


def blocks(language: str) -> list[str]:
    """
    Find the fenced blocks of one language.
    """
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def mask(shown: str) -> str:
    """
    Leave out how long something took.
    """
    return re.sub(r"[\d.]+ (m?s)\b", r"N \1", shown.rstrip("\n"))


class ReadmeTests(SynchronousTestCase):
    """
    The commands and the program in it, but for the port, which the system
    chooses, and the folder in which the commands are installed.
    """

    # A server that behaves like a bad proxy, as the README starts it.
    BAD_PORT = 5001

    def play(self, conversations: str, port: int) -> None:
        """
        Run each command of a block, and compare what the terminal shows.
        """
        for conversation in re.split(r"^\$ ", conversations, flags=re.MULTILINE)[1:]:
            command, _, expected = conversation.partition("\n")
            command = re.sub(r"([ :])500[01]\b", rf"\g<1>{port}", command)
            for client in ["upper-client", "blocking_client.py"]:
                option = "--port " if client == "upper-client" else ""
                if str(port) not in command:
                    command = command.replace(client, f"{client} {option}{port}")
            command = command.replace("venv/bin/", f"{script('')}/")
            command = command.replace("python3", sys.executable)
            typed = re.findall(rf"^{PROMPT}(.*)$", expected, re.MULTILINE)
            shown = Terminal(command).play(typed)
            self.assertEqual(mask(shown), mask(expected), command)

    def test_conversations(self) -> None:
        """
        Each conversation shows in a terminal what the README has.
        """
        if shutil.which("nc") is None:
            self.skipTest("needs nc")
        conversations = blocks("console")
        self.assertEqual(len(conversations), 5)
        bad = [each for each in conversations if str(self.BAD_PORT) in each]
        self.assertEqual(len(bad), 1)
        _, start, _ = blocks("sh")
        options = re.search(
            rf"^venv/bin/twistd .* upper (.*:{self.BAD_PORT}:.*)", start
        )
        assert options is not None
        listen = options[1].replace(str(self.BAD_PORT), "0").split()
        with Server() as server, Server(*listen) as proxy:
            for each in conversations:
                self.play(each, (proxy if each in bad else server).port)

    def test_embedding(self) -> None:
        """
        The program of ten lines serves, as a file that is run.
        """
        [program] = blocks("python")
        self.assertLessEqual(len(list(filter(None, program.splitlines()))), 10)
        # The program itself logs nothing, and so would not tell its port.
        log = "import sys\nfrom twisted.python.log import startLogging\n"
        log += "startLogging(sys.stdout)\n"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "serve.py")
            path.write_text(log + onAnyPort(program), encoding="utf-8")
            with Program(sys.executable, str(path)) as server:
                self.assertEqual(server.ask(b"abc"), b"ABC")

    def test_commands(self) -> None:
        """
        There are two commands to set everything up: one starts the server, the
        other passes the tests. (C{.ci/run} runs them.) The block between them starts
        another server.
        """
        start, _, test = blocks("sh")
        self.assertTrue(start.endswith("venv/bin/twistd -n upper\n"))
        self.assertTrue(test.endswith("venv/bin/pytest\n"))

    def test_listening(self) -> None:
        """
        The log of the server ends its start with the line that the page shows.
        """
        [line] = blocks("text")
        with Server() as server:
            server.waitFor(re.escape(line.replace("5000", str(server.port))))
