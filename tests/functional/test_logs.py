"""
No peer can forge, flood or stop the log; and without a log, it serves on.
"""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from fcntl import F_SETPIPE_SZ, fcntl
from functools import partial
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.processes import TIME_LIMIT, Server, eventually, script


def listens(path: str) -> bool:
    """
    Whether somebody listens on a UNIX socket, without a connection to it.
    """
    table = Path("/proc/net/unix").read_text()
    # __SO_ACCEPTCON of the kernel.
    return (
        re.search(rf" 00010000 .* {re.escape(path)}$", table, re.MULTILINE) is not None
    )


# What begins each record.
RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[[^\]]*\] ")


class ForgeryTests(SynchronousTestCase):
    """
    A log that shows what peers say.
    """

    def test_records(self) -> None:
        """
        Whatever a peer says, each line of the log is a record of ours, and no
        character of it is one that a terminal would obey.
        """
        forged = "2026-01-01T00:00:00+0000 [upper] forged"
        lines = [
            *(f"{chr(code)}{forged}" for code in range(0x100) if code != 0x0A),
            *(f"{chr(code)}{forged}" for code in range(0x2000, 0x2070)),
            "\ufeff" + forged,
            "\U000e0041" + forged,
            f"\\n{forged}",
        ]
        invalid = [bytes([byte]) + forged.encode() for byte in range(0x80, 0x100)]
        said = b"\n".join([line.encode() for line in lines] + invalid)
        with Server("--log", "lines") as server:
            server.ask(said)
            server.waitFor("closed by the client")
            log = server.logBytes()
        for record in log.decode().removesuffix("\n").split("\n"):
            self.assertRegex(record, RECORD)
            self.assertTrue(record.isprintable(), ascii(record))
        heard = re.findall(rb"from connected user: (.*)", log)
        self.assertEqual(len(heard), len(lines) + len(invalid))

    def test_refusals(self) -> None:
        """
        It is the same when the peer is turned away: what it says is not logged.
        """
        with Server("--log", "lines", "--max-connections", "1") as server:
            with server.connect() as first:
                first.sendall(b"a\n")
                first.recv(10)
                self.assertEqual(
                    server.ask(b"forged\n"), b"error: too many connections\n"
                )
            server.waitFor("too many connections;")
            self.assertNotIn("forged", server.log())


class EncodingTests(SynchronousTestCase):
    """
    A log in an encoding that lacks what peers say.
    """

    twistd = ("twistd", "--nodaemon", "--pidfile=")
    inASCII = ("PYTHONIOENCODING=ascii",)
    # Python takes C for UTF-8 unless it is told not to.
    inC = ("LC_ALL=C", "PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0", "PYTHONIOENCODING=")

    def log(self, environment: tuple[str, ...], *runner: str) -> str:
        """
        Have a server answer what ASCII lacks, and give its log.

        @param environment: variables of the server's, with their values.
        @param runner: Twisted's command that runs it, with its options.
        """
        command = ("env", *environment)
        with Server("--log", "lines", command=command, runner=runner) as server:
            self.assertEqual(
                server.ask("straße\n漢\n".encode()), "STRASSE\n漢\n".encode()
            )
            server.waitFor("closed by the client")
            return server.stop()

    def check(self, log: str, *said: str) -> None:
        """
        Check that a log has the whole of a conversation.

        @param said: what the log has for what ASCII lacks.
        """
        [szett, han] = said
        texts = re.findall(r"#info\] (.*)", log)
        first = next(index for index, text in enumerate(texts) if "Connection" in text)
        self.assertRegex(texts[first], "^Connection from 127.0.0.1:[0-9]+$")
        self.assertEqual(
            texts[first + 1 : first + 5],
            [
                f"from connected user: stra{szett}e",
                f"from connected user: {han}",
                "sending: STRASSE",
                f"sending: {han}",
            ],
        )
        self.assertIn("closed by the client", texts[first + 5])

    def test_standardOutput(self) -> None:
        """
        What it lacks is escaped, and nothing is lost.
        """
        for environment in (self.inASCII, self.inC):
            self.check(self.log(environment, *self.twistd), r"\xdf", r"\u6f22")
        log = self.log(("PYTHONIOENCODING=utf-8",), *self.twistd)
        self.check(log, "ß", "漢")

    def test_chosenByTheUser(self) -> None:
        """
        Nor is it where the user has chosen Twisted's own log: on standard output, or in
        a file, which is in UTF-8.
        """
        log = self.log(self.inASCII, *self.twistd, "--logfile", "-")
        self.check(log, r"\xdf", r"\u6f22")
        log = self.log(self.inASCII, *self.twistd, "--logfile", "/dev/stdout")
        self.check(log, "ß", "漢")

    def test_twist(self) -> None:
        """
        It is the same with C{twist}, in text and in JSON.
        """
        text = ("--log-format", "text")
        log = self.log(self.inC, "twist", "--log-file", "/dev/stdout", *text)
        self.check(log, r"\xdf", r"\u6f22")
        self.check(self.log(self.inASCII, "twist", *text), r"\xdf", r"\u6f22")
        log = self.log(self.inASCII, "twist")
        lines = [json.loads(record).get("line") for record in log.split("\x1e")[1:]]
        said = ["straße", "漢", "STRASSE", "漢"]
        self.assertEqual([line for line in lines if line is not None], said)


