"""
What importing the package costs whoever embeds it.
"""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase


class ImportTests(SynchronousTestCase):
    """
    L{upperproto} in a process of its own.
    """

    def test_noReactor(self) -> None:
        """
        Neither the package nor a factory without arguments installs a reactor:
        which one there is, the program decides.
        """
        program = (
            "import sys, upperproto; upperproto.UpperFactory();"
            " print('twisted.internet.reactor' in sys.modules)"
        )
        answer = subprocess.check_output([sys.executable, "-c", program], text=True)
        self.assertEqual(answer, "False\n")
