"""`Filter`: which images of a gallery are meant, by camera, time, name or details, as a condition for its store."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from data_cache.base.errors import UserError, printable


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

    def sql(self, columns: Collection[str]) -> str:
        """Return the condition in SQL as DataFusion reads it, "" if every image meets it.

        `columns` are those of the gallery's details. Raises UserError if `equal` names another.
        """
        return " AND ".join(self._conditions(columns))

    def _conditions(self, columns: Collection[str]) -> Iterator[str]:
        if self.ids is not None:
            yield _among("id", map(_number, self.ids))
        if self.after is not None:
            yield f"id > {_number(self.after)}"
        if self.names is not None:
            yield _among("name", map(_quoted, self.names))
        if self.without:
            yield f"NOT {_among('name', map(_quoted, self.without))}"
        if self.words:
            yield f"contains(lower(name), {_quoted(self.words.lower())})"
        if self.cameras is not None:
            yield _among("camera", map(_number, self.cameras))
        if self.without_cameras:
            yield f"NOT {_among('camera', map(_number, self.without_cameras))}"
        if self.since is not None or self.until is not None:
            yield "time <> ''"
        if self.since is not None:
            yield f"time >= {_quoted(self.since)}"
        if self.until is not None:
            yield f"(time <= {_quoted(self.until)} OR starts_with(time, {_quoted(self.until)}))"
        for column, value in self.equal.items():
            if column not in columns:
                raise UserError(
                    f"the gallery has no column {printable(column)}; its details are {', '.join(sorted(columns))}"
                )
            yield f"`{column}` = {_quoted(value)}"  # backquotes, or DataFusion reads a name in lower case


EVERY = Filter()


def _among(column: str, values: Iterable[str]) -> str:
    listed = ", ".join(values)
    return f"{column} IN ({listed})" if listed else "false"  # SQL has no empty list


def _number(value: int) -> str:
    return str(int(value))


def _quoted(text: str) -> str:
    """Return text as an SQL string: a quote is doubled, and nothing else has a meaning."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
