"""Evaluation: features of the test images, of a run or of another system, scored on the protocol's trials."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_cache.base.errors import UserError
from data_cache.base.files import remove_strays, write_json
from data_cache.base.locks import run_lock
from data_cache.base.tensors import content_hash
from data_cache.datasets.dataset import Dataset, is_stand_in
from data_cache.parts.cache import PartBoxes, require_fingerprint
from data_cache.parts.merging import OF_THE_IMAGES
from data_cache.parts.source_files import made_by
from reid.evaluation.metrics_file import METRICS, QUERIES, circumstances, protocol_record, write_queries
from reid.evaluation.scoring import PLAIN, Results, Scoring
from reid.features.external import read_given_features
from reid.features.extraction import cached_features, features_if_true, features_provenance
from reid.features.file import Features
from reid.model.checkpoint import Checkpoint, trained_network, untrained_networks
from reid.retrieval.scores import Scores, scores_of

log = logging.getLogger(__name__)

TRAINED, GIVEN = "trained", "given"
FEATURES, ALL = "features.safetensors", "all"


@dataclass(frozen=True)
class Evaluation:
    """Scores of one test by row: what is evaluated, and what it is compared with; and what went into `folder`."""

    scores: dict[str, Scores]
    metrics: dict[str, Any]
    folder: Path


@dataclass(frozen=True)
class Transfer:
    """Direct transfer: a run that was trained on another data set, and the folder for its results on this one."""

    trained_on: str
    folder: Path


def evaluate(
    dataset: Dataset,
    parts: PartBoxes,
    checkpoint: Checkpoint,
    splits: Sequence[str],
    scoring: Scoring,
    *,
    untrained: bool,
    device: str,
    workers: int,
    transfer: Transfer | None = None,
) -> list[Evaluation]:
    """Score a run's checkpoint on tests; metrics.json and queries.csv of each go into a folder of its name beside it.

    One pass of features serves all tests; features that are up to date are used again. `untrained` adds the network
    before training, and its trunk alone. Raises UserError where parts or features do not fit, where the checkpoint is
    of a data set other than this one or `transfer`'s, and where another run writes the results.
    """
    folder = _folder(checkpoint, transfer)
    with _alone(folder, splits):
        path, trained = features_of_run(
            dataset, parts, checkpoint, splits, device=device, workers=workers, transfer=transfer
        )
        features = {TRAINED: trained}
        if untrained:
            before = untrained_networks(checkpoint.recipe, int(checkpoint.metadata["vehicles"]))
            for row, network in before.items():
                features[row] = cached_features(
                    path.with_name(f"features-{row}.safetensors"),
                    network,
                    dataset,
                    trained.names,
                    parts,
                    checkpoint.recipe,
                    content_hash(network.state_dict(), {}),
                    device=device,
                    workers=workers,
                )
        origin = {**_origin(checkpoint, parts), "features": path.relative_to(folder).as_posix()}
        return [_evaluated(features, dataset, split, scoring, folder, origin, device) for split in splits]


def _folder(checkpoint: Checkpoint, transfer: Transfer | None) -> Path:
    return transfer.folder if transfer else checkpoint.path.parent


def _origin(checkpoint: Checkpoint, parts: PartBoxes) -> dict[str, Any]:
    """Return what metrics.json tells of the network and its boxes; an epoch of None is not known (imported weights)."""
    told = checkpoint.metadata
    source = {"source": told["source"]} if "source" in told else {}
    return {
        "recipe_name": checkpoint.path.parent.name,
        "recipe": checkpoint.recipe.model_dump(mode="json"),
        "trained_on": told.get("dataset"),
        "checkpoint": {"file": checkpoint.path.name, "sha256": checkpoint.sha256, "epoch": told["epoch"], **source},
        "parts": made_by(parts),
    }


def evaluate_given(
    path: Path, dataset: Dataset, splits: Sequence[str], scoring: Scoring, folder: Path, *, device: str
) -> list[Evaluation]:
    """Score another system's feature file on tests, under the same protocols; what is told goes into `folder`/SPLIT.

    Raises UserError for a file that is not understood, or that misses an image of the tests.
    """
    with _alone(folder, splits):
        features = read_given_features(path, names_of(dataset, splits))
        origin = {"features": dict(features.provenance)}
        return [_evaluated({GIVEN: features}, dataset, split, scoring, folder, origin, device) for split in splits]


@contextmanager
def _alone(folder: Path, splits: Sequence[str]) -> Iterator[None]:
    """Hold the locks of the folders that the results of these tests go to. Raises UserError as `run_lock`."""
    with ExitStack() as held:
        for split in splits:
            held.enter_context(run_lock(folder / split))
            remove_strays(*(folder / split / name for name in (METRICS, QUERIES)))
        yield


def features_of_run(
    dataset: Dataset,
    parts: PartBoxes,
    checkpoint: Checkpoint,
    splits: Sequence[str],
    *,
    device: str,
    workers: int,
    transfer: Transfer | None = None,
) -> tuple[Path, Features]:
    """Return the features of all images of the tests, and their file, in the folder of the test (see `evaluate`).

    Several tests share the folder `all`, and one test takes what is up to date there. Raises UserError as `evaluate`.
    """
    wanted = transfer.trained_on if transfer else dataset.name
    remedy = f"run `python cli.py train --dataset {wanted}`"
    require_fingerprint({"dataset": checkpoint.metadata.get("dataset")}, {"dataset": wanted}, checkpoint.path, remedy)
    folder, made_with = _folder(checkpoint, transfer), (parts, checkpoint.recipe, checkpoint.sha256)
    shared = folder / ALL / FEATURES
    if len(splits) == 1 and shared.exists():
        provenance = features_provenance(dataset, names_of(dataset, list(dataset.splits)), *made_with)
        found = features_if_true(shared, provenance)
        if found is not None:
            log.info(f"{shared}: features of all tests are up to date")
            return shared, found
    path = shared if len(splits) > 1 else folder / splits[0] / FEATURES
    network, names = trained_network(checkpoint), names_of(dataset, splits)
    return path, cached_features(path, network, dataset, names, *made_with, device=device, workers=workers)


def names_of(dataset: Dataset, splits: Sequence[str]) -> list[str]:
    """Return the names of all images that the tests use, whatever is drawn, sorted."""
    protocols = [dataset.protocol(split, draws=1) for split in splits]
    return sorted({name for protocol in protocols for name in dataset.table["name"].iloc[protocol.rows()]})


def _evaluated(
    features: Mapping[str, Features],
    dataset: Dataset,
    split: str,
    scoring: Scoring,
    folder: Path,
    origin: Mapping[str, Any],
    device: str,
) -> Evaluation:
    protocol = dataset.protocol(split, draws=scoring.draws, seed=scoring.seed)
    results: dict[str, Results] = {}
    for row, values in features.items():
        beside = scoring if row in (TRAINED, GIVEN) else scoring.alone()
        found = beside.results(values, dataset.table, protocol, device=device)
        results |= {row if way == PLAIN else f"{row}, {way}": one for way, one in found.items()}
    scores = {row: scores_of(protocol, found, scoring.form) for row, found in results.items()}
    metrics = {
        "dataset": dataset.name,
        "rendered": dataset.rendered,
        "split": split,
        "protocol": {**protocol_record(protocol, next(iter(scores.values()))), **scoring.extras()},
        **origin,
        "scores": {row: values.to_dict() for row, values in scores.items()},
        **circumstances(device),
    }
    write_queries(folder / split / QUERIES, dataset.table, protocol, results)
    write_json(folder / split / METRICS, metrics)
    if is_stand_in(dataset):
        log.info(f"rendered vehicles in the layout of {dataset.name}: no figures of {dataset.name} itself")
    log.info(f"wrote {folder / split / METRICS} and {QUERIES} beside it")
    return Evaluation(scores, metrics, folder / split)


NOT_THE_DETECTOR = (*OF_THE_IMAGES, "limit", "versions")  # in a fingerprint
REMEDY = "name its own boxes by --parts, or train it on these"


def require_trained_boxes(checkpoint: Checkpoint, parts: PartBoxes) -> None:
    """Raise UserError, with the first difference, where `parts` are another detector's than the network's.

    Other images, and other versions of packages, make no difference; of imported weights nothing is known.
    """
    told = checkpoint.metadata.get("parts")
    if told is None:
        return
    if isinstance(told, Mapping) and "control" in told:
        raise UserError(
            f"{checkpoint.path}: was trained on boxes that the ablation chose; `python cli.py ablate` scores it"
        )
    require_fingerprint(_detector(told), _detector(parts.fingerprint), checkpoint.path, REMEDY)


def _detector(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    return {f"parts.{name}": value for name, value in fingerprint.items() if name not in NOT_THE_DETECTOR}
