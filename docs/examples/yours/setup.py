"""The pip of Python 3.10.0 needs this file for C{pip install -e}."""

from setuptools import setup

setup()
