"""Protection against other web sites: requests are only answered for this page, at its address on this machine.

Any site open in a browser on this machine can reach 127.0.0.1, by address or by a host name that it points there (DNS
rebinding). It must not upload or read photos.
"""

import asyncio
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
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


class Guard:
    """ASGI middleware that refuses requests from elsewhere and adds `SECURITY_HEADERS` to every response."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap `app`."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; one that the server cancels while it shuts down is answered with 503."""
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        reason = refusal(scope["method"], Headers(scope=scope))
        app = self.app if reason is None else JSONResponse({"error": reason}, status_code=403)
        try:
            await app(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            if not started:
                response = JSONResponse({"error": "the server is shutting down"}, status_code=503)
                await response(scope, receive, send_with_headers)
