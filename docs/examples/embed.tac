"""
An application of two services: upper case, and a web page that counts its clients.

Run it: twistd -ny embed.tac
"""

from twisted.application.service import Application
from twisted.application.strports import service
from twisted.internet import reactor
from twisted.web.resource import Resource
from twisted.web.server import Site

from upperproto import UpperFactory
from upperproto.service import UpperService


class Status(Resource):
    """
    How many clients there are.
    """

    isLeaf = True

    def __init__(self, factory):
        super().__init__()
        self.factory = factory

    def render_GET(self, request):
        return b"%d connections\n" % len(self.factory.connections)


factory = UpperFactory(flushAfter=0.05, idleTimeout=600, clock=reactor)
application = Application("upper and its status")
UpperService(
    factory, ["tcp:5000:interface=127.0.0.1"], drain=10, reactor=reactor
).setServiceParent(application)
service("tcp:8080:interface=127.0.0.1", Site(Status(factory))).setServiceParent(
    application
)
