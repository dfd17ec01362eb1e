"""Problems that the lists of a data set would cause in training or testing."""

from collections.abc import Mapping
from dataclasses import dataclass

from data_cache.datasets.dataset import Dataset


@dataclass(frozen=True)
class Findings:
    """What a data set's lists would do to training and testing.

    `shared` are vehicles in both; `unmatched` has, for each test with any, the queries without a match; `faults` are
    the lines for which training is refused, `remarks` those that only tell.
    """

    shared: tuple[str, ...]
    unmatched: Mapping[str, tuple[str, ...]]
    faults: tuple[str, ...]
    remarks: tuple[str, ...]


def faults(dataset: Dataset) -> list[str]:
    """Return what would spoil training or testing; see `findings`."""
    return list(findings(dataset).faults)


def findings(dataset: Dataset) -> Findings:
    """Look for entries listed twice, vehicles in training and test, an empty part, queries without a match.

    Only what a test ranks counts as test: a picture may be listed for its parts alone.
    In released lists single queries without a match are a remark (12 of VERI-Wild's 3,000 small ones have none); a test
    in which none has one is a fault everywhere.
    """
    table, wrong, told = dataset.table, [], []
    if dataset.repeated:
        wrong.append(
            f"{len(dataset.repeated)} images are listed again, first in {dataset.repeated[0]}; remove the line"
        )
    protocols = {split: dataset.protocol(split, draws=1) for split in dataset.splits}
    trained = set(table["vehicle_id"][table["split"] == "train"])
    tested = {row for protocol in protocols.values() for row in protocol.rows()}
    shared = sorted(trained & set(table["vehicle_id"].iloc[sorted(tested)]))
    if shared:
        wrong.append(f"{len(shared)} vehicles are in both train and test, first {shared[0]}")
    unmatched = {}
    for split, protocol in protocols.items():
        trial = protocol.trials[0]
        wrong += [f"{split}: no {part} images" for part in ("query", "gallery") if not len(getattr(trial, part))]
        lonely = queries_without_match(dataset, split)
        if not lonely:
            continue
        unmatched[split] = tuple(lonely)
        if dataset.released and len(lonely) < len(trial.query):
            told.append(f"{split}: {len(lonely)} queries have no match and do not count, first {lonely[0]}")
        else:
            wrong.append(f"{split}: {len(lonely)} of {len(trial.query)} queries have no match, first {lonely[0]}")
    return Findings(tuple(shared), unmatched, tuple(wrong), tuple(told))


def queries_without_match(dataset: Dataset, split: str) -> list[str]:
    """Return the names of a test's queries whose vehicle is nowhere in the gallery, junk aside."""
    table, protocol = dataset.table, dataset.protocol(split, draws=1)
    trial = protocol.trials[0]
    cameras = table.iloc[trial.gallery].groupby("vehicle_id")["camera_id"].agg(set).to_dict()
    lonely = []
    for name, vehicle, camera in table.iloc[trial.query][["name", "vehicle_id", "camera_id"]].to_numpy().tolist():
        junk = {camera} if protocol.same_camera_is_junk and camera >= 0 else set()  # -1: not known
        if not cameras.get(vehicle, set()) - junk:
            lonely.append(str(name))
    return lonely