# Logs as twistd does. What is to happen in the process follows.
LOGGING = """
import itertools, os, signal, threading
from twisted.internet import reactor
from twisted.logger import Logger, globalLogBeginner
from upperproto.monitoring.logobserver import observeStandardOutput

globalLogBeginner.beginLoggingTo([observeStandardOutput()])
log = Logger()
"""


class CrashTests(SynchronousTestCase):
    """
    A process that ends without warning.
    """

    def test_lastWords(self) -> None:
        """
        The line that explains it is in the log, and so is what was logged before.
        """
        for end, status in {
            "os._exit(3)": 3,
            "os.kill(os.getpid(), signal.SIGSEGV)": -signal.SIGSEGV,
            "os.kill(os.getpid(), signal.SIGKILL)": -signal.SIGKILL,
        }.items():
            program = f"""{LOGGING}
def crash():
    for number in range(100):
        log.info("number {{number}}", number=number)
    log.error("last words")
    {end}

reactor.callWhenRunning(crash)
reactor.run()
"""
            ended = subprocess.run(
                [sys.executable, "-c", program],
                stdout=subprocess.PIPE,
                timeout=TIME_LIMIT,
                check=False,
            )
            self.assertEqual(ended.returncode, status)
            texts = [
                line.partition("] ")[2] for line in ended.stdout.decode().split("\n")
            ]
            self.assertEqual(
                texts, [*(f"number {each}" for each in range(100)), "last words", ""]
            )

    def test_lastWordsInAFile(self) -> None:
        """
        It is the same in a file, where a thread writes, up to the last warning or
        error; and where a service ends before the reactor has run.
        """
        for end, status in {
            "log.error('last words'); os._exit(3)": 3,
            "log.warn('last words'); os.kill(os.getpid(), signal.SIGKILL)": -9,
            "log.info('last words'); sys.exit(4)": 4,
        }.items():
            program = f"""{LOGGING}
import sys

for number in range(100):
    log.info("number {{number}}", number=number)
{end}
"""
            with tempfile.TemporaryFile() as file:
                ended = subprocess.run(
                    [sys.executable, "-c", program],
                    stdout=file,
                    timeout=TIME_LIMIT,
                    check=False,
                )
                self.assertEqual(ended.returncode, status)
                file.seek(0)
                lines = file.read().decode().splitlines()
            self.assertEqual(
                [line.partition("] ")[2] for line in lines],
                [*(f"number {each}" for each in range(100)), "last words"],
            )

    def test_service(self) -> None:
        """
        What a client was answered is on its way to the log before it has the answer.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/s"
            with (
                subprocess.Popen(
                    [
                        *(script("twistd"), "--nodaemon", "--pidfile=", "upper"),
                        *("--log", "lines", "--listen", f"unix:{path}"),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    cwd=folder,
                ) as process,
                socket.socket(socket.AF_UNIX) as connection,
            ):
                try:
                    eventually(lambda: listens(path), "the socket")
                    connection.connect(path)
                    connection.sendall(b"a\n")
                    self.assertEqual(connection.recv(10), b"A\n")
                finally:
                    process.kill()
                assert process.stdout is not None
                log = process.stdout.read().decode()
        self.assertRegex(log, r"from connected user: a\n.*sending: A\n$")


class InterruptionTests(SynchronousTestCase):
    """
    A process whose threads and signal handlers log, too.
    """

    def test_interruptions(self) -> None:
        """
        Each record is there once and whole, whoever has logged it meanwhile, while it
        has to wait and while it need not.
        """
        program = f"""{LOGGING}
