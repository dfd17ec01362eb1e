"""VeRi-776's answer files, gt_index.txt and jk_index.txt, compared with our matches and junk."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from data_cache.datasets.dataset import Dataset
from data_cache.datasets.lists import BLANKS, list_text

# matches and junk, each under two possible names; one line per query: positions in name_test.txt from 1, or names
FILES = (("gt_index.txt", "gt_image.txt"), ("jk_index.txt", "jk_image.txt"))


@dataclass(frozen=True)
class GroundTruth:
    """How many of the queries have the same answers in `files` as here, and the differences as lines."""

    files: tuple[str, ...]
    queries: int
    agreeing: int
    errors: tuple[str, ...] = ()


def compare_ground_truth(dataset: Dataset) -> GroundTruth | None:
    """Compare the answer files of VeRi-776 with its split `test`; return None if there are none.

    Raises UserError if a file cannot be read.
    """
    names = dataset.table["name"]
    trial = dataset.protocol("test").trials[0]
    position_of = {PurePosixPath(names[row]).name: str(position) for position, row in enumerate(trial.gallery, start=1)}
    ours = _answers(dataset)
    files, errors = [], []
    wrong: set[int] = set()
    for kind, candidates in enumerate(FILES):
        path = next((dataset.root / name for name in candidates if (dataset.root / name).exists()), None)
        if path is not None:
            theirs = _read(path, position_of, len(ours))
            files.append(path.name)
            errors += [f"{path.name} has {len(theirs)} lines, not {len(ours)}"] if len(theirs) != len(ours) else []
            wrong |= {query for query, answer in enumerate(ours) if theirs[query : query + 1] != [answer[kind]]}
    if wrong:
        first = names[trial.query[min(wrong)]]
        errors.append(f"{len(wrong)} of {len(ours)} queries have other answers in {', '.join(files)}, first {first}")
    return GroundTruth(tuple(files), len(ours), len(ours) - len(wrong), tuple(errors)) if files else None


def _answers(dataset: Dataset) -> list[tuple[set[str], set[str]]]:
    """Return for each query the positions in the gallery, as text, of its matches and of its junk."""
    protocol = dataset.protocol("test")
    (trial,) = protocol.trials
    vehicles_and_cameras = dataset.table[["vehicle_id", "camera_id"]].to_numpy().tolist()
    images: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for position, row in enumerate(trial.gallery, start=1):
        vehicle, camera = vehicles_and_cameras[row]
        images[vehicle].append((str(position), camera))
    answers = []
    for vehicle, camera in (vehicles_and_cameras[row] for row in trial.query):
        same_vehicle = {position for position, _ in images[vehicle]}
        same_camera = {position for position, other in images[vehicle] if other == camera}
        junk = same_camera if protocol.same_camera_is_junk else set()
        answers.append((same_vehicle - junk, junk))
    return answers


def _read(path: Path, position_of: dict[str, str], queries: int) -> list[set[str]]:
    """Return the positions in each line, which may be empty; empty lines after the last query are ignored."""
    lines = [line.strip(" \t") for line in list_text(path).removesuffix("\n").split("\n")]
    while len(lines) > queries and not lines[-1]:
        lines.pop()
    return [{position_of.get(word, word.lstrip("0")) for word in BLANKS.split(line) if word} for line in lines]
