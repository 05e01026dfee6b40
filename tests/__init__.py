"""The tests: those of this folder use no network, no sleep and no process."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from hypothesis import HealthCheck, settings

Value = TypeVar("Value")

# Whether to try all that there is to try, as CI does. It takes a minute.
EXHAUSTIVE = "EXHAUSTIVE" in os.environ


def sample(everything: Iterable[Value]) -> Iterator[Value]:
    """
    Give what a test goes through: all of it where the environment says
    C{EXHAUSTIVE}; otherwise one of 97, a prime that no pattern in it divides.
    """
    return islice(everything, None, None, 1 if EXHAUSTIVE else 97)


# By default the same examples in each run, and none that fails because a machine
# is slow. HYPOTHESIS_PROFILE=search looks for new ones, for some minutes.
settings.register_profile(
    "same",
    derandomize=True,
    max_examples=200 if EXHAUSTIVE else 100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search", settings.get_profile("same"), derandomize=False, max_examples=20000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
