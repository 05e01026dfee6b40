"""Tells C{twistd} about the service. It imports none of our other files."""

from twisted.application.service import ServiceMaker

yours = ServiceMaker(
    "A line service",  # its name for readers
    "yours.tap",  # the module that has Options and makeService
    "Answer each line with the same line, reversed.",  # in "twistd --help"
    "yours",  # the word on the command line
)
