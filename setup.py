"""The package, as setup.cfg describes it."""

import os

from setuptools import setup

# Where the project lives, as whoever makes a release knows: .github/workflows. Without
# it, the package names no place rather than a wrong one.
home = os.environ.get("PROJECT_URL", "").rstrip("/")
places = {
    "Homepage": home,
    "Documentation": f"{home}/tree/HEAD/docs",
    "Source": home,
    "Issues": f"{home}/issues",
    "Changelog": f"{home}/blob/HEAD/CHANGELOG.md",
}

setup(**({"project_urls": places} if home else {}))
