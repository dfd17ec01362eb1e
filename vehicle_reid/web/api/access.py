"""Who may use the API: tokens, of which only hashes are kept, and how often each may be used."""

import hmac
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from data_cache.base.errors import UserError, printable
from vehicle_reid.web.app import error_response
from vehicle_reid.web.guard import forbidden, local_refusal

OPEN_ADDRESSES = ("/health", "/openapi.json")  # need no token
LEAST_CHARACTERS = 16  # of a token
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # as in RFC 6750
BEARER = "bearer"


@dataclass(frozen=True)
class Tokens:
    """The hashes of the tokens by the names of their owners."""

    digests: Mapping[str, bytes]

    @classmethod
    def read(cls, path: Path) -> "Tokens":
        """Read a file with a name and a token on each line; empty lines and those after # are skipped.

        Raises UserError, without the token, for a missing file or a line that is invalid.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read ({error})") from error
        digests: dict[str, bytes] = {}
        for number, line in enumerate(lines, start=1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            place = f"{path}, line {number}"
            if len(words) != 2:
                raise UserError(f"{place}: needs a name and a token, separated by a space")
            name, token = words
            if TOKEN.fullmatch(token) is None or len(token) < LEAST_CHARACTERS:
                raise UserError(
                    f"{place}: a token is at least {LEAST_CHARACTERS} letters, digits or -._~+/; "
                    "`openssl rand -hex 32` makes one"
                )
            digest = _digest(token)
            if name in digests or digest in digests.values():
                raise UserError(f"{place}: the name {printable(name)} or its token occurs twice")
            digests[name] = digest
        if not digests:
            raise UserError(f"{path}: has no token; write a name and a token on each line")
        return cls(digests)

    def owner(self, token: str) -> str | None:
        """Return whose token it is, None if nobody's; the time does not depend on the token."""
        digest = _digest(token)
        same = [name for name, known in self.digests.items() if hmac.compare_digest(digest, known)]
        return same[0] if same else None


class RateLimit:
    """Allows each owner `per_minute` requests a minute, as many of them at once."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with the whole allowance for everybody; `clock` gives seconds."""
        self._per_minute, self._clock = per_minute, clock
        self._left: dict[str, tuple[float, float]] = {}  # requests that are left, and when that was counted

    def seconds_to_wait(self, owner: str) -> int:
        """Count a request and return 0, or, if there are too many, return in how many seconds one is allowed."""
        now = self._clock()
        left, counted = self._left.get(owner, (float(self._per_minute), now))
        left = min(float(self._per_minute), left + (now - counted) * self._per_minute / 60)
        if left < 1:
            self._left[owner] = left, now
            return math.ceil((1 - left) * 60 / self._per_minute)
        self._left[owner] = left - 1, now
        return 0


class Access:
    """Refuses requests to the API that are not allowed."""

    def __init__(self, tokens: Tokens | None, per_minute: int | None) -> None:
        """Require one of `tokens`, `per_minute` requests at most with each; None: any program on this machine."""
        self._tokens, self._rate = tokens, None if per_minute is None else RateLimit(per_minute)

    def refuse(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is refused: 401, 403 or 429; None if it is allowed."""
        headers = Headers(scope=scope)
        if self._tokens is None:
            reason = local_refusal(headers)
            return None if reason is None else forbidden(reason)
        if scope["path"] in OPEN_ADDRESSES:
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != BEARER or not token.strip():
            challenge = {"WWW-Authenticate": "Bearer"}
            return error_response("a token is needed: send the header Authorization: Bearer TOKEN", 401, challenge)
        owner = self._tokens.owner(token.strip())
        if owner is None:
            return forbidden("this token is not known")
        seconds = 0 if self._rate is None else self._rate.seconds_to_wait(owner)
        if seconds:
            return error_response(
                "too many requests with this token; try again later", 429, {"Retry-After": str(seconds)}
            )
        return None


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
