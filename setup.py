"""The package, as setup.cfg describes it."""

from setuptools import setup

setup()
