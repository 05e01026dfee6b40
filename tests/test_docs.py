"""
The pages say what the code does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from upperproto import UpperFactory, UpperProtocol
from upperproto.tap import Options

ROOT = Path(__file__).parent.parent


def examples(page: str) -> Iterator[list[tuple[str, str]]]:
    """
    Find the conversations in a page: steps of C{C} and C{S}, each what is said
    in hexadecimal, or in words what happens.
    """
    for block in page.split(".. code-block:: text")[1:]:
        yield [
            (who, re.split(r"  +", what)[0])
            for who, what in re.findall(r"^   ([CS]): (.*)$", block, re.MULTILINE)
        ]


class ProtocolPageTests(SynchronousTestCase):
    """
    C{docs/protocol.rst}.
    """

    def test_examples(self) -> None:
        """
        Each conversation goes, byte for byte, as the page has it.
        """
        page = (ROOT / "docs/protocol.rst").read_text(encoding="utf-8")
        conversations = list(examples(page))
        self.assertEqual(len(conversations), 6)
        for steps in conversations:
            clock = Clock()
            name = None
            if steps[0][1].startswith("is called "):
                name = steps.pop(0)[1].removeprefix("is called ")
            factory = UpperFactory(flushAfter=0.05, clock=clock, name=name)
            protocol = factory.buildProtocol(None)
            assert isinstance(protocol, UpperProtocol)
            client = IPv4Address("TCP", "192.0.2.1", 40000)
            transport = StringTransport(peerAddress=client)
            protocol.makeConnection(transport)
            expected = b""
            for who, what in steps:
                if who == "S" and what == "closes":
                    self.assertTrue(transport.disconnecting)
                elif who == "S":
                    expected += bytes.fromhex(what)
                    self.assertTrue(transport.value().startswith(expected), steps)
                else:
                    self.assertEqual(transport.value(), expected, steps)
                    if what == "ends its side":
                        protocol.readConnectionLost()
                    elif what == "is quiet":
                        clock.advance(0.05)
                    else:
                        protocol.dataReceived(bytes.fromhex(what))
            self.assertEqual(transport.value(), expected, steps)


def documentedOptions(page: str) -> dict[str, tuple[str, str]]:
    """
    Find the options in a page's table.

    @return: by long name, the short one and the default, as the page has them.
    """
    rows = re.findall(
        # "* - ``-p``, ``--port N``", then "- default"; or "| `-p`, `--port N` | 0 |"
        r"(?:\* - |\| )(?:`+-(\w)`+, )?`+--([\w-]+)[^`]*`+\s+(?:-|\|) ?([^\n|]*)",
        page,
    )
    return {name: (short, default.strip().strip("`")) for short, name, default in rows}


def knownOptions() -> dict[str, tuple[str, str]]:
    """
    Find the options in what C{twistd -n upper --help} prints.

    @return: by long name, the short one and the default.
    """
    known = {}
    # What is said of an option is indented further.
    for entry in re.split(r"\n(?=  -|      --)", str(Options()))[1:]:
        option = re.match(r" +(?:-(\w), )?--([\w-]+)", entry)
        default = re.search(r"\[default: (.*)\]", " ".join(entry.split()))
        assert option is not None
        known[option[2]] = (option[1] or "", default[1] if default else "")
    del known["help"], known["version"]
    return known


class OptionsTests(SynchronousTestCase):
    """
    The tables of options.
    """

    def test_running(self) -> None:
        """
        C{docs/running.rst} has every option that C{--help} has, with its short
        name and its default, and no other.
        """
        page = (ROOT / "docs/running.rst").read_text(encoding="utf-8")
        self.assertEqual(documentedOptions(page), knownOptions())

    def test_readme(self) -> None:
        """
        What C{README.md} says of options is so.
        """
        page = (ROOT / "README.md").read_text(encoding="utf-8")
        documented = documentedOptions(page)
        self.assertGreater(len(documented), 5)
        known = knownOptions()
        for name, said in documented.items():
            self.assertEqual(said, known.get(name), name)


class ReliabilityPageTests(SynchronousTestCase):
    """
    C{docs/reliability.rst}.
    """

    def test_tests(self) -> None:
        """
        Each test that it names is there.
        """
        page = (ROOT / "docs/reliability.rst").read_text(encoding="utf-8")
        modules = list((ROOT / "tests/functional").glob("test_*.py"))
        known = {each.stem for each in modules}
        for module in modules:
            known.update(re.findall(r"def (test_\w+)", module.read_text("utf-8")))
        named = set(re.findall(r"``(test_\w+)``", page))
        self.assertGreater(len(named), 30)
        self.assertEqual(named - known, set())