numbers = itertools.count()

def handle(number, frame):
    log.info("handler {{number}}.", number=next(numbers))

def work(name, count):
    for number in range(count):
        log.info("{{name}} {{number}}.", name=name, number=number)

signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
thread = threading.Thread(target=work, args=["thread", 2000])
thread.start()
work("main", 2000)
thread.join()
signal.setitimer(signal.ITIMER_REAL, 0)
log.info("handled {{number}}.", number=next(numbers))
reactor.callWhenRunning(reactor.stop)
reactor.run()
"""
        # A small pipe is full again and again.
        reader, writer = os.pipe()
        fcntl(writer, F_SETPIPE_SZ, 4096)
        with subprocess.Popen(
            [sys.executable, "-c", program], stdout=writer
        ) as process:
            os.close(writer)
            with open(reader, encoding="utf-8") as output:
                records = output.read().splitlines()
            self.assertEqual(process.wait(TIME_LIMIT), 0)
        for record in records:
            self.assertRegex(record, RECORD)
        said = [record.partition("] ")[2].removesuffix(".") for record in records]
        said.remove("Main loop terminated")
        handled = int(said.pop().removeprefix("handled "))
        self.assertGreater(handled, 0)
        for name, count in {"main": 2000, "thread": 2000, "handler": handled}.items():
            numbers = [
                int(each.rpartition(" ")[2]) for each in said if each.startswith(name)
            ]
            if name == "handler":
                # One may have been interrupted by the next.
                numbers.sort()
            self.assertEqual(numbers, list(range(count)))
        self.assertEqual(len(said), 4000 + handled)


class InvalidInputTests(SynchronousTestCase):
    """
    Input that is not UTF-8.
    """

    def test_inPlace(self) -> None:
        """
        Each invalid line is answered by one error line, in its place.
        """
        with Server() as server:
            answer = server.ask(b"a\n\xff\nb\nc\xc3\nd\n" * 1000)
        self.assertEqual(
            answer,
            b"A\nerror: invalid UTF-8 at byte 1\nB\n"
            b"error: invalid UTF-8 at byte 2\nD\n" * 1000,
        )

    def test_smallInTheLog(self) -> None:
        """
        A megabyte of it adds two lines to the log, and no traceback.
        """
        with Server() as server:
            server.waitFor("Listening on")
            before = len(server.log().splitlines())
            answer = server.ask(b"\xff\n" * 500_000)
            self.assertEqual(answer.count(b"error: invalid UTF-8 at byte 1\n"), 500_000)
            server.waitFor("closed by the client")
            self.assertEqual(len(server.log().splitlines()), before + 2)


class OutputTests(SynchronousTestCase):
    """
    C{twistd --nodaemon}, whose standard output is not a file.
    """

    def setUp(self) -> None:
        """
        Make a folder for the socket, with a short name, as sockets need it.
        """
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def serve(
        self,
        output: int,
        talk: Callable[[str], None],
        runner: tuple[str, ...] = ("twistd", "--nodaemon", "--pidfile="),
        options: tuple[str, ...] = (),
        command: tuple[str, ...] = (),
    ) -> subprocess.Popen[bytes]:
        """
        Start a server, call something, send SIGTERM and wait for the end.

        @param output: its standard output and error; it is closed here.
        @param talk: called with the path of its UNIX socket.
        @param runner: Twisted's command that runs it, with its options.
        @param options: more of C{upper}.
        @param command: what it is started under.
        @return: the process, which C{talk} finds as C{self.process}.
        """
        path = f"{self.folder}/socket"
        program, *itsOptions = runner
        arguments = ["--log", "lines", "--drain", "0", "--listen", f"unix:{path}"]
        with subprocess.Popen(
            [*command, script(program), *itsOptions, "upper", *arguments, *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process:
            os.close(output)
            self.process = process
            try:
                eventually(partial(listens, path), "the socket")
                talk(path)
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(TIME_LIMIT), -signal.SIGTERM)
            finally:
                process.kill()
        return process

    def ask(self, path: str, count: int = 1) -> None:
        """
        Have some lines answered.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(TIME_LIMIT)
            connection.connect(path)
            for _ in range(count):
                connection.sendall(b"a" * 999 + b"\n")
                answer = connection.recv(1000, socket.MSG_WAITALL)
                self.assertEqual(answer, b"A" * 999 + b"\n")

    def test_pipeThatNobodyReads(self) -> None:
        """
        When nobody reads the pipe that it logs to, it serves on, and it ends
        when it is told to.
        """
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.serve(writer, lambda path: self.ask(path, 2000))

    def test_pipeThatIsReadAgain(self) -> None:
        """
        When somebody reads on, the log goes on with whole records, and says how
        many were lost.
        """
        reader, writer = os.pipe()
        log = bytearray()

        def talk(path: str) -> None:
            self.ask(path, 2000)
            while b"of the log are lost" not in log:
                log.extend(os.read(reader, 1 << 20))
                self.ask(path)

        self.serve(writer, talk)
        while chunk := os.read(reader, 1 << 20):
            log.extend(chunk)
        os.close(reader)
        records = log.decode().removesuffix("\n").split("\n")
        for record in records:
            self.assertRegex(record, RECORD)
        self.assertIn("Server Shut Down", records[-1])
        spoken = re.findall(r"from connected user: (.*)|sending: (.*)", log.decode())
        self.assertEqual(
            set(spoken), {("a" * 999, ""), ("", "A" * 999)}, "a record was cut"
        )
        lost = re.findall(r"(\d+) lines of the log are lost", log.decode())
        self.assertEqual(len(lost), 1)
        self.assertGreater(int(lost[0]), 0)

    def test_pipeWhoseReaderHasGone(self) -> None:
        """
        When the reader of the pipe has gone, it serves on.
        """
        reader, writer = os.pipe()

        def talk(path: str) -> None:
            os.close(reader)
            self.ask(path, 500)

        self.serve(writer, talk)

    def test_terminalThatIsStopped(self) -> None:
        """
        When somebody has typed Ctrl-S in its terminal, it serves on.
        """
        terminal, writer = pty.openpty()
        self.addCleanup(os.close, terminal)
        keep = os.dup(writer)
        self.addCleanup(os.close, keep)

        def talk(path: str) -> None:
            termios.tcflow(keep, termios.TCOOFF)
            self.ask(path, 500)

        self.serve(writer, talk)

    def test_terminalThatGoesOn(self) -> None:
        """
        When somebody has typed Ctrl-Q there, too, the log goes on where it stopped.
        """
        terminal, writer = pty.openpty()
        self.addCleanup(os.close, terminal)
        keep = os.dup(writer)
        self.addCleanup(os.close, keep)
        log = bytearray()

        def talk(path: str) -> None:
            termios.tcflow(keep, termios.TCOOFF)
            self.ask(path, 300)
            termios.tcflow(keep, termios.TCOON)
            while b"closed by the client" not in log:
                log.extend(os.read(terminal, 1 << 16))

        self.serve(writer, talk)
        self.assertEqual(
            log.count(b" from connected user: " + b"a" * 999 + b"\r\n"), 300
        )
        for record in log.decode().removesuffix("\r\n").split("\r\n"):
            self.assertRegex(record, RECORD)

    def test_fullDisk(self) -> None:
        """
        When the disk is full, it serves on.
        """
        output = os.open("/dev/full", os.O_WRONLY)
        self.serve(output, lambda path: self.ask(path, 100))

    def test_roomOnTheDisk(self) -> None:
        """
        When the disk was full within a record and has room again, the log goes on
        with whole records, and none is lost.
        """
        log = Path(self.folder, "log")

        def talk(path: str) -> None:
            self.ask(path, 10)
            pid, limit = self.process.pid, resource.RLIMIT_FSIZE
            _, hard = resource.getrlimit(limit)
            size = log.stat().st_size + 5500
            resource.prlimit(pid, limit, (size, hard))
            self.ask(path, 100)
            self.assertEqual(log.stat().st_size, size)
            resource.prlimit(pid, limit, (hard, hard))
            self.ask(path, 10)

        self.serve(os.open(log, os.O_WRONLY | os.O_CREAT), talk)
        records = log.read_text().removesuffix("\n").split("\n")
        for record in records:
            self.assertRegex(record, RECORD)
        self.assertEqual(
            [
                sum(word in each for each in records)
                for word in ("user: a", "sending: A")
            ],
            [120, 120],
        )

    def test_diskThatHangs(self) -> None:
        """
        When a disk takes two seconds for each call, the service answers all the same,
        with its log and its access log there, also while that is opened anew. All is
        written at last.
        """
        if shutil.which("strace") is None:
            raise SkipTest("strace is not installed")
        files = [Path(self.folder, name) for name in ("log", "access")]
        strace = ["strace", "-D", "-f", "-qq", "-o", f"{self.folder}/trace"]
        for path in files:
            path.touch()
            strace += ["-P", str(path)]
        for call in ("write", "openat", "close", "newfstatat", "fstat"):
            # In microseconds.
            strace += ["-e", f"inject={call}:delay_enter=2000000"]
        took = []

        def talk(path: str) -> None:
            for number in range(20):
                if number == 10:
                    files[1].rename(f"{files[1]}.1")
                    os.kill(self.process.pid, signal.SIGUSR1)
                began = time.monotonic()
                self.ask(path, 10)
                took.append(time.monotonic() - began)

            def written() -> int:
                paths = Path(self.folder).glob("access*")
                texts = [each.read_text() for each in paths]
                return "".join(texts).count("closed by the client")

            eventually(lambda: written() == 20, "the lines")

        self.serve(
            os.open(files[0], os.O_WRONLY | os.O_APPEND),
            talk,
            options=("--access-log", str(files[1])),
            command=tuple(strace),
        )
        self.assertIn("(DELAYED)", Path(self.folder, "trace").read_text())
        self.assertLess(max(took), 2)

    def test_twist(self) -> None:
        """
        It is the same with C{twist}.
        """
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.serve(writer, lambda path: self.ask(path, 2000), runner=("twist",))

    def test_fileKeepsAll(self) -> None:
        """
        A file loses nothing.
        """
        path = Path(self.folder, "log")
        output = os.open(path, os.O_WRONLY | os.O_CREAT)
        self.serve(output, lambda socketPath: self.ask(socketPath, 2000))
        log = path.read_text()
        self.assertEqual(log.count("from connected user"), 2000)
        self.assertNotIn("lost", log)
