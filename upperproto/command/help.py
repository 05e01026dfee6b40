"""
What C{upper-client --help} shows.
"""

from __future__ import annotations

import textwrap

from upperproto.command.options import ALL, COMMANDS, OPTIONS, Option

_WIDTH = 80

_STATUSES = {
    "talk": [
        "0  all text was answered, or you ended it, or nobody reads the output",
        "1  there was no connection, or it did not end as it should",
    ],
    "ask": [
        "0  the answer is right",
        "1  no answer came, or a wrong one; standard error says why",
    ],
    "ping": [
        "0  at least one answer came, and all answers were right",
        "1  no answer came, or an answer was wrong",
        "2  nothing could be tried",
    ],
    "check": [
        "0  no step failed",
        "1  a step failed",
        "2  nothing could be tried",
    ],
}

_EXAMPLES = {
    "talk": [
        "upper-client upper.example:5000",
        "upper-client talk --verify --progress < access.log > ACCESS.LOG",
    ],
    "ask": [
        "upper-client ask straße upper.example 5000",
        "upper-client ask --tls --format plugin hello upper.example:5000",
    ],
    "ping": [
        "upper-client ping upper.example:5000",
        "upper-client ping --new -c 20 -i 0.1 --tls-ca ca.pem upper.example:5000",
    ],
    "check": [
        "upper-client check upper.example:5000",
        "upper-client check --only halfclose,slowreader --tls upper.example:5000",
    ],
    "": [
        "upper-client check upper.example:5000",
        "printf 'one\\ntwo\\n' | upper-client --tls-ca ca.pem upper.example 5000",
    ],
}

_TARGET = (
    "TARGET is HOST, HOST:PORT, HOST PORT, [IPv6]:PORT, an endpoint of Twisted"
    " (tls:HOST:PORT, unix:PATH), or udp:HOST:PORT. The default is 127.0.0.1:5000."
    " Options can stand anywhere; -- ends them."
)


def text(command: str) -> str:
    """
    Write the help.

    @param command: the command to explain; empty for all commands.
    """
    what = command or "[COMMAND]"
    words = "TEXT [TARGET]" if command == "ask" else "[TARGET]"
    parts = [f"Usage: upper-client {what} [OPTIONS] {words}", ""]
    if command:
        parts += _fill(COMMANDS[command], "")
    else:
        parts += ["Commands:"]
        for name, explanation in COMMANDS.items():
            shown = "ask TEXT" if name == "ask" else name
            parts += _fill(explanation, f"  {shown:<10}")
    parts += ["", *_fill(_TARGET, ""), ""]
    common = [option for option in OPTIONS if option.commands == ALL]
    parts += ["Options:", *_table(common)]
    for name in [command] if command else COMMANDS:
        its = [o for o in OPTIONS if name in o.commands and o.commands != ALL]
        shared = [o for o in its if len(o.commands) > 1]
        if its:
            parts += [
                "",
                f"Options of {name}:",
                *_table([*(o for o in its if o not in shared), *shared]),
            ]
    parts += ["", "Exit statuses:"]
    for name in [command] if command else COMMANDS:
        before = "" if command else f"{name:<7}"
        for line in _STATUSES[name]:
            parts.append(f"  {before}{line}")
            before = " " * len(before)
    general = "" if command else "all    "
    parts += [
        f"  {general}2  wrong usage",
        f"  {' ' * len(general)}130  Ctrl-C"
        + ("; ping then shows what it has measured" if command in ("", "ping") else ""),
    ]
    if command != "talk":
        parts += [
            "  With --format plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.",
        ]
    parts += ["", "Examples:", *(f"  {each}" for each in _EXAMPLES[command])]
    return "\n".join(parts) + "\n"


def _fill(words: str, label: str) -> list[str]:
    return textwrap.wrap(
        words, _WIDTH, initial_indent=label, subsequent_indent=" " * len(label)
    )


def _table(options: list[Option]) -> list[str]:
    lines = []
    for option in options:
        short = f"-{option.short}, " if option.short else "    "
        value = f" {option.value}" if option.value else ""
        label = f"  {short}--{option.name}{value}"
        words = option.explanation
        if option.default:
            words += f" [default: {option.default}]"
        if len(label) >= 29:
            lines.append(label)
            label = ""
        lines += _fill(words, f"{label:<30}")
    return lines
