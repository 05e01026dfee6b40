"""The tests: those of this folder use no network, no sleep and no process."""

import os

from hypothesis import HealthCheck, settings

# By default the same examples in each run, and none that fails because a machine
# is slow. HYPOTHESIS_PROFILE=search looks for new ones, for some minutes.
settings.register_profile(
    "same",
    derandomize=True,
    max_examples=500,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search", settings.get_profile("same"), derandomize=False, max_examples=20000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
