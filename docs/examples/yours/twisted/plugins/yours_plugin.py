"""Tell C{twistd} of the service, and import nothing of ours: it loads every plugin."""

from twisted.application.service import ServiceMaker

yours = ServiceMaker(
    "A line service",  # its name for people
    "yours.tap",  # the module that has Options and makeService
    "Answer each line with the same line, reversed.",  # in "twistd --help"
    "yours",  # the word on the command line
)
