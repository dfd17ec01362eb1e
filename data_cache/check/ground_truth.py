"""VeRi-776's own answers, gt_index.txt and jk_index.txt, against those that its lists and our junk rule give."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data_cache.datasets.dataset import Dataset
from data_cache.datasets.lists import BLANKS, list_text

# matches and junk, under either name; a line a query: 1-based places in name_test.txt, or the names there
FILES = (("gt_index.txt", "gt_image.txt"), ("jk_index.txt", "jk_image.txt"))
Answers = list[tuple[set[str], set[str]]]  # places of matches and of junk, a pair a query


@dataclass(frozen=True)
class GroundTruth:
    """How many of `queries` have the answers in `files` that we find; `faults` are the lines to tell."""

    files: tuple[str, ...]
    queries: int
    agreeing: int
    faults: tuple[str, ...] = ()


def compare_ground_truth(dataset: Dataset) -> GroundTruth | None:
    """Compare the answer files of VeRi-776 with its split `test`; None where there is none of them.

    Raises UserError for a file that cannot be read.
    """
    names = dataset.table["name"]
    trial = dataset.protocol("test").trials[0]
    place_of = {PurePosixPath(names[row]).name: str(place) for place, row in enumerate(trial.gallery, start=1)}
    ours = _answers(dataset)
    files, faults = [], []
    wrong: set[int] = set()
    for kind, candidates in enumerate(FILES):
        path = next((dataset.root / name for name in candidates if (dataset.root / name).exists()), None)
        if path is not None:
            theirs = _read(path, place_of, len(ours))
            files.append(path.name)
            faults += [f"{path.name} has {len(theirs)} lines, not {len(ours)}"] if len(theirs) != len(ours) else []
            wrong |= {query for query, answer in enumerate(ours) if theirs[query : query + 1] != [answer[kind]]}
    if wrong:
        first = names[trial.query[min(wrong)]]
        faults.append(f"{len(wrong)} of {len(ours)} queries have other answers in {', '.join(files)}, first {first}")
    return GroundTruth(tuple(files), len(ours), len(ours) - len(wrong), tuple(faults)) if files else None


def _answers(dataset: Dataset) -> Answers:
    """Return the places in the gallery, as text, that match each query, and those that are junk for it."""
    protocol = dataset.protocol("test")
    (trial,) = protocol.trials
    seen = dataset.table[["vehicle_id", "camera_id"]].to_numpy().tolist()
    images: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for place, row in enumerate(trial.gallery, start=1):
        vehicle, camera = seen[row]
        images[vehicle].append((str(place), camera))
    answers = []
    for vehicle, camera in (seen[row] for row in trial.query):
        own = {place for place, _ in images[vehicle]}
        junk = {place for place, other in images[vehicle] if other == camera and protocol.same_camera_is_junk}
        answers.append((own - junk, junk))
    return answers


def _read(path: Path, place_of: dict[str, str], queries: int) -> list[set[str]]:
    """Return the places of each line, a name by its place; a line may be empty, and more empty ones may follow."""
    lines = [line.strip(" \t") for line in list_text(path).removesuffix("\n").split("\n")]
    while len(lines) > queries and not lines[-1]:
        lines.pop()
    return [{place_of.get(word, word.lstrip("0")) for word in BLANKS.split(line) if word} for line in lines]
