"""
Tests for L{upperproto.command.options} and L{upperproto.command.help}.
"""

from __future__ import annotations

import math
import re

from twisted.trial.unittest import SynchronousTestCase

from upperproto.command.errors import WrongUsage
from upperproto.command.help import text
from upperproto.command.options import COMMANDS, OPTIONS, Options


class OptionsTests(SynchronousTestCase):
    """
    L{Options}.
    """

    def test_commands(self) -> None:
        """
        The first word is the command, if it is one; else it is talk.
        """
        for words, command, rest in [
            ([], "talk", []),
            (["talk"], "talk", []),
            (["ping", "a"], "ping", ["a"]),
            (["a", "ping"], "talk", ["a", "ping"]),
            (["ask", "ping", "a"], "ask", ["ping", "a"]),
        ]:
            options = Options(words)
            self.assertEqual((options.command, options.words), (command, rest))

    def test_anywhere(self) -> None:
        """
        Options stand before or after the command and its words.
        """
        for words in [
            ["-p", "1", "--tls", "ask", "a", "b"],
            ["ask", "a", "--tls", "b", "-p1"],
            ["--tls", "ask", "a", "b", "--port=1"],
        ]:
            options = Options(words)
            self.assertEqual(options.command, "ask")
            self.assertEqual(options.words, ["a", "b"])
            self.assertEqual((options.get("port"), options.get("tls")), (1, True))

    def test_endOfOptions(self) -> None:
        """
        What begins with a hyphen can be a word.
        """
        self.assertEqual(Options(["ask", "--", "-a"]).words, ["-a"])

    def test_short(self) -> None:
        """
        Short names; -c is a count for ping, and an endpoint for all others.
        """
        options = Options(["-Hh", "-p1", "-Aa", "-Ee", "-Kk", "-Nn", "-4", "-cx:y"])
        names = ["host", "port", "tls-ca", "tls-cert", "tls-key", "tls-name", "ipv4"]
        values = ["h", 1, "a", "e", "k", "n", True]
        self.assertEqual([options.get(name) for name in names], values)
        self.assertEqual(options.get("connect"), "x:y")
        options = Options(["-c", "3", "ping", "-i.5", "-s", "99"])
        self.assertEqual(options.get("count"), 3)
        self.assertEqual((options.get("interval"), options.get("size")), (0.5, 99))
        self.assertNotIn("connect", options)

    def test_values(self) -> None:
        """
        Values are what they should be.
        """
        options = Options(["check", "--only", "bulk,idle", "--timeout", "never"])
        self.assertEqual(options.get("only"), ("bulk", "idle"))
        self.assertEqual(options.get("timeout"), math.inf)
        self.assertEqual(options.get("slow", 3), 3)

    def test_wrong(self) -> None:
        """
        What makes no sense is refused, in words.
        """
        port = "--port takes a whole number, 1 to 65535, not "
        for words, said in [
            (["--nonsense"], "option --nonsense not recognized"),
            (["-x"], "option -x not recognized"),
            (["-p"], "option -p requires argument"),
            (["-p", "0"], f"{port}'0'"),
            (["-p", "65536"], f"{port}'65536'"),
            (["-p", "-1"], f"{port}'-1'"),
            (["-p", "\u0665"], f"{port}'\u0665'"),
            (["--tls-key", ""], "--tls-key takes a value that is not empty"),
            (["--verify", "ping"], "--verify is for talk, not for ping"),
            (["-s", "20"], "-s is for ping, not for talk"),
            (["ping", "-s", "15"], "--size takes a whole number, 16 to 16777216, not"
             " '15'"),
            (["-c", "unix:a", "ping"], "--count takes a whole number, 1 to 1000000000,"
             " not 'unix:a'; with ping, -c is --count"),
            (["check", "--only", "a"], "--only takes steps, with commas between them,"),
            (["--timeout", "0"], "--timeout takes seconds, 0.001 or more, or never"),
            (["--timeout", "nan"], "--timeout takes seconds, 0.001 or more, or never"),
            (["ping", "-i", "x"], "--interval takes seconds, 0.001 or more, not 'x'"),
            (["ask", "--format", "x"], "--format takes one of text, json, plugin,"),
            (["--format", "json"], "--format is for ask and ping and check, not"),
        ]:  # fmt: skip
            error = self.assertRaises(WrongUsage, Options, words)
            self.assertTrue(str(error).startswith(said), error)


class HelpTests(SynchronousTestCase):
    """
    L{text}.
    """

    def test_all(self) -> None:
        """
        The help explains each option and each command, names the statuses, and shows
        two examples.
        """
        shown = text("")
        for option in OPTIONS:
            self.assertIn(f"--{option.name}", shown)
        for command in COMMANDS:
            self.assertRegex(shown, f"\n  {command} ")
        self.assertIn("130  Ctrl-C", shown)
        self.assertEqual(shown.partition("Examples:")[2].count("upper-client"), 2)
        self.assertLessEqual(max(map(len, shown.splitlines())), 80)

    def test_command(self) -> None:
        """
        The help of a command explains its own options, and no other command's.
        """
        for command in COMMANDS:
            shown = text(command)
            for option in OPTIONS:
                found = re.search(rf"--{option.name}\b(?!,)[^;]", shown)
                self.assertEqual(bool(found), command in option.commands, option)
            self.assertEqual(shown.partition("Examples:")[2].count("upper-client"), 2)
