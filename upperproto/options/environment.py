"""
Options from the environment: C{UPPER_PORT=5000} is C{--port 5000}.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from getopt import GetoptError, getopt

from twisted.logger import Logger
from twisted.python import usage

PREFIX = "UPPER_"

# They end the process at once.
_QUESTIONS = {"help", "version"}

# What Kubernetes, as Docker did before it, tells a container of a Service whose name is
# or begins with "upper". It is of no use to us, and nobody's mistake. The shortest of
# its names, UPPER_PORT, is that of an option.
_SERVICE = re.compile(
    r"UPPER_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)"
)
_SERVICE_PORT = re.compile(r"(tcp|udp|sctp)://.*")


class Environment:
    """
    What the environment says of the options of a command.
    """

    _log = Logger()

    def __init__(
        self,
        options: usage.Options,
        variables: Mapping[str, str],
        inPlaceOf: Mapping[str, Collection[str]],
    ) -> None:
        """
        @param options: each has a variable; one that repeats has a list of values.
        @param variables: all those of the environment.
        @param inPlaceOf: options, each with those of which it takes the place: where
            the command line has one of these, the variable is left alone.
        """
        self._options = options
        self._variables = variables
        self._inPlaceOf = inPlaceOf
        names = [each.rstrip("=") for each in options.longOpt]
        self._flags = {each for each in options.longOpt if not each.endswith("=")}
        self._names = {
            PREFIX + each.upper().replace("-", "_"): each
            for each in names
            if each not in _QUESTIONS
        }
        self._used: dict[str, str] = {}

    def explain(self) -> None:
        """
        Name the variable of each option in the help.
        """
        for variable, name in self._names.items():
            said, *default = (self._options.docs[name] or "").partition(" [default:")
            self._options.docs[name] = f"{said.strip()} [{variable}]{''.join(default)}"

    def words(self, line: Sequence[str]) -> list[str]:
        """
        Put into words what the environment says of those options that a command line
        leaves open.

        @param line: the words of the command line.
        @return: words to come before those.
        @raise usage.UsageError: for a value that no option could have.
        """
        try:
            found, _ = getopt([*line], self._options.shortOpt, [*self._options.longOpt])
        except GetoptError:
            # Whoever parses the line says what is wrong with it.
            return []
        synonyms = self._options.synonyms
        given = {synonyms.get(word.lstrip("-"), "") for word, _ in found}
        if given & _QUESTIONS:
            return []
        words: list[str] = []
        for variable, value in self._variables.items():
            name = self._names.get(variable)
            if name is None:
                self._noteUnknown(variable)
            elif name not in given and not given.intersection(
                self._inPlaceOf.get(name, ())
            ):
                words += self._wordsOf(name, variable, value)
                self._used[name] = variable
        return words

    def blame(self, error: usage.UsageError) -> usage.UsageError:
        """
        Say what is wrong with an option in terms of the variable that it comes from.

        @param error: says it in those of the option.
        """
        message = str(error)
        for name, variable in self._used.items():
            message = re.sub(rf"--{name}(?![\w-])", variable, message)
        return usage.UsageError(message)

    def _wordsOf(self, name: str, variable: str, value: str) -> Iterator[str]:
        """
        Put a variable into words.
        """
        if name in self._flags:
            if value not in ("0", "1"):
                raise usage.UsageError(f"{variable} takes 1 or 0, not {value!r}")
            if value == "1":
                yield f"--{name}"
            return
        if not value.strip():
            raise usage.UsageError(f"{variable} takes a value, not an empty one")
        if name == "port" and _SERVICE_PORT.fullmatch(value):
            raise usage.UsageError(
                f"{variable} is {value!r}, as Kubernetes sets it for a Service named"
                " 'upper': set 'enableServiceLinks: false' in the pod, or --port"
            )
        repeats = isinstance(self._options.get(name), list)
        for each in value.split() if repeats else [value]:
            yield f"--{name}={each}"

    def _noteUnknown(self, variable: str) -> None:
        """
        Warn of a variable that is meant for this service and has no option: once there
        is a log, it is the first thing there.
        """
        if variable.startswith(PREFIX) and not _SERVICE.fullmatch(variable):
            self._log.warn(
                "{variable} in the environment belongs to no option", variable=variable
            )
