"""For the pip of Python 3.10.0, which needs this file to install with -e."""

from setuptools import setup

setup()
