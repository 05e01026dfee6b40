"""
Fuzz the protocol: C{python -m tests.fuzz}, with options of libFuzzer, such as
C{-runs=100000} or C{-max_total_time=60}. It needs atheris.
"""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-untyped, unused-ignore] # No stubs.

with atheris.instrument_imports(include=["upperproto"]):
    from tests.pieces import check

if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
