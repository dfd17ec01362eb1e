"""The check of a data set: its sizes beside the known ones, problems in its lists, and its image files."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from data_cache.check.files import FileCheck, check_files
from data_cache.check.ground_truth import GroundTruth, compare_ground_truth
from data_cache.datasets.dataset import Dataset, is_stand_in
from data_cache.datasets.problems import ListProblems, list_problems
from data_cache.datasets.protocols import Rows
from data_cache.datasets.sizes import PAPER, RELEASED, REMEDIES, Size
from data_cache.parts.verification import count_line, counted

if TYPE_CHECKING:
    from rich.table import Table

QUANTITIES = ("images", "vehicles", "cameras")


@dataclass(frozen=True)
class Subset:
    """A subset of a data set: its size, the sizes in the released lists and the paper, and its number of tracks."""

    name: str
    found: Size
    released: Size | None
    paper: Size | None
    tracks: int | None = None

    def warning(self) -> str | None:
        """Return a line with the counts that differ from the known ones, or None if there are none."""
        differing = []
        for quantity in QUANTITIES:
            count = getattr(self.found, quantity)
            sources = {"released lists": self.released, "paper": self.paper}
            known = {source: getattr(size, quantity) for source, size in sources.items() if size is not None}
            others = [f"{source} {number:,}" for source, number in known.items() if number not in (None, count)]
            differing += [f"{count:,} {quantity} ({', '.join(others)})"] if others else []
        return f"{self.name}: {', '.join(differing)}" if differing else None


@dataclass(frozen=True)
class DatasetCheck:
    """The result of `check`: training and testing need a data set without `errors`, training also its images."""

    dataset: Dataset
    strict: bool
    subsets: tuple[Subset, ...]
    lists: ListProblems
    files: FileCheck
    ground_truth: GroundTruth | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    errors: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values; lists of names become their count and first names."""
        files = self.files
        return {
            "dataset": self.dataset.name,
            "root": str(self.dataset.root),
            "strict": self.strict,
            "evaluation_only": self.dataset.no_training or None,
            "parts": [asdict(subset) for subset in self.subsets],
            "repeated": counted(self.dataset.repeated),
            "vehicles_in_train_and_test": counted(self.lists.shared_vehicles),
            "queries_without_match": {split: counted(names) for split, names in self.lists.unmatched_queries.items()},
            "missing": counted(files.missing)
            | {"folders": files.folders, "folders_without_image": files.folders_without_image},
            "empty": counted(files.empty),
            "unreadable": counted(files.unreadable),
            "same_bytes_in_train_and_test": counted(files.duplicates) if self.strict else None,
            "ground_truth": None if self.ground_truth is None else asdict(self.ground_truth),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "errors": list(self.errors),
        }


def check_dataset(dataset: Dataset, *, strict: bool = False, workers: int = 0) -> DatasetCheck:
    """Check a data set; `strict` also decodes every image, in `workers` processes (see `check_files`)."""
    table = dataset.table
    subsets = tuple(_subsets(dataset))
    lists = list_problems(dataset)
    official = dataset.released or dataset.rendered  # not a CSV file of that name
    truth = compare_ground_truth(dataset) if dataset.name == "veri" and official else None
    trained = set(table["name"][table["split"] == "train"])
    files = check_files(dataset.folder, dataset.names(), trained, strict=strict, workers=workers)
    duplicates = count_line(
        [f"{one} = {other}" for one, other in files.duplicates], "training files are identical to a test file"
    )
    evaluation_only = [f"{dataset.no_training}: evaluation only"] if dataset.no_training else []
    notes = [f"rendered vehicles in the layout of {dataset.name}, not its photographs"] if is_stand_in(dataset) else []
    notes += [f"{subset.name}: {subset.tracks:,} tracks" for subset in subsets if subset.tracks is not None]
    notes += [f"{', '.join(truth.files)}: {truth.agreeing:,} of {truth.queries:,} queries agree"] if truth else []
    absent = ("train", "all") if dataset.no_training else ()  # whose sizes the note explains
    # problems of the authors' own files are notes: published results share them
    return DatasetCheck(
        dataset=dataset,
        strict=strict,
        subsets=subsets,
        lists=lists,
        files=files,
        ground_truth=truth,
        warnings=tuple(line for subset in subsets if subset.name not in absent and (line := subset.warning())),
        notes=(*evaluation_only, *lists.warnings, *notes, *(duplicates if dataset.released else [])),
        errors=(
            *lists.errors,
            *_file_errors(dataset, files),
            *(truth.errors if truth else ()),
            *([] if dataset.released else duplicates),
        ),
    )


def _subsets(dataset: Dataset) -> Iterator[Subset]:
    """Yield training, query and gallery of every test, and all; a whole test too if its size is known."""
    table = dataset.table
    released, paper = (RELEASED.get(dataset.name, {}), PAPER.get(dataset.name, {})) if dataset.released else ({}, {})

    def subset(name: str, rows: "Rows | slice", tracks: int | None = None) -> Subset:
        chosen = table.iloc[rows]
        cameras = chosen["camera_id"][chosen["camera_id"] >= 0]
        size = Size(len(chosen), chosen["vehicle_id"].nunique(), cameras.nunique())
        return Subset(name, size, released.get(name), paper.get(name), tracks)

    yield subset("train", (table["split"] == "train").to_numpy().nonzero()[0])
    for split in dataset.splits:
        protocol = dataset.protocol(split, draws=1)
        trial = protocol.trials[0]
        if split in released or split in paper:
            yield subset(split, protocol.rows())
        yield subset(f"{split} query", trial.query)
        yield subset(f"{split} gallery", trial.gallery, None if trial.tracks is None else len(trial.tracks))
    yield subset("all", slice(None))


def _file_errors(dataset: Dataset, files: FileCheck) -> Iterator[str]:
    if files.missing:
        folders = f"{files.folders_without_image:,} of {files.folders:,} folders have no image"
        where = f" ({folders})" if files.folders_without_image else ""
        (line,) = count_line(files.missing, f"of {len(dataset.table)} images are missing{where}")
        yield f"{line}; {REMEDIES.get(dataset.name, f'put them below {dataset.root}')}"
    yield from count_line(files.empty, "images are empty files")
    yield from count_line(files.unreadable, "images cannot be read")


def check_table(check: DatasetCheck) -> "Table":
    """Return the sizes as a terminal table, at most 99 wide; `same` if a source has the same counts."""
    from rich.markup import escape
    from rich.table import Table

    sources = [name for name in ("released", "paper") if any(getattr(subset, name) for subset in check.subsets)]
    table = Table("part", title=escape(f"{check.dataset.name} in {check.dataset.root}"), title_justify="left")
    for heading in (*QUANTITIES, *sources):
        table.add_column(heading, justify="right")
    for subset in check.subsets:
        counts = (f"{getattr(subset.found, quantity):,}" for quantity in QUANTITIES)
        known = (_compared(subset.found, getattr(subset, source)) for source in sources)
        table.add_row(subset.name, *counts, *known)
    return table


def _compared(found: Size, known: Size | None) -> str:
    """Return the counts of a source, `-` for one that it does not give.

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
