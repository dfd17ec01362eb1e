"""`Filter`: which images of a gallery are meant, by camera, time, name or details, as a condition for its store."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from data_cache.base.errors import UserError, printable
from vehicle_reid.gallery.entries import DETAILS, ENROLLED_BY

TIME = re.compile(r"[0-9]{4}[-0-9:.,TZ+ ]*")  # what text of ISO 8601 begins with; times are compared as text
AS_TIME = "must be as in ISO 8601: 2026-11-05, or 2026-11-05T08:30"


@dataclass(frozen=True)
class Filter:
    """Conditions that images must all meet; by default every image does."""

    cameras: tuple[int, ...] | None = None  # only images by these
    without_cameras: tuple[int, ...] = ()
    names: tuple[str, ...] | None = None  # only these images
    without: tuple[str, ...] = ()  # names
    words: str = ""  # part of the name, in any case
    since: str | None = None  # ISO 8601, compared as text; images of unknown time are left out
    until: str | None = None  # inclusive, with all times that begin so: 2024-05-01 is that whole day
    equal: Mapping[str, str] = field(default_factory=dict)  # value of a column of the details
    ids: tuple[int, ...] | None = None  # only these images
    after: int | None = None  # only images with larger ids, which were added later
    files: bool = False  # only images that are files, not those that came through the API

    def sql(self, columns: Collection[str]) -> str:
        """Return the condition in SQL as DataFusion reads it, "" if every image meets it.

        `columns` are those of the gallery's details. Raises UserError if `equal` names another.
        """
        return " AND ".join(self._conditions(columns, _Sql))

    def milvus(self, columns: Collection[str]) -> str:
        """Return the condition in the language of Milvus, for images with ids from 0 on; otherwise as `sql`."""
        return " AND ".join(["id >= 0", *self._conditions(columns, _Milvus)])

    def _conditions(self, columns: Collection[str], language: "type[_Sql | _Milvus]") -> Iterator[str]:
        among, quoted = language.among, language.quoted
        if self.ids is not None:
            yield among("id", map(_number, self.ids))
        if self.after is not None:
            yield f"id > {_number(self.after)}"
        if self.names is not None:
            yield among("name", map(quoted, self.names))
        if self.without:
            yield f"NOT ({among('name', map(quoted, self.without))})"
        if self.words:
            yield language.words(self.words)
        if self.cameras is not None:
            yield among("camera", map(_number, self.cameras))
        if self.without_cameras:
            yield f"NOT ({among('camera', map(_number, self.without_cameras))})"
        if self.since is not None or self.until is not None:
            yield f"time > {quoted('')}"
        if self.since is not None:
            yield f"time >= {quoted(self.since)}"
        if self.until is not None:
            yield language.until(self.until)
        if self.files and ENROLLED_BY in columns:
            yield language.equal(ENROLLED_BY, "")
        for column, value in self.equal.items():
            if column not in columns:
                raise UserError(
                    f"the gallery has no column {printable(column)}; its details are {', '.join(sorted(columns))}"
                )
            yield language.equal(column, value)


EVERY = Filter()


def is_time(text: str) -> bool:
    """Return whether a time can be compared with others as text.

    >>> is_time("2026-11-05T08:30"), is_time("2026"), is_time("05.11.2026"), is_time("")
    (True, True, False, False)
    """
    return TIME.fullmatch(text) is not None


def require_times(**times: str | None) -> None:
    """Raise UserError, with its name, for a time that is none: no image could meet it."""
    for name, time in times.items():
        if time is not None and not is_time(time):
            raise UserError(f"{name} {printable(time)}: {AS_TIME}")


WORDS, OTHERS = "_words", "_details"  # columns in Milvus: of `searchable` names; of details but `DETAILS`, in JSON
NO_WILDCARDS = str.maketrans("%_\\", "\ufdd0\ufdd1\ufdd2")  # to code points that stand for no character
LAST = "\U0010ffff"  # no text that begins with another sorts behind that and this


def searchable(text: str) -> str:
    """Return text in lower case, without the characters that mean something in a pattern of LIKE.

    Versions of Milvus differ in how a pattern escapes them.
    """
    return text.lower().translate(NO_WILDCARDS)


class _Sql:
    """SQL as DataFusion reads it, in LanceDB."""

    @staticmethod
    def quoted(text: str) -> str:
        doubled = text.replace("'", "''")  # nothing else has a meaning
        return f"'{doubled}'"

    @staticmethod
    def among(column: str, values: Iterable[str]) -> str:
        listed = ", ".join(values)
        return f"{column} IN ({listed})" if listed else "false"  # SQL has no empty list

    @staticmethod
    def words(words: str) -> str:
        return f"contains(lower(name), {_Sql.quoted(words.lower())})"

    @staticmethod
    def until(time: str) -> str:
        return f"(time <= {_Sql.quoted(time)} OR starts_with(time, {_Sql.quoted(time)}))"

    @staticmethod
    def equal(column: str, value: str) -> str:
        return f"`{column}` = {_Sql.quoted(value)}"  # backquotes, or DataFusion reads a name in lower case


class _Milvus:
    """Boolean expressions of Milvus, which has no functions of text."""

    @staticmethod
    def quoted(text: str) -> str:
        for character, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
            text = text.replace(character, escaped)
        return f'"{text}"'

    @staticmethod
    def among(column: str, values: Iterable[str]) -> str:
        listed = ", ".join(values)
        return f"{column} IN [{listed}]" if listed else "id < 0"  # no image has such an id

    @staticmethod
    def words(words: str) -> str:
        return f"{WORDS} LIKE {_Milvus.quoted(f'%{searchable(words)}%')}"

    @staticmethod
    def until(time: str) -> str:
        return f"time < {_Milvus.quoted(time + LAST)}"

    @staticmethod
    def equal(column: str, value: str) -> str:
        if column in DETAILS:
            return f"{column} == {_Milvus.quoted(value)}"
        cell = f'{OTHERS}["{column}"]'
        return f"{cell} == {_Milvus.quoted(value)}" if value else f"NOT (EXISTS {cell})"  # of "" nothing is stored


def _number(value: int) -> str:
    return str(int(value))
