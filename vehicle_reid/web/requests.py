"""What is read from a request: a photo within its limit, numbers within theirs. What does not fit is told in words."""

from starlette.exceptions import HTTPException
from starlette.requests import Request

MEGABYTE = 1_000_000
DRAINED = 4  # times the limit: so much is read, and dropped, so that the sender comes to read why it was refused


def too_large(most: int) -> HTTPException:
    """Return the refusal of a file over `most` bytes; the connection ends with it, whatever is still being sent."""
    words = f"this file is larger than {most / MEGABYTE:g} MB; make it smaller, or start with a larger --max-upload"
    return HTTPException(413, words, {"Connection": "close"})


async def body_of(request: Request, most: int) -> bytes:
    """Return the body of a request, at most `most` bytes, of which no more is ever held. Raises HTTPException 413."""
    told = request.headers.get("content-length", "")
    declared = int(told) if told.isdecimal() and told.isascii() else 0
    if declared > DRAINED * most or (declared > most and "expect" in request.headers):
        raise too_large(most)
    kept, seen = bytearray(), 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > DRAINED * most:
            break
        if seen <= most:
            kept += chunk
        else:
            kept.clear()
    if seen > most:
        raise too_large(most)
    return bytes(kept)


def number(request: Request, name: str, default: int, low: int, high: int) -> int:
    """Return a number of the query. Raises HTTPException 400 where it is none from `low` to `high`."""
    text = request.query_params.get(name)
    return default if text is None else _number(text, name, low, high)


def numbers(request: Request, name: str, high: int) -> list[int]:
    """Return the numbers of the query under a name that may stand there often. Raises HTTPException as `number`."""
    return [_number(text, name, 0, high) for text in request.query_params.getlist(name)]


def _number(text: str, name: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and low <= int(text) <= high):
        raise HTTPException(400, f"{name} is a whole number from {low} to {high}")
    return int(text)
