"""
Standard input, output and error of C{upper-client}, whatever they are.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading

from tests.functional.command.client import (
    CLIENT,
    ClientTestCase,
    run,
    start,
    waitForFullOutput,
)
from tests.functional.processes import TIME_LIMIT, Server


class StandardIOTests(ClientTestCase):
    """
    Descriptors that are full, closed, shared or non-blocking.
    """

    def test_full(self) -> None:
        """
        Output that cannot be written is one clear line.
        """
        with Server() as server, open("/dev/full", "w") as full:
            result = run("-p", str(server.port), data=b"a\n", stdout=full)
            self.assertEqual(result.returncode, 1)
            self.assertEqual(
                result.stderr,
                b"upper-client: cannot write standard output:"
                b" No space left on device\n",
            )

    def test_unreadable(self) -> None:
        """
        Input that cannot be read is one clear line.
        """
        with Server() as server, open(os.devnull, "w") as onlyForWriting:
            result = run("-p", str(server.port), stdin=onlyForWriting)
        self.assertEnded(
            result,
            1,
            b"",
            "upper-client: cannot read standard input: Bad file descriptor\n",
        )

    def test_closedDescriptors(self) -> None:
        """
        Standard input or output that is closed is one clear line.
        """
        for redirection, name in [("<&-", "input"), (">&-", "output")]:
            result = subprocess.run(
                ["sh", "-c", f'exec "$0" {redirection}', CLIENT],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIME_LIMIT,
            )
            said = f"upper-client: standard {name} is closed\n"
            self.assertEnded(result, 1, b"", said)

    def test_closedError(self) -> None:
        """
        Where standard error is closed, the status alone tells.
        """
        for redirection in ["2>&-", "2>/dev/full"]:
            result = subprocess.run(
                ["sh", "-c", f'exec "$0" --port x {redirection}', CLIENT],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=TIME_LIMIT,
            )
            self.assertEqual((result.returncode, result.stdout), (2, b""))

    def test_helpThatNobodyReads(self) -> None:
        """
        Help into a pipe that is closed is quiet, and into a full disk an error.
        """
        reader, writer = os.pipe()
        os.close(reader)
        for output, ended in [
            (writer, (0, b"")),
            (
                os.open("/dev/full", os.O_WRONLY),
                (
                    1,
                    b"upper-client: cannot write standard output: No space left on"
                    b" device\n",
                ),
            ),
        ]:
            self.addCleanup(os.close, output)
            result = subprocess.run(
                [CLIENT, "--help"],
                stdout=output,
                stderr=subprocess.PIPE,
                timeout=TIME_LIMIT,
            )
            self.assertEqual((result.returncode, result.stderr), ended)

    def test_ignoredInterrupt(self) -> None:
        """
        Whoever has it ignore SIGINT, as a shell does in the background, is not
        overruled.
        """
        ignore = ["sh", "-c", 'trap "" INT; exec "$0" "$@"']
        with Server() as server:
            result = subprocess.run(
                [*ignore, CLIENT, "--port", str(server.port)],
                input=b"abc\n",
                capture_output=True,
                timeout=TIME_LIMIT,
            )
        self.assertEqual((result.returncode, result.stdout), (0, b"ABC\n"))

    def test_descriptorsAreLeftAlone(self) -> None:
        """
        No flag of the inherited descriptors is changed, not even for a while.
        """
        (childIn, ourIn), (ourOut, childOut), (ourErr, childErr) = (
            os.pipe() for _ in range(3)
        )
        for each in (childIn, ourIn, ourOut, childOut, ourErr, childErr):
            self.addCleanup(os.close, each)
        shared = [childIn, childOut, childErr]

        def flags() -> list[int]:
            return [fcntl.fcntl(each, fcntl.F_GETFL) for each in shared]

        before = flags()
        with Server() as server:
            process = start(
                "-p", str(server.port), stdin=childIn, stdout=childOut, stderr=childErr
            )
            os.write(ourIn, b"abc\n")
            self.assertEqual(os.read(ourOut, 4), b"ABC\n")
            self.assertEqual(flags(), before)
            process.kill()
            process.wait(TIME_LIMIT)
        self.assertEqual(flags(), before)

    def test_nonBlockingDescriptors(self) -> None:
        """
        Descriptors that somebody else has made non-blocking do as well.
        """
        source, target = os.pipe(), os.pipe()
        os.set_blocking(source[0], False)
        os.set_blocking(target[1], False)
        with Server() as server:
            process = start("-p", str(server.port), stdin=source[0], stdout=target[1])
            os.close(source[0])
            os.close(target[1])
            text = b"some line of a file\n" * 50_000
            with os.fdopen(source[1], "wb") as stdin:
                feeder = threading.Thread(target=lambda: stdin.write(text))
                feeder.start()
                with os.fdopen(target[0], "rb") as stdout:
                    self.assertEqual(stdout.read(len(text)), text.upper())
                    feeder.join()
                    stdin.close()
                    self.assertEqual(stdout.read(), b"")
            self.assertEqual(process.communicate(timeout=TIME_LIMIT), (None, b""))
        self.assertEqual(process.returncode, 0)

    def test_interrupt(self) -> None:
        """
        Ctrl-C leaves with 130 and a new line, and nothing else.
        """
        with Server() as server, start("-p", str(server.port)) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(b"abc\n")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), b"ABC\n")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(TIME_LIMIT), 130)
            assert process.stderr is not None
            self.assertEqual(
                (process.stdout.read(), process.stderr.read()), (b"", b"\n")
            )

    def test_interruptFullOutput(self) -> None:
        """
        Ctrl-C leaves also while nobody takes the output.
        """
        with (
            Server() as server,
            open("/dev/zero") as endless,
            start("-p", str(server.port), stdin=endless) as process,
        ):
            waitForFullOutput(process)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(TIME_LIMIT), 130)
            assert process.stderr is not None
            self.assertEqual(process.stderr.read(), b"\n")
