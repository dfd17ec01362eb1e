"""Spoilt inputs: bytes with a few changes, and JSON values with one part in the place of another."""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

LONGEST = 1 << 16  # bytes that a mutated input may grow to
TOKENS = (
    *(b"\0", b"\n", b"\r\n", b"\r", b"\t", b" ", b",", b";", b":", b'"', b"'", b"-", b"#", b"{", b"[", b"}", b"]"),
    *(
        b"../",
        b"/etc/passwd",
        b"..\\",
        b"C:/",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\x1b[31m",
        b"\x7f",
        b"\xc3",
        b"\xed\xa0\x80",
    ),
    *("\u2028".encode(), "\u202e".encode(), "\u0661".encode(), "\U0001f697".encode(), b"\\u0000", b"\\ud800"),
    *(b"NaN", b"-Infinity", b"1e999", b"-1", b"0", b"1.5", b"9" * 30, b"9" * 5000, b"0x" + b"f" * 5000, b"1:" * 400),
    *(
        b"null",
        b"true",
        b"!!bool x",
        b"!!int ''",
        b"!!python/name:os.system",
        b"!!binary x",
        b"&a",
        b"*a",
        b"<<:",
        b"|\n",
    ),
    *(b"<!DOCTYPE a>", b"<!ENTITY", b"&lt;", b"&x;", b"<a>", b"</a>", b"<![CDATA[", b"encoding='utf-7'", b"punycode"),
    *(
        b"\x80\x02",
        b"cposix\nsystem\n",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"\x93NUMPY\x02\x00",
        b"\x89HDF",
        b"\xff\xd8",
        b"IHDR",
    ),
)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 0.0, -0.5, 1.5, 1e-320, 1e308),
    *("", " ", "x", "../x", "/etc/passwd", "a\\b", "\0", "\n", "\x1b[2J", "\ud800", "\u202e", "é" * 300, "1", "nan"),
    *([], [[]], [None], {}, {"": {}}, [0] * 40, ["a", 1]),
)
Mutate = Callable[[bytes, bytes, Random], bytes]


def spoil_bytes(data: bytes, other: bytes, random: Random) -> bytes:
    """Return `data` with one to four changes; some take a piece of `other`, another input of the kind."""
    for _ in range(random.choice((1, 1, 2, 4))):
        data = random.choice(_CHANGES)(data, other, random)[:LONGEST]
    return data


def _flip(data: bytes, other: bytes, random: Random) -> bytes:
    if not data:
        return b"\0"
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]


def _overwrite(data: bytes, other: bytes, random: Random) -> bytes:
    start, value = _place(data, random), random.choice((b"\0", b"\xff", b"\x7f", b"\x80"))
    length = random.choice((1, 2, 4, 8))
    return data[:start] + length * value + data[start + length :]


def _insert(data: bytes, other: bytes, random: Random) -> bytes:
    start = _place(data, random)
    return data[:start] + random.choice(TOKENS) + data[start:]


def _replace(data: bytes, other: bytes, random: Random) -> bytes:
    start, stop = _range(data, random)
    return data[:start] + random.choice(TOKENS) + data[stop:]


def _remove(data: bytes, other: bytes, random: Random) -> bytes:
    start, stop = _range(data, random)
    return data[:start] + data[stop:]


def _repeat(data: bytes, other: bytes, random: Random) -> bytes:
    start, stop = _range(data, random)
    return data[:start] + data[start:stop] * random.choice((2, 3, 100)) + data[stop:]


def _cut(data: bytes, other: bytes, random: Random) -> bytes:
    return data[: _place(data, random)]


def _splice(data: bytes, other: bytes, random: Random) -> bytes:
    start, stop = _range(other, random)
    place = _place(data, random)
    return data[:place] + other[start:stop] + data[place:]


def _swap_lines(data: bytes, other: bytes, random: Random) -> bytes:
    lines = data.split(b"\n")
    one, two = random.randrange(len(lines)), random.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]
    return b"\n".join(lines)


_CHANGES = (_flip, _flip, _overwrite, _insert, _insert, _replace, _remove, _repeat, _cut, _splice, _swap_lines)


def _place(data: bytes, random: Random) -> int:
    return random.randint(0, len(data))


def _range(data: bytes, random: Random) -> tuple[int, int]:
    start = _place(data, random)
    return start, min(len(data), start + random.choice((1, 2, 4, 16, 200)))


def spoil_json(data: bytes, other: bytes, random: Random) -> bytes:
    """Return JSON with one to three of its values replaced, removed or doubled; one time in four, any bytes of it."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return spoil_bytes(data, other, random)
    if random.random() < 0.25:
        return spoil_bytes(data, other, random)
    for _ in range(random.choice((1, 1, 2, 3))):
        value = spoil_value(value, random)
    return json.dumps(value).encode()


def spoil_value(value: Any, random: Random) -> Any:
    """Return a JSON value of which one part, at any depth, is another."""
    parts = _parts(value)
    if not parts or random.random() < 0.1:
        return random.choice(ODD)
    key = random.choice(parts)
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    if isinstance(copy[key], dict | list) and copy[key] and random.random() < 0.8:
        copy[key] = spoil_value(copy[key], random)
        return copy
    change = random.randrange(5)
    if change == 0:
        del copy[key]
    elif change == 1:
        copy[key] = copy[random.choice(parts)]
    elif change == 2 and isinstance(copy, list):
        copy.append(copy[key])
    elif change == 2:
        copy[f"{key} "] = copy[key]
    else:
        copy[key] = random.choice(ODD)
    return copy


def _parts(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value)
    return range(len(value)) if isinstance(value, list) else ()
