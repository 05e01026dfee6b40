"""
The command C{upper}, and options from the environment under each command that runs the
service.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import TIME_LIMIT, Server, chooseReactor, script

UPPER = ("upper",)
RUNNERS = (
    UPPER,
    ("twistd", "--nodaemon", "--pidfile="),
    ("twist", "--log-format=text"),
)


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """
    Run a command to its end, in an empty folder.

    @param variables: they are added to the environment.
    """
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=TIME_LIMIT,
            check=False,
        )


class CommandTests(SynchronousTestCase):
    """
    The command C{upper}.
    """

    def test_serves(self) -> None:
        """
        It serves as C{twistd -n upper} does, on the same reactor and with the same log,
        drains when it is told to end, and leaves no file behind.
        """
        logs = []
        chooseReactor(self)
        for runner in RUNNERS[:2]:
            with Server(runner=runner) as server:
                self.assertEqual(server.ask("straße\n".encode()), b"STRASSE\n")
                folder = Path(server._folder.name)
                self.assertEqual([each.name for each in folder.iterdir()], ["log"])
                log = server.stop()
                self.assertEqual(server.process.returncode, -15)
            self.assertNotIn("Traceback", log)
            # Without times, ports and durations.
            logs.append(
                [line[24:].rstrip("0123456789 .") for line in log.splitlines()[:4]]
            )
            self.assertIn("reactor class: upperproto.reactor.epoll.UpperReactor", log)
        self.assertEqual(*logs)

    def test_workers(self) -> None:
        """
        Several processes serve under it as well.
        """
        with Server("--workers", "2", runner=UPPER) as server:
            self.assertEqual(server.ask(b"hello\n"), b"HELLO\n")
            self.assertIn("All workers serve", server.stop())

    def test_otherTwistd(self) -> None:
        """
        The C{twistd} of another environment, first on the path, is of no account.
        """
        with tempfile.TemporaryDirectory() as folder:
            other = Path(folder, "twistd")
            other.write_text("#!/bin/sh\necho 'the other one'\nexit 7\n")
            other.chmod(0o755)
            path = f"{folder}:{os.environ['PATH']}"
            self.assertEqual(run("twistd", "--version", PATH=path).returncode, 7)
            ended = run(script("upper"), "--version", PATH=path)
            self.assertEqual((ended.returncode, ended.stderr), (0, ""))
            self.assertRegex(ended.stdout, r"^upper [\d.]+ \(Twisted [\d.]+\)\n$")
            with Server(
                "--workers", "2", runner=UPPER, command=("env", f"PATH={path}")
            ) as server:
                self.assertEqual(server.ask(b"hello\n"), b"HELLO\n")
                self.assertNotIn("the other one", server.log())

    def test_help(self) -> None:
        """
        The help is that of the service, with the variable of each option; it is shown
        whatever these say.
        """
        ended = run(script("upper"), "--help", UPPER_PORT="x")
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        self.assertTrue(ended.stdout.startswith("Usage: upper [options]\n"))
        self.assertIn("[UPPER_FLUSH_AFTER]", ended.stdout)
        self.assertNotIn("pidfile", ended.stdout)

    def test_unreadHelp(self) -> None:
        """
        It is no fault if nobody reads the help to its end, as with C{--help | head}.
        """
        for command in ((script("upper"),), (script("twistd"), "-n", "upper")):
            for option in ("--help", "--version"):
                theirs, ours = os.pipe()
                os.close(theirs)
                with os.fdopen(ours, "wb") as output:
                    ended = subprocess.run(
                        [*command, option],
                        stdout=output,
                        stderr=subprocess.PIPE,
                        timeout=TIME_LIMIT,
                        check=False,
                    )
                self.assertEqual((ended.returncode, ended.stderr), (0, b""), command)

    def test_helpToFullDisk(self) -> None:
        """
        A full disk is a fault.
        """
        with open("/dev/full", "wb") as output:
            ended = subprocess.run(
                [script("upper"), "--help"],
                stdout=output,
                stderr=subprocess.PIPE,
                timeout=TIME_LIMIT,
                check=False,
            )
        why = b"upper: cannot write standard output: No space left on device\n"
        self.assertEqual((ended.returncode, ended.stderr), (1, why))

    def test_wrong(self) -> None:
        """
        Each fault is one line on standard error, and status 1.
        """
        for words, message in (
            (["--port", "x"], "--port takes a whole number, 0 to 65535, not 'x'"),
            (["--nodaemon"], "option --nodaemon not recognized"),
            (["upper"], "not an option: upper"),
        ):
            ended = run(script("upper"), *words)
            self.assertEqual((ended.returncode, ended.stdout), (1, ""))
            self.assertEqual(ended.stderr, f"upper: {message} (see --help)\n")


class EnvironmentTests(SynchronousTestCase):
    """
    Options from the environment.
    """

    def test_serves(self) -> None:
        """
        What the environment says is done, under each command, by one process and by
        several.
        """
        for runner in RUNNERS:
            for workers in ("1", "2"):
                command = (
                    *("env", "UPPER_LISTEN=tcp:0:interface=127.0.0.1 unix:socket"),
                    *(f"UPPER_WORKERS={workers}", "UPPER_ERRORS=replace"),
                    *("UPPER_PROXY_PROTOCOL=1", "UPPER_SERVICE_HOST=10.0.0.1"),
                )
                with Server("--errors", "strict", runner=runner, command=command) as it:
                    self.assertEqual(
                        it.ask(b"PROXY UNKNOWN\r\nhello \xff\n"),
                        b"error: invalid UTF-8 at byte 7\n",
                    )
                    it.waitFor("starting on .*socket")
                    self.assertNotIn("belongs to no option", it.stop())

    def test_unknown(self) -> None:
        """
        The log warns once of a variable that belongs to no option.
        """
        for runner in RUNNERS:
            command = ("env", "UPPER_PROT=1", "UPPER_WORKERS=2")
            with Server(runner=runner, command=command) as server:
                said = "UPPER_PROT in the environment belongs to no option"
                self.assertEqual(server.stop().count(said), 1)

    def test_wrong(self) -> None:
        """
        The message for a bad value names its variable, under each command.
        """
        for runner in RUNNERS:
            program, *options = runner
            service = [] if runner == UPPER else ["upper"]
            for variable, value, message in (
                ("UPPER_DRAIN", "x", "UPPER_DRAIN takes seconds, not 'x'"),
                ("UPPER_TLS_CERT", "", "UPPER_TLS_CERT takes a value, not an empty"),
                ("UPPER_PROXY_PROTOCOL", "yes", "UPPER_PROXY_PROTOCOL takes 1 or 0"),
                ("UPPER_PORT", "tcp://10.0.0.1:5000", "'enableServiceLinks: false'"),
            ):
                ended = run(script(program), *options, *service, **{variable: value})
                self.assertEqual(ended.returncode, 1)
                [line] = ended.stderr.splitlines()
                self.assertTrue(line.startswith(f"upper: {variable} "), line)
                self.assertIn(message, line)
