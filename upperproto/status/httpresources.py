"""
The HTTP resources of the status: C{/livez}, C{/readyz}, C{/metrics}, and a page.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.web.http import NOT_IMPLEMENTED, SERVICE_UNAVAILABLE, Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from upperproto.status.page import Rates, render
from upperproto.status.report import Observer

_TEXT = b"text/plain; charset=utf-8"

# The page contains its style, and loads nothing.
_POLICY = b"default-src 'none'; style-src 'unsafe-inline'"


class Answer(Resource):
    """
    A resource whose answer is made for each request.
    """

    def __init__(self, answer: Callable[[Request], tuple[int, bytes, bytes]]) -> None:
        """
        @param answer: gives status, media type and body.
        """
        super().__init__()
        self._answer = answer

    def render_GET(self, request: Request) -> bytes:
        """
        Answer GET, and HEAD.
        """
        code, mediaType, body = self._answer(request)
        request.setResponseCode(code)
        request.setHeader(b"content-type", mediaType)
        request.setHeader(b"content-length", b"%d" % len(body))
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"content-security-policy", _POLICY)
        request.setHeader(b"x-content-type-options", b"nosniff")
        return b"" if request.method == b"HEAD" else body


class StatusSite(Site):
    """
    The HTTP site of the status of one service.
    """

    noisy = False

    def __init__(self, observer: Observer, clock: IReactorTime) -> None:
        """
        @param observer: asks the service.
        @param clock: tells the time.
        """
        self._observer = observer
        self._rates = Rates()
        root = Resource()
        root.putChild(b"", Answer(self._page))
        root.putChild(b"livez", Answer(lambda request: (200, _TEXT, b"alive\n")))
        root.putChild(b"readyz", Answer(self._readyz))
        root.putChild(b"metrics", Answer(self._metrics))
        super().__init__(root, reactor=clock)

    def log(self, request: Request) -> None:
        """
        Log nothing, because probes come every few seconds.
        """

    def _readyz(self, request: Request) -> tuple[int, bytes, bytes]:
        state = self._observer.state()
        code = 200 if state == "serving" else SERVICE_UNAVAILABLE
        return code, _TEXT, b"%s\n" % state.encode("ascii")

    def _metrics(self, request: Request) -> tuple[int, bytes, bytes]:
        try:
            from upperproto.status.metrics import exposition
        except ImportError as error:
            text = f"needs more packages: pip install 'upperproto[metrics]' ({error})\n"
            return NOT_IMPLEMENTED, _TEXT, text.encode()
        accept = request.getHeader("accept") or ""
        mediaType, body = exposition(self._observer.report(), accept)
        return 200, mediaType.encode("ascii"), body

    def _page(self, request: Request) -> tuple[int, bytes, bytes]:
        body = render(self._observer.report(), self._rates)
        return 200, b"text/html; charset=utf-8", body.encode()
