"""Tell C{twistd} and C{twist} of the upper-case service."""

from twisted.application.service import ServiceMaker

# twistd keeps this file's and this variable's names in its plugin cache: they
# never change.
upper = ServiceMaker(
    "Upper-case service",
    "upperproto.tap",
    "Answer text in upper case.",
    "upper",
)
