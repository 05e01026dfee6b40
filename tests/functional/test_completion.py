"""
C{completions/}: what bash, zsh and fish offer when somebody presses Tab.
"""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path
from select import select

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import TIME_LIMIT
from tests.test_docs import knownOptions
from upperproto.command.options import COMMANDS, FORMATS, OPTIONS

ROOT = Path(__file__).parents[2]
COMPLETIONS = ROOT / "completions"

# What bash does for Tab, without a terminal. A word with "=" is three for it.
_BASH = """
source "$1"; program=$2; shift 2
COMP_WORDS=("$program" "$@"); COMP_CWORD=$#
"$(complete -p "$program" | sed 's/.*-F \\([^ ]*\\).*/\\1/')"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def bash(program: str, *words: str) -> set[str]:
    """
    Find what bash offers in place of the last word.
    """
    said = subprocess.run(
        ["bash", "-c", _BASH, "bash", str(COMPLETIONS / program), program, *words],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=TIME_LIMIT,
        check=True,
    )
    return set(said.stdout.split())


def fish(program: str, words: str) -> set[str]:
    """
    Find what fish offers at the end of a command line.
    """
    script = f"source {COMPLETIONS}/{program}.fish; complete -C '{program} {words}'"
    said = subprocess.run(
        ["fish", "--no-config", "-c", script],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=TIME_LIMIT,
        check=True,
    )
    return {line.partition("\t")[0] for line in said.stdout.splitlines()}


def zsh(line: str, expected: str) -> None:
    """
    Type a line and Tab into zsh.

    @param expected: what to wait for.
    """
    process, terminal = pty.fork()
    if process == 0:
        os.execvp("zsh", ["zsh", "-f", "-i"])
    shown = b""
    typed = f"PS1=; fpath+=({COMPLETIONS}); autoload -U compinit; compinit -u -D\n"
    os.write(terminal, f"{typed}{line}\t".encode())
    try:
        # It may be in bold.
        while expected.encode() not in re.sub(rb"\x1b\[\d*m", b"", shown):
            if not select([terminal], [], [], TIME_LIMIT)[0]:
                raise AssertionError(f"zsh shows {shown!r}")
            shown += os.read(terminal, 4096)
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


class CompletionTests(SynchronousTestCase):
    """
    Each option can be completed, in each shell.
    """

    def test_made(self) -> None:
        """
        The files are those that the program makes of the options of today.
        """
        program = (
            "import sys; from pathlib import Path; import completion;"
            "print(completion.files() == {path.name: path.read_text('utf-8')"
            " for path in Path(sys.argv[1]).iterdir()})"
        )
        said = subprocess.run(
            [sys.executable, "-c", program, str(COMPLETIONS)],
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/docs/extensions"},
            stdout=subprocess.PIPE,
            timeout=TIME_LIMIT,
        )
        self.assertEqual(said.stdout, b"True\n", "run docs/extensions/completion.py")

    def test_bash(self) -> None:
        """
        bash offers all options, the words of those that take one of a few, and files.
        """
        offered = bash("upper", "-")
        self.assertEqual(
            {word for word in offered if word.startswith("--")},
            {f"--{name}" for name in knownOptions()} | {"--help", "--version"},
        )
        self.assertEqual(bash("upper", "--err"), {"--errors"})
        self.assertEqual(bash("upper", "--log", ""), {"none", "connections", "lines"})
        self.assertEqual(bash("upper", "--log", "=", "l"), {"lines"})
        here = str(Path(__file__).parent)
        self.assertIn(__file__, bash("upper", "--tls-cert", f"{here}/"))
        self.assertEqual(bash("upper", "--port", ""), set())

    def test_bashClient(self) -> None:
        """
        C{upper-client} has its commands, and each command its own options.
        """
        self.assertLessEqual(set(COMMANDS), bash("upper-client", ""))
        for command in COMMANDS:
            offered = bash("upper-client", command, "--")
            its = {f"--{each.name}" for each in OPTIONS if command in each.commands}
            self.assertEqual(offered, its)
        self.assertEqual(bash("upper-client", "ping", "--format", ""), set(FORMATS))
        steps = bash("upper-client", "check", "--only", "tls,half")
        self.assertEqual(steps, {"tls,halfclose"})

    def test_fish(self) -> None:
        """
        fish offers them, too.
        """
        if shutil.which("fish") is None:
            self.skipTest("needs fish")
        offered = fish("upper", "--")
        self.assertLessEqual({f"--{name}" for name in knownOptions()}, offered)
        self.assertEqual(fish("upper", "--log l"), {"lines"})
        for command in COMMANDS:
            offered = fish("upper-client", f"{command} --")
            its = {f"--{each.name}" for each in OPTIONS if command in each.commands}
            self.assertEqual({each for each in offered if each in its}, its)
            others = {f"--{each.name}" for each in OPTIONS} - its
            self.assertEqual(offered & others, set())

    def test_zsh(self) -> None:
        """
        zsh completes an option, the word of an option, and a command.
        """
        if shutil.which("zsh") is None:
            self.skipTest("needs zsh")
        zsh("upper --err", "--errors=")
        zsh("upper --log=li", "--log=lines")
        zsh("upper-client che", "check ")
        zsh("upper-client ping --cou", "--count=")
