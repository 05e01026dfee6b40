"""
What all tests of C{upper-client check} have in common.
"""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.functional.command.client import run

# A wait is as long as it takes where something comes, on a busy machine, too; and
# short where nothing does.
PATIENT = ("--timeout", "20", "--slow", "0.5")
QUICK = ("--timeout", "1")


def steps(output: bytes) -> dict[str, tuple[str, str]]:
    """
    Read what C{check} prints.

    @return: for each step its status, and its words on one line.
    """
    found = re.findall(
        r"^(\w+) +(ok|FAIL|skip)  (.*(?:\n {10,}.*)*)", output.decode(), re.MULTILINE
    )
    return {name: (status, " ".join(said.split())) for name, status, said in found}


class CheckTestCase(SynchronousTestCase):
    """
    A path is examined.
    """

    def check(self, *options: str) -> dict[str, tuple[str, str]]:
        """
        Examine a path.

        @return: the steps.
        """
        result = run("check", *PATIENT, *options)
        self.assertEqual(result.stderr.decode(), "")
        found = steps(result.stdout)
        failed = any(status == "FAIL" for status, _ in found.values())
        self.assertEqual(result.returncode, int(failed), result.stdout)
        return found

    def assertFault(self, step: str, said: str, *options: str) -> str:
        """
        Assert that one step fails and no other, and what is said then.

        @return: all that is said of this step.
        """
        found = self.check(*options)
        failed = [name for name, (status, _) in found.items() if status == "FAIL"]
        self.assertEqual(failed, [step], found)
        self.assertIn(said, found[step][1])
        self.assertIn("Usual cause: ", found[step][1])
        return found[step][1]

    def assertGood(self, *options: str, skipped: str = "tls") -> None:
        """
        Assert that each step is ok, or left out for a good reason.

        @param skipped: which, with spaces between them.
        """
        found = self.check(*options)
        self.assertEqual(
            {name: status for name, (status, _) in found.items() if status != "ok"},
            dict.fromkeys(skipped.split(), "skip"),
            found,
        )
