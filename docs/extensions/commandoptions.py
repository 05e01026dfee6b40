"""
The options of C{upper} and C{upper-client}, for man pages and completion.

They come from the code. How the value of an option of C{upper} is called comes from the
table in C{docs/running.rst}, because Twisted has no place for it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from upperproto.command import options as client
from upperproto.command.help import text as helptext
from upperproto.tap import Options

RUNNING = Path(__file__).parents[1] / "running.rst"

COMMANDS = client.COMMANDS


class Option(NamedTuple):
    """
    An option.

    @ivar name: its long name.
    @ivar short: its short name, or nothing.
    @ivar value: how its value is called; nothing for a flag.
    @ivar default: what stands for it where it is not given; or nothing.
    @ivar explanation: what it does.
    @ivar choices: the words that it takes; nothing where these are not a few.
    @ivar isList: whether it takes several of them, with commas.
    @ivar repeatable: whether it may be given again.
    @ivar commands: those of C{upper-client} that it goes with.
    """

    name: str
    short: str
    value: str
    default: str
    explanation: str
    choices: tuple[str, ...] = ()
    isList: bool = False
    repeatable: bool = False
    commands: tuple[str, ...] = client.ALL

    @property
    def isFile(self) -> bool:
        """
        Whether its value is the name of a file.
        """
        return self.value == "FILE"


def serverOptions() -> list[Option]:
    """
    Find the options of C{upper}, as Twisted has them.
    """
    options = Options()
    page = RUNNING.read_text(encoding="utf-8")
    values = dict(re.findall(r"\* - (?:``-\w``, )?``--([\w-]+) ([^`]+)``", page))
    shorts = {
        options.synonyms[letter]: letter
        for letter in options.synonyms
        if len(letter) == 1
    }
    data = options.compData
    described = []
    for entry in options.longOpt:
        name = options.synonyms.get(entry.rstrip("="), entry.rstrip("="))
        action = data.optActions.get(name)
        # Twisted hands them to zsh alone (24.3 to 26.10): the tests miss them, if gone.
        choices = vars(action).get("_items", ()) if action else ()
        default = options.defaults.get(name)
        words = " ".join((options.docs.get(name) or "").split())
        said, _, inWords = words.partition(" [default: ")
        described.append(
            Option(
                name,
                shorts.get(name, ""),
                values.get(name, "VALUE" if entry.endswith("=") else ""),
                inWords.rstrip("]") or ("" if default in (None, []) else str(default)),
                said,
                tuple(choices),
                False,
                name in data.multiUse,
            )
        )
    return described


def clientOptions() -> list[Option]:
    """
    Find the options of C{upper-client}.
    """
    several = {"format": client.FORMATS, "only": client.STEPS, "skip": client.STEPS}
    return [
        Option(
            *(each.name, each.short, each.value, each.default, each.explanation),
            several.get(each.name, ()),
            each.name in ("only", "skip"),
            False,
            each.commands,
        )
        for each in client.OPTIONS
    ]


OF = {"upper": serverOptions, "upper-client": clientOptions}


def text(options: list[Option]) -> list[str]:
    """
    Write the entries of some options.
    """
    lines = []
    for each in options:
        value = f" {each.value}" if each.value else ""
        names = [f"-{each.short}"] if each.short else []
        names.append(f"--{each.name}")
        lines += [".. option:: " + ", ".join(f"{name}{value}" for name in names), ""]
        # A star or a bar would be markup.
        said = re.sub(r"([*|`\\])", r"\\\1", each.explanation)
        if each.default and each.value:
            said += f" Default: {each.default}."
        lines += [f"   {said}", ""]
    return lines


class CommandOptions(SphinxDirective):
    """
    C{.. command-options:: COMMAND}: an entry for each option.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """
        Make the entries.
        """
        command = self.arguments[0]
        options = OF[command]()
        everywhere = [each for each in options if each.commands == client.ALL]
        lines = [f".. program:: {command}", "", *text(everywhere)]
        groups = {each.commands for each in options} - {client.ALL}
        for group in sorted(groups):
            its = [each for each in options if each.commands == group]
            lines += [f"With *{'*, *'.join(group)}* only:", "", *text(its)]
        source = self.get_source_info()[0]
        return self.parse_text_to_nodes(StringList(lines, source))


class CommandCommands(SphinxDirective):
    """
    C{.. command-commands::}: the commands of C{upper-client}.
    """

    def run(self) -> list[nodes.Node]:
        """
        Make an entry for each.
        """
        lines = []
        for name, explanation in COMMANDS.items():
            lines += [f"**{name}**", f"   {explanation}", ""]
        return self.parse_text_to_nodes(StringList(lines, self.get_source_info()[0]))


class CommandStatuses(SphinxDirective):
    """
    C{.. command-statuses::}: the exit statuses of C{upper-client}, out of its help.
    """

    def run(self) -> list[nodes.Node]:
        """
        Cut them out of the help.
        """
        _, _, rest = helptext("").partition("Exit statuses:\n")
        statuses, _, _ = rest.partition("\n\n")
        return [nodes.literal_block(statuses, statuses, language="none")]


def setup(app: Sphinx) -> dict[str, bool]:
    """
    Tell Sphinx.
    """
    app.add_directive("command-options", CommandOptions)
    app.add_directive("command-commands", CommandCommands)
    app.add_directive("command-statuses", CommandStatuses)
    return {"parallel_read_safe": True}
