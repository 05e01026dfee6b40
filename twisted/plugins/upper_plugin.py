"""Tell C{twistd} and C{twist} of the upper-case service, and of its reactor."""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

# twistd keeps this file's and this variable's names in its plugin cache: they
# never change.
upper = ServiceMaker(
    "Upper-case service",
    "upperproto.tap",
    "Answer text in upper case.",
    "upper",
)

reactor = Reactor(
    "upper",
    "upperproto.reactor.epoll",
    "epoll(7) with fewer system calls for each answer, for any server.",
)
