"""
Options from environment variables: C{UPPER_PORT=5000} means C{--port 5000}.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from getopt import GetoptError, getopt

from twisted.logger import Logger
from twisted.python import usage

PREFIX = "UPPER_"

# Options that have no variable: they end the process at once.
_QUESTIONS = {"help", "version"}

# The variables that Kubernetes (and Docker before it) sets for a Service whose name is
# or begins with "upper". They are no options and no mistake of the user. The shortest
# one, UPPER_PORT, is the variable of an option, too.
_SERVICE = re.compile(
    r"UPPER_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)"
)
_SERVICE_PORT = re.compile(r"(tcp|udp|sctp)://.*")


class Environment:
    """
    Options of a command from environment variables.
    """

    _log = Logger()

    def __init__(
        self,
        options: usage.Options,
        variables: Mapping[str, str],
        inPlaceOf: Mapping[str, Collection[str]],
    ) -> None:
        """
        @param options: the options of the command. Each has a variable. One that may
            repeat has a list of values.
        @param variables: all environment variables.
        @param inPlaceOf: for an option, other options that exclude it. If one of them
            is on the command line, the variable of the option is ignored.
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
        Add the variable of each option to its help text.
        """
        for variable, name in self._names.items():
            said, *default = (self._options.docs[name] or "").partition(" [default:")
            self._options.docs[name] = f"{said.strip()} [{variable}]{''.join(default)}"

    def words(self, line: Sequence[str]) -> list[str]:
        """
        Write the variables as words of a command line, except for the options that the
        command line has.

        @param line: the words of the command line.
        @return: the words to put before it.
        @raise usage.UsageError: if a variable has a value that no option can have.
        """
        try:
            found, _ = getopt([*line], self._options.shortOpt, [*self._options.longOpt])
        except GetoptError:
            # The parser of the command line reports the error.
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
        Name the variable in an error message, in place of its option.

        @param error: the error of the option.
        @return: the error of the variable.
        """
        message = str(error)
        for name, variable in self._used.items():
            message = re.sub(rf"--{name}(?![\w-])", variable, message)
        return usage.UsageError(message)

    def _wordsOf(self, name: str, variable: str, value: str) -> Iterator[str]:
        """
        Write one variable as words of a command line.
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
        Log a warning about a variable that belongs to no option. It stands first in the
        log.
        """
        if variable.startswith(PREFIX) and not _SERVICE.fullmatch(variable):
            self._log.warn(
                "{variable} in the environment belongs to no option", variable=variable
            )
