"""Protection against other web sites: requests are only answered for this page, at its address on this machine.

Any site open in a browser on this machine can reach 127.0.0.1, by address or by a host name that it points there (DNS
rebinding). It must not upload or read photos.
"""

import asyncio
import re
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::[0-9]{1,5})?")
READ_METHODS = ("GET", "HEAD")
CONTENT_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


Refuse = Callable[[Scope], Response | None]


def forbidden(reason: str) -> Response:
    """Return the answer to a request that is refused."""
    return JSONResponse({"error": reason}, status_code=403)


def refuse_foreign(scope: Scope) -> Response | None:
    """Return the answer to a request that is not this page's, None if it is allowed."""
    reason = refusal(scope["method"], Headers(scope=scope))
    return None if reason is None else forbidden(reason)


def refusal(method: str, headers: Headers) -> str | None:
    """Return why a request is refused, None if it is allowed."""
    host = headers.get("host", "")
    if HOST.fullmatch(host) is None:
        return "this page is only served at 127.0.0.1 or localhost"
    if method not in READ_METHODS and headers.get("origin") != f"http://{host}":
        return "photos can only be uploaded from this page itself"
    site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
    if site not in ("same-origin", "none") and mode != "navigate":
        return "only this page itself can load this"
    return None


def local_refusal(headers: Headers) -> str | None:
    """Return why a request to the API without tokens is refused, None if it is allowed.

    Programs send no Origin; a web site in a browser must neither search nor enrol.
    """
    host = headers.get("host", "")
    if HOST.fullmatch(host) is None:
        return "without --tokens the API is only served at 127.0.0.1 or localhost"
    if headers.get("origin", f"http://{host}") != f"http://{host}":
        return "another web site cannot use the API"
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return "another web site cannot use the API"
    return None


class Guard:
    """ASGI middleware that refuses requests, by default those from elsewhere, and adds headers to every response."""

    def __init__(
        self, app: ASGIApp, refuse: Refuse = refuse_foreign, headers: Mapping[str, str] = SECURITY_HEADERS
    ) -> None:
        """Wrap `app`; `refuse` returns the answer to a request that `app` must not see, else None."""
        self.app, self.refuse, self.headers = app, refuse, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; one that the server cancels while it shuts down is answered with 503."""
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        app = self.refuse(scope) or self.app
        try:
            await app(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            if not started:
                response = JSONResponse({"error": "the server is shutting down"}, status_code=503)
                await response(scope, receive, send_with_headers)
