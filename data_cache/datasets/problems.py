"""Problems in a data set's lists that would spoil training or testing."""

from collections.abc import Mapping
from dataclasses import dataclass

from data_cache.datasets.dataset import Dataset, is_unknown
from data_cache.datasets.protocols import Protocol


@dataclass(frozen=True)
class ListProblems:
    """Vehicles in both training and test, queries without a match by test, and the problems as lines.

    Training is refused if there are `errors`; `warnings` are only shown.
    """

    shared_vehicles: tuple[str, ...]
    unmatched_queries: Mapping[str, tuple[str, ...]]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]


def list_problems(dataset: Dataset) -> ListProblems:
    """Find repeated entries, vehicles in training and test, empty queries or galleries, and queries without a match.

    Only images that a test ranks count as test images: others may be listed for their parts. Queries without a match
    are a warning, as there are some in released lists (12 of the 3,000 in VERI-Wild's small test) and in tests of
    decisions; a test without any match is an error, unless its vehicles are not known.
    """
    table, errors, warnings = dataset.table, [], []
    if dataset.repeated:
        errors.append(
            f"{len(dataset.repeated)} images are listed again, first in {dataset.repeated[0]}; remove the line"
        )
    protocols = {split: dataset.protocol(split, draws=1) for split in dataset.splits}
    trained = set(table["vehicle_id"][table["split"] == "train"])
    tested_rows = {row for protocol in protocols.values() for row in protocol.rows()}
    shared = sorted(trained & set(table["vehicle_id"].iloc[sorted(tested_rows)]))
    if shared:
        errors.append(f"{len(shared)} vehicles are in both train and test, first {shared[0]}")
    unmatched = {}
    for split, protocol in protocols.items():
        trial = protocol.trials[0]
        errors += [f"{split}: no {part} images" for part in ("query", "gallery") if not len(getattr(trial, part))]
        known = [row for row in trial.query.tolist() if not is_unknown(str(table["vehicle_id"].iat[row]))]
        if len(known) < len(trial.query):
            count = len(trial.query) - len(known)
            warnings.append(f"{split}: {count} queries are of unknown vehicles; they can be ranked, but not scored")
        queries = _queries_without_match(dataset, protocol, known)
        if not queries:
            continue
        unmatched[split] = tuple(queries)
        if len(queries) < len(known):
            warnings.append(f"{split}: {len(queries)} queries have no match and do not count, first {queries[0]}")
        else:
            errors.append(f"{split}: {len(queries)} of {len(known)} queries have no match, first {queries[0]}")
    images_of = table["vehicle_id"][table["split"] == "train"].value_counts()
    single = int((images_of == 1).sum())
    if single:
        warnings.append(f"train: {single} of {len(images_of)} vehicles have one image, and no match to learn from")
    return ListProblems(tuple(shared), unmatched, tuple(errors), tuple(warnings))


def has_match(dataset: Dataset, split: str) -> bool:
    """Return whether a query of a test has a match in the gallery, so that the test can be scored."""
    protocol = dataset.protocol(split, draws=1)
    queries = protocol.trials[0].query.tolist()
    return len(_queries_without_match(dataset, protocol, queries)) < len(queries)


def _queries_without_match(dataset: Dataset, protocol: Protocol, query: list[int]) -> list[str]:
    """Return the names of the queries, rows of the table, whose vehicle has no gallery image other than junk."""
    queries, gallery = dataset.table.iloc[query], dataset.table.iloc[protocol.trials[0].gallery]
    cameras = gallery.groupby("vehicle_id")["camera_id"].agg(set).to_dict()
    unmatched = []
    for name, vehicle, camera in queries[["name", "vehicle_id", "camera_id"]].itertuples(index=False):
        junk = {camera} if protocol.same_camera_is_junk and camera >= 0 else set()
        if not cameras.get(vehicle, set()) - junk:
            unmatched.append(name)
    return unmatched
