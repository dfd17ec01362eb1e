"""VeRi-776's answer files, gt_index.txt and jk_index.txt, compared with our matches and junk."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from data_cache.datasets.dataset import Dataset
from data_cache.datasets.lists import BLANKS, list_text
from data_cache.datasets.protocols import Trial

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
    ours = _answers(dataset.table, trial)
    files, errors = [], []
    wrong: set[int] = set()
    for kind, candidates in enumerate(FILES):
        path = next((dataset.folder / name for name in candidates if (dataset.folder / name).exists()), None)
        if path is not None:
            theirs = _read(path, position_of, len(ours))
            files.append(path.name)
            errors += [f"{path.name} has {len(theirs)} lines, not {len(ours)}"] if len(theirs) != len(ours) else []
            wrong |= {query for query, answer in enumerate(ours) if theirs[query : query + 1] != [answer[kind]]}
    if wrong:
        first = names[trial.query[min(wrong)]]
        errors.append(f"{len(wrong)} of {len(ours)} queries have other answers in {', '.join(files)}, first {first}")
    return GroundTruth(tuple(files), len(ours), len(ours) - len(wrong), tuple(errors)) if files else None


def _answers(table: pd.DataFrame, trial: Trial) -> list[tuple[set[str], set[str]]]:
    """Return for each query the positions in the gallery, as text, of its matches and of its junk."""
    gallery = table.iloc[trial.gallery].assign(position=[str(number + 1) for number in range(len(trial.gallery))])
    of_vehicle = gallery.groupby("vehicle_id")["position"].agg(set).to_dict()
    of_camera = gallery.groupby(["vehicle_id", "camera_id"])["position"].agg(set).to_dict()
    answers = []
    for vehicle, camera in table.iloc[trial.query][["vehicle_id", "camera_id"]].itertuples(index=False):
        junk = of_camera.get((vehicle, camera), set())
        answers.append((of_vehicle.get(vehicle, set()) - junk, junk))
    return answers


def _read(path: Path, position_of: dict[str, str], queries: int) -> list[set[str]]:
    """Return the positions in each line, which may be empty; empty lines after the last query are ignored."""
    lines = [line.strip(" \t") for line in list_text(path).removesuffix("\n").split("\n")]
    while len(lines) > queries and not lines[-1]:
        lines.pop()
    return [{position_of.get(word, word.lstrip("0")) for word in BLANKS.split(line) if word} for line in lines]
