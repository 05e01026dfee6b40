"""
Write the completion of C{upper} and C{upper-client} for bash, zsh and fish::

    python docs/extensions/completion.py

The files stand in C{completions/}, because a package is built without this program.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

from commandoptions import COMMANDS, OF, Option

FOLDER = Path(__file__).parents[2] / "completions"

HEAD = "Made by docs/extensions/completion.py from the options: do not change it here."


def words(option: Option) -> list[str]:
    """
    Find the words for an option.
    """
    return [*([f"-{option.short}"] if option.short else []), f"--{option.name}"]


def joined(options: Iterable[Option]) -> str:
    """
    Write the words for some options.
    """
    return " ".join(word for option in options for word in words(option))


def byCommand(options: list[Option]) -> dict[str, list[Option]]:
    """
    Find the options of each command of C{upper-client}.
    """
    found = {}
    for command in COMMANDS:
        its = [each for each in options if command in each.commands]
        # With ping, -c is not the -c of all commands.
        shorts = {each.short: each.name for each in its}
        found[command] = [
            each if shorts[each.short] == each.name else each._replace(short="")
            for each in its
        ]
    return found


def brief(explanation: str) -> str:
    """
    Take the first sentence of an explanation.
    """
    return explanation.partition(". ")[0].rstrip(".")


def bash(program: str, options: list[Option]) -> str:
    """
    Write the function of bash(1).
    """
    function = "_" + program.replace("-", "_")
    lines = [f"# bash completion for {program}. {HEAD}", f"{function}() {{"]
    lines += [
        "    local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD-1]}",
        "    # For bash, --name=value is three words.",
        "    if [[ $word == = ]]; then",
        "        word=",
        "    elif [[ $option == = ]]; then",
        "        option=${COMP_WORDS[COMP_CWORD-2]}",
        "    fi",
        "    COMPREPLY=()",
        "    case $option in",
    ]
    free = []
    for each in options:
        names = "|".join(words(each))
        if each.isFile:
            lines += [
                f"    {names})",
                "        compopt -o filenames 2>/dev/null",
                '        mapfile -t COMPREPLY < <(compgen -f -- "$word")',
                "        return ;;",
            ]
        elif each.isList:
            some = " ".join(each.choices)
            lines += [
                f"    {names})",
                "        local before=",
                "        [[ $word == *,* ]] && before=${word%,*},",
                f'        mapfile -t COMPREPLY < <(compgen -P "$before" -W "{some}" --'
                ' "${word##*,}")',
                "        return ;;",
            ]
        elif each.choices:
            some = " ".join(each.choices)
            lines += [
                f"    {names})",
                f'        mapfile -t COMPREPLY < <(compgen -W "{some}" -- "$word")',
                "        return ;;",
            ]
        elif each.value and not each.value.startswith("["):
            free += words(each)
    # A word of the user's: there is nothing to offer.
    lines += [f"    {'|'.join(dict.fromkeys(free))})", "        return ;;", "    esac"]
    if program == "upper":
        lines += [f'    local offered="{joined(options)}"']
    else:
        lines += [
            "    local command= each offered",
            '    for each in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
            f"        case $each in {'|'.join(COMMANDS)}) command=$each; break ;; esac",
            "    done",
            "    case $command in",
        ]
        for command, its in byCommand(options).items():
            lines += [f'    {command}) offered="{joined(its)}" ;;']
        talk = joined(byCommand(options)["talk"])
        lines += [f'    *) offered="{" ".join(COMMANDS)} {talk}" ;;', "    esac"]
    lines += [
        '    mapfile -t COMPREPLY < <(compgen -W "$offered" -- "$word")',
        "}",
        f"complete -F {function} {program}",
    ]
    return "\n".join(lines) + "\n"


def zshEntry(option: Option) -> str:
    """
    Write an option as C{_arguments} of zsh(1) takes it.
    """
    explanation = brief(option.explanation)
    for special in "\\:[]":
        explanation = explanation.replace(special, f"\\{special}")
    action = ""
    if option.isFile:
        action = "_files"
    elif option.isList:
        action = f"_values -s , step {' '.join(option.choices)}"
    elif option.choices:
        action = f"({' '.join(option.choices)})"
    optional = ":" if option.value.startswith("[") else ""
    value = option.value.strip("[]") if optional else option.value
    value = value.replace(":", "\\:")
    rest = f"[{explanation}]" + (f":{optional}{value}:{action}" if value else "")
    sign = "=" if value else ""
    short = "+" if value else ""
    several = "*" if option.repeatable else ""
    if not option.short:
        return shlex.quote(f"{several}--{option.name}{sign}{rest}")
    others = "" if several else f"(-{option.short} --{option.name})"
    both = f"{{{shlex.quote(several)}-{option.short}{short},"
    both += f"{shlex.quote(several)}--{option.name}{sign}}}"
    if not several:
        both = f"{{-{option.short}{short},--{option.name}{sign}}}"
    return f"{shlex.quote(others) if others else ''}{both}{shlex.quote(rest)}"


def zsh(program: str, options: list[Option]) -> str:
    """
    Write the function of zsh(1).
    """
    lines = [f"#compdef {program}", f"# {HEAD}"]
    if program == "upper":
        entries = [zshEntry(each) for each in options]
        lines += ["_arguments -s -S \\", *(f"    {each} \\" for each in entries)]
        lines[-1] = lines[-1].removesuffix(" \\")
        return "\n".join(lines) + "\n"
    lines += [
        "local command= each",
        "for each in ${words[2,CURRENT-1]}; do",
        f"    case $each in {'|'.join(COMMANDS)}) command=$each; break ;; esac",
        "done",
        "local -a offered",
        "case $command in",
    ]
    for command, its in byCommand(options).items():
        pattern = "talk|''" if command == "talk" else command
        lines += [f"{pattern}) offered=("]
        lines += [f"    {zshEntry(each)}" for each in its]
        lines += [") ;;"]
    lines += [
        "esac",
        f"[[ -z $command ]] && offered+=('1: :({' '.join(COMMANDS)})')",
        "_arguments -s -S $offered '*:target:_hosts'",
    ]
    return "\n".join(lines) + "\n"


def fish(program: str, options: list[Option]) -> str:
    """
    Write the commands of fish(1).
    """
    lines = [f"# {HEAD}", f"complete -c {program} -f"]
    if program != "upper":
        names = " ".join(COMMANDS)
        for command, explanation in COMMANDS.items():
            lines.append(
                f"complete -c {program} -n 'not __fish_seen_subcommand_from {names}'"
                f" -a {command} -d {shlex.quote(brief(explanation))}"
            )
    for each in options:
        parts = [f"complete -c {program}"]
        if program != "upper" and each.commands != tuple(COMMANDS):
            seen = f"__fish_seen_subcommand_from {' '.join(each.commands)}"
            if "talk" in each.commands:
                others = [other for other in COMMANDS if other not in each.commands]
                seen = f"not __fish_seen_subcommand_from {' '.join(others)}"
            parts.append(f"-n '{seen}'")
        if each.name == "connect":
            # With ping, -c is another option's.
            lines.append(
                f"{parts[0]} -n 'not __fish_seen_subcommand_from ping'"
                f" -s {each.short} -x -d {shlex.quote(brief(each.explanation))}"
            )
        elif each.short:
            parts.append(f"-s {each.short}")
        parts.append(f"-l {each.name}")
        if each.isFile:
            parts.append("-r -F")
        elif each.value and not each.value.startswith("["):
            parts.append("-x")
        if each.choices:
            parts.append(f"-a {shlex.quote(' '.join(each.choices))}")
        parts.append(f"-d {shlex.quote(brief(each.explanation))}")
        lines.append(" ".join(parts))
    return "\n".join(lines) + "\n"


def files() -> dict[str, str]:
    """
    Write all of them.

    @return: by the name that each shell looks for, what is in the file.
    """
    made = {}
    for program, options in OF.items():
        made[program] = bash(program, options())
        made[f"_{program}"] = zsh(program, options())
        made[f"{program}.fish"] = fish(program, options())
    return made


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
        sys.stdout.write(f"{FOLDER / name}\n")
