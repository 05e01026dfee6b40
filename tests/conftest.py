"""
Under CI a skipped test has failed: every program that a test needs is there. And
coverage is measured where it shows something.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from unittest.mock import patch

import pytest

# The functional tests that start processes whose coverage is measured: what no unit
# test runs, these run. To measure what all of them start takes twice their time.
MEASURED = {
    "test_ask",
    "test_check",
    "test_check_servers",
    "test_check_tls",
    "test_datagrams",
    "test_ends",
    "test_faults",
    "test_launcher",
    "test_ping",
    "test_standardio",
    "test_talk",
    "test_terminal",
}

# What tells a Python that starts to measure itself.
MEASURING = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """
    Let the processes of a functional test measure themselves only if it is among
    L{MEASURED}.
    """
    with patch.dict(os.environ):
        if "functional" in item.path.parts and item.path.stem not in MEASURED:
            for name in MEASURING:
                os.environ.pop(name, None)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[
    None, pytest.TestReport, pytest.TestReport
]:
    """
    Make a skip a failure, if the environment says C{CI}.
    """
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI: {report.longrepr}"
    return report
