"""Who may ask: pages of this server alone, under its own name on this machine; and what browsers are told of answers.

The page listens on 127.0.0.1, which every site that is open in a browser here can reach: by its address, or by a name
of its own that it lets point there (DNS rebinding). Neither may upload, nor read a photo.
"""

import asyncio
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::[0-9]{1,5})?")
READING = ("GET", "HEAD")
POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TOLD = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def refusal(method: str, headers: Headers) -> str | None:
    """Return why a request is refused, None where it is not."""
    host = headers.get("host", "")
    if HOST.fullmatch(host) is None:
        return "this page is at 127.0.0.1 or localhost, and is not given under another name"
    if method not in READING and headers.get("origin") != f"http://{host}":
        return "only this page itself may send photos"
    site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
    if site not in ("same-origin", "none") and mode != "navigate":
        return "only this page itself may ask for this"
    return None


class Guard:
    """An ASGI application in front of another, which sees only requests that are not refused."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand in front of `app`."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it through; every answer carries `TOLD`.

        One that is broken off, which the server does only where it ends before an answer is there, is told so.
        """
        begun = False

        async def telling(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(TOLD)
            await send(message)

        refused = refusal(scope["method"], Headers(scope=scope))
        answer = self.app if refused is None else JSONResponse({"error": refused}, status_code=403)
        try:
            await answer(scope, receive, telling)
        except asyncio.CancelledError:
            if not begun:
                await JSONResponse({"error": "the server is ending"}, status_code=503)(scope, receive, telling)
