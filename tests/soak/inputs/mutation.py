"""Mutated inputs: bytes with a few changes, JSON with one value replaced; and the kinds of files to mutate."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

LONGEST = 1 << 16  # bytes that a mutated input may grow to
TOKENS = (
    b"\0", b"\n", b"\r\n", b"\r", b"\t", b" ", b",", b";", b":", b'"', b"'", b"-", b"#", b"{", b"[", b"}", b"]",
    b"../", b"/etc/passwd", b"..\\", b"C:/", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[31m", b"\x7f", b"\xc3",
    b"\xed\xa0\x80", "\u2028".encode(), "\u202e".encode(), "\u0661".encode(), "\U0001f697".encode(), b"\\u0000",
    b"\\ud800", b"NaN", b"-Infinity", b"1e999", b"-1", b"0", b"1.5", b"9" * 30, b"9" * 5000, b"0x" + b"f" * 5000,
    b"1:" * 400, b"null", b"true", b"!!bool x", b"!!int ''", b"!!python/name:os.system", b"!!binary x", b"&a", b"*a",
    b"<<:", b"|\n", b"<!DOCTYPE a>", b"<!ENTITY", b"&lt;", b"&x;", b"<a>", b"</a>", b"<![CDATA[", b"punycode",
    b"encoding='utf-7'", b"\x80\x02", b"cposix\nsystem\n", b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x02\x00",
    b"\x89HDF", b"\xff\xd8", b"IHDR",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**30, 0.0, -0.5, 1.5, 1e-320, 1e308,
    "", " ", "x", "../x", "/etc/passwd", "a\\b", "\0", "\n", "\x1b[2J", "\ud800", "\u202e", "é" * 300, "1", "nan",
    [], [[]], [None], {}, {"": {}}, [0] * 40, ["a", 1],
)  # fmt: skip


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Return `data` with one to eight changes."""
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        start = random.randint(0, len(data))
        stop = min(len(data), start + random.choice((1, 2, 4, 8, 16, 200)))
        piece, token, elsewhere = data[start:stop], random.choice(TOKENS), random.randint(0, len(data))
        changed = (
            bytes(byte ^ (1 << random.randrange(8)) for byte in piece[:1]) + piece[1:],  # one bit
            random.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * len(piece),
            token,
            token + piece,
            b"",
            piece * random.choice((2, 3, 100)),
            data[elsewhere : elsewhere + len(piece)] + piece,
        )
        rest = b"" if random.random() < 0.1 else data[stop:]
        data = (data[:start] + random.choice(changed) + rest)[:LONGEST]
    return data


def mutate_json(data: bytes, random: Random) -> bytes:
    """Return JSON with one to three of its values replaced, removed or repeated, or, one time in four, any bytes."""
    if random.random() < 0.25:
        return mutate_bytes(data, random)
    value = json.loads(data)
    for _ in range(random.choice((1, 1, 2, 3))):
        value = mutate_value(value, random)
    return json.dumps(value).encode()


def mutate_value(value: Any, random: Random) -> Any:
    """Return a JSON value with one part, at any depth, replaced, removed or repeated."""
    if not isinstance(value, dict | list) or not value or random.random() < 0.1:
        return random.choice(VALUES)
    copy: Any = value.copy()
    keys = list(copy) if isinstance(copy, dict) else range(len(copy))
    key = random.choice(keys)
    if isinstance(copy[key], dict | list) and copy[key] and random.random() < 0.8:
        copy[key] = mutate_value(copy[key], random)
        return copy
    change = random.randrange(5)
    if change == 0:
        del copy[key]
    elif change == 1:
        copy[key] = copy[random.choice(keys)]
    elif change == 2 and isinstance(copy, list):
        copy.append(copy[key])
    elif change == 2:
        copy[f"{key} "] = copy[key]
    else:
        copy[key] = random.choice(VALUES)
    return copy


def flipped(data: bytes, bit: int) -> bytes:
    """Return `data` with one bit flipped."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


@dataclass(frozen=True)
class Target:
    """A kind of file that users give: `make` returns sound files by name, `read` reads the folder that holds them.

    `mutate` changes one of the files in `mutated`, by default any of them.
    """

    make: Callable[[], Mapping[str, bytes]]
    read: Callable[[Path], object]
    mutate: Callable[[bytes, Random], bytes] = mutate_bytes
    mutated: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Write the sound files below `folder`."""
        for name, data in self.make().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)

    def files(self) -> list[str]:
        """Return the names of the files to mutate."""
        return list(self.mutated or self.make())
