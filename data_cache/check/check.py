"""What is known of a data set before anything is made of it: sizes, files, and what its lists would spoil."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_cache.check.files import FileCheck, check_files
from data_cache.check.ground_truth import GroundTruth, compare_ground_truth
from data_cache.datasets.dataset import Dataset, is_stand_in
from data_cache.datasets.findings import Findings, findings
from data_cache.datasets.protocols import Rows
from data_cache.datasets.sizes import PAPER, RELEASED, REMEDIES, Size
from data_cache.parts.verification import NAMED, first_of

if TYPE_CHECKING:
    from rich.table import Table

QUANTITIES = ("images", "vehicles", "cameras")


@dataclass(frozen=True)
class Part:
    """A part of a data set: what was found, what its authors' lists and the paper have, and its tracks if any."""

    name: str
    found: Size
    released: Size | None
    paper: Size | None
    tracks: int | None = None

    def warning(self) -> str | None:
        """Return the counts that differ from what is known, as one line; None where none does."""
        told = []
        for quantity in QUANTITIES:
            count = getattr(self.found, quantity)
            known = {"released lists": self.released, "paper": self.paper}
            numbers = {where: getattr(size, quantity) for where, size in known.items() if size is not None}
            others = [f"{where} {number:,}" for where, number in numbers.items() if number not in (None, count)]
            told += [f"{count:,} {quantity} ({', '.join(others)})"] if others else []
        return f"{self.name}: {', '.join(told)}" if told else None


@dataclass(frozen=True)
class DatasetCheck:
    """Everything that `cli.py check` tells; faults are what training and testing must not go on with."""

    dataset: str
    root: Path
    strict: bool
    parts: tuple[Part, ...]
    repeated: tuple[str, ...]
    lists: Findings
    files: FileCheck
    ground_truth: GroundTruth | None
    warnings: tuple[str, ...]
    remarks: tuple[str, ...]
    faults: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values; of names the count and the first few."""
        files = self.files
        return {
            "dataset": self.dataset,
            "root": str(self.root),
            "strict": self.strict,
            "parts": [asdict(part) for part in self.parts],
            "repeated": _counted(self.repeated),
            "vehicles_in_train_and_test": _counted(self.lists.shared),
            "queries_without_match": {split: _counted(names) for split, names in self.lists.unmatched.items()},
            "missing": _counted(files.missing) | {"folders": files.folders, "folders_without_image": files.bare},
            "empty": _counted(files.empty),
            "unreadable": _counted(files.unreadable),
            "same_bytes_in_train_and_test": _counted(files.same) if self.strict else None,
            "ground_truth": None if self.ground_truth is None else asdict(self.ground_truth),
            "warnings": list(self.warnings),
            "remarks": list(self.remarks),
            "faults": list(self.faults),
        }


def _counted(names: Sequence[Any]) -> dict[str, Any]:
    return {"count": len(names), "first": list(names[:NAMED])}


def check_dataset(dataset: Dataset, *, strict: bool = False, workers: int = 0) -> DatasetCheck:
    """Count a data set, compare it with what is known of it, and look at its lists and files; see `check_files`."""
    table = dataset.table
    parts = tuple(_parts(dataset))
    lists = findings(dataset)
    official = dataset.released or dataset.rendered  # and not a CSV of that name
    truth = compare_ground_truth(dataset) if dataset.name == "veri" and official else None
    trained = set(table["name"][table["split"] == "train"])
    files = check_files(dataset.root, dataset.names(), trained, strict=strict, workers=workers)
    same = first_of(
        [f"{one} = {other}" for one, other in files.same], "files of training have the bytes of a file of the test"
    )
    told = [f"rendered vehicles in the layout of {dataset.name}, not its photographs"] if is_stand_in(dataset) else []
    told += [f"{part.name}: {part.tracks:,} tracks" for part in parts if part.tracks is not None]
    told += [f"{', '.join(truth.files)}: {truth.agreeing:,} of {truth.queries:,} queries agree"] if truth else []
    faults = [*lists.faults, *_file_faults(dataset, files), *(truth.faults if truth else ())]
    return DatasetCheck(
        dataset=dataset.name,
        root=dataset.root,
        strict=strict,
        parts=parts,
        repeated=dataset.repeated,
        lists=lists,
        files=files,
        ground_truth=truth,
        warnings=tuple(line for part in parts if (line := part.warning())),
        # what the authors' own files are like is told, not refused: every published number has it too
        remarks=(*lists.remarks, *told, *(same if dataset.released else [])),
        faults=(*faults, *([] if dataset.released else same)),
    )


def _parts(dataset: Dataset) -> Iterator[Part]:
    """Yield training, every test with its queries and its gallery, and all; a test as a whole where that is known."""
    table = dataset.table
    released, paper = (RELEASED.get(dataset.name, {}), PAPER.get(dataset.name, {})) if dataset.released else ({}, {})

    def part(name: str, rows: "Rows | slice", tracks: int | None = None) -> Part:
        chosen = table.iloc[rows]
        cameras = chosen["camera_id"][chosen["camera_id"] >= 0]
        found = Size(len(chosen), chosen["vehicle_id"].nunique(), cameras.nunique())
        return Part(name, found, released.get(name), paper.get(name), tracks)

    yield part("train", (table["split"] == "train").to_numpy().nonzero()[0])
    for split in dataset.splits:
        protocol = dataset.protocol(split, draws=1)
        trial = protocol.trials[0]
        if split in released or split in paper:
            yield part(split, protocol.rows())
        yield part(f"{split} query", trial.query)
        yield part(f"{split} gallery", trial.gallery, None if trial.tracks is None else len(trial.tracks))
    yield part("all", slice(None))


def _file_faults(dataset: Dataset, files: FileCheck) -> Iterator[str]:
    if files.missing:
        bare = f" ({files.bare:,} of {files.folders:,} folders have none of theirs)" if files.bare else ""
        (line,) = first_of(files.missing, f"of {len(dataset.table)} images are missing{bare}")
        yield f"{line}; {REMEDIES.get(dataset.name, f'put them below {dataset.root}')}"
    yield from first_of(files.empty, "images are files without a byte")
    yield from first_of(files.unreadable, "images cannot be read")


def check_table(check: DatasetCheck) -> "Table":
    """Return the sizes as a table for the terminal, at most 99 wide; `same` where a source has what was found."""
    from rich.markup import escape
    from rich.table import Table

    sources = [name for name in ("released", "paper") if any(getattr(part, name) for part in check.parts)]
    table = Table("part", title=escape(f"{check.dataset} in {check.root}"), title_justify="left")
    for heading in (*QUANTITIES, *sources):
        table.add_column(heading, justify="right")
    for part in check.parts:
        counts = (f"{getattr(part.found, quantity):,}" for quantity in QUANTITIES)
        table.add_row(part.name, *counts, *(_compared(part.found, getattr(part, source)) for source in sources))
    return table


def _compared(found: Size, known: Size | None) -> str:
    """Return the counts that a source tells, `-` for one that it leaves out.

    >>> _compared(Size(5, 2, 3), Size(5, 2)), _compared(Size(5, 2, 3), Size(6543, 2)), _compared(Size(5, 2, 3), None)
    ('same', '6,543 / 2', '')
    """
    if known is None:
        return ""
    numbers = [getattr(known, quantity) for quantity in QUANTITIES]
    if all(number in (None, getattr(found, quantity)) for quantity, number in zip(QUANTITIES, numbers, strict=True)):
        return "same"
    while numbers[-1] is None:
        numbers.pop()
    return " / ".join("-" if number is None else f"{number:,}" for number in numbers)
