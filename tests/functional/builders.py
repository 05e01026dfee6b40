"""
Twisted's own tests of reactors, for the reactor of this package.

They come with Twisted: C{python -m twisted.trial tests.functional.builders} runs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from twisted.internet.test.reactormixins import ReactorBuilder

_REACTOR = "upperproto.reactor.epoll.UpperReactor"

_MODULES = (
    "core",
    "endpoints",
    "epollreactor",
    "fdset",
    "posixbase",
    "process",
    "sigchld",
    "stdio",
    "tcp",
    "threads",
    "time",
    "tls",
    "udp",
    "unix",
)

_EXCEPT = {
    # They find out by its name that EPollReactor need not pass it.
    "test_lostFileDescriptor",
    # Other users may not be allowed to run this Python.
    "test_changeUID",
    # That is of glib's reactors.
    "test_timeout_add",
}


def _testCases(module: Any) -> dict[str, Any]:
    """
    Make test cases of what a module has for any reactor.
    """
    builders = {
        case.__bases__[0]
        for case in vars(module).values()
        if isinstance(case, type)
        and issubclass(case, ReactorBuilder)
        and case.__name__.endswith("_SelectReactorTests")
    }
    cases: dict[str, Any] = {}
    for builder in builders:
        members: dict[str, Any] = {"_reactors": [_REACTOR], "__module__": __name__}
        # trial runs whatever has such a name.
        members |= dict.fromkeys(_EXCEPT & set(dir(builder)), lambda self: None)
        mine: Any = type(builder.__name__, (builder,), members)
        for name, case in mine.makeTestCaseClasses().items():
            cases[f"{module.__name__}.{name}"] = case
    return cases


for _module in _MODULES:
    globals().update(_testCases(import_module(f"twisted.internet.test.test_{_module}")))
