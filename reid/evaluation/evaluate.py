"""Evaluation of a trained network, or of features from another system, on the tests of a data set."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_cache.base.devices import Compute
from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, remove_temporary_files, write_json
from data_cache.base.locks import run_lock
from data_cache.base.options import command_file
from data_cache.base.tensors import content_hash
from data_cache.datasets.dataset import Dataset
from data_cache.parts.source_files import run_fingerprint
from reid.evaluation.answers import find_answers, known_queries, open_set
from reid.evaluation.metrics_file import EXTERNAL, QUERIES, TRAINED, write_evaluation
from reid.evaluation.trained_run import (
    TrainedRun,
    features_of_run,
    features_path,
    image_names,
    mean_of_runs,
    whitening,
)
from reid.features.external import read_external_features
from reid.features.extraction import cached_features
from reid.features.file import Features, require_names_fit, write_features
from reid.model.checkpoint import untrained_networks
from reid.retrieval.metrics import Scores
from reid.retrieval.open_set import FIRST, Calibration
from reid.retrieval.scoring import Scoring
from reid.runs import BEST, METRICS, checkpoint_to_continue


@dataclass(frozen=True)
class Evaluation:
    """The scores of one test by row, and the metrics.json with them, written to `folder`."""

    scores: dict[str, Scores]
    metrics: dict[str, Any]
    folder: Path


def evaluate_run(
    run: TrainedRun,
    splits: Sequence[str],
    scoring: Scoring,
    compute: Compute,
    *,
    untrained: bool = False,
    changed: Sequence[TrainedRun] = (),
    beside: Sequence[TrainedRun] = (),
    whiten: bool = False,
    calibration: Calibration | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> list[Evaluation]:
    """Score a run on tests; metrics.json and queries.csv of each test go into FOLDER/SPLIT.

    One pass of features serves all tests, and features that are up to date are reused. `untrained` adds the network
    before training, and its backbone alone. `changed` are the same run with changes, each scored in a row of its own.
    `beside` are other runs, whose cosines are averaged with this one's in one row more, and `whiten` adds the features
    whitened by training pairs. With `calibration` metrics.json also has `open_set`: how its decisions agree with the
    vehicles. `arguments` of the command are stored there. Raises UserError if another run is writing the results.
    """
    with _locked(run.folder, splits):
        path, trained = features_of_run(run, splits, compute)
        features = {TRAINED: trained}
        for other in changed:
            _, features[f"{TRAINED}, {other.change}"] = features_of_run(other, splits, compute)
        if beside:
            row = f"{TRAINED}, with {' and '.join(other.folder.name for other in beside)}"
            features[row] = mean_of_runs(trained, beside, splits, compute)
        if whiten:
            features[f"{TRAINED}, whitened"] = replace(trained, matrix=whitening(run, compute)(trained.matrix))
        if untrained:
            source = replace(run.source(splits), names=trained.names)
            networks = untrained_networks(run.checkpoint.recipe, int(run.checkpoint.metadata["vehicles"]))
            for row, network in networks.items():
                features[row] = cached_features(
                    path.with_name(f"features-{row}.safetensors"),
                    network,
                    replace(source, weights=content_hash(network.state_dict(), {})),
                    compute,
                )
        origin = {**_origin(run), "features": path.relative_to(run.folder).as_posix(), **_stored(arguments)}
        return _score(features, run.dataset, splits, scoring, run.folder, origin, compute.device, calibration)


def evaluate_external(
    path: Path,
    dataset: Dataset,
    splits: Sequence[str],
    scoring: Scoring,
    folder: Path,
    *,
    device: str,
    arguments: Mapping[str, Any] | None = None,
) -> list[Evaluation]:
    """Score another system's feature file on tests, as `evaluate_run` does; the results go into FOLDER/SPLIT.

    The features of the tests' images are copied there, as a feature file of this system, for `rank` and `report`.
    Raises UserError if the file cannot be read or lacks an image of the tests, or if a network was trained in `folder`.
    """
    if path_exists(folder / BEST) or checkpoint_to_continue(folder) is not None:
        raise UserError(f"{folder}: holds a trained network; give the features another name by --name")
    with _locked(folder, splits):
        features = read_external_features(path, image_names(dataset, splits))
        copy = features_path(folder, splits)
        remove_temporary_files(copy, command_file(folder))
        if arguments is not None:  # by it the later commands find the data set
            write_json(command_file(folder), {"command": "evaluate", "options": dict(arguments)})
        require_names_fit(copy, features.names)
        write_features(copy, features)
        system = {"name": folder.name, **features.provenance}
        origin = {"system": system, "features": copy.relative_to(folder).as_posix(), **_stored(arguments)}
        return _score({EXTERNAL: features}, dataset, splits, scoring, folder, origin, device)


@contextmanager
def _locked(folder: Path, splits: Sequence[str]) -> Iterator[None]:
    """Hold the locks of the tests' folders. Raises UserError if another run holds one."""
    with ExitStack() as stack:
        for split in splits:
            stack.enter_context(run_lock(folder / split))
            remove_temporary_files(*(folder / split / name for name in (METRICS, QUERIES)))
        yield


def _stored(arguments: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if arguments is None else {"arguments": dict(arguments)}


def _origin(run: TrainedRun) -> dict[str, Any]:
    """Return the entries of metrics.json on network and boxes; the epoch of imported weights is None."""
    checkpoint, metadata = run.checkpoint, run.checkpoint.metadata
    source = {"source": metadata["source"]} if "source" in metadata else {}
    where = os.path.relpath(checkpoint.path.parent, run.folder)
    return {
        "recipe_name": checkpoint.path.parent.name,
        "recipe": checkpoint.recipe.model_dump(mode="json"),
        "trained_on": metadata.get("dataset"),
        "checkpoint": {
            "file": checkpoint.path.name,
            **({} if where == "." else {"folder": where}),  # of direct transfer
            "sha256": checkpoint.sha256,
            "epoch": metadata["epoch"],
            **source,
        },
        "parts": run_fingerprint(run.parts),
    }


def _score(
    features: Mapping[str, Features],
    dataset: Dataset,
    splits: Sequence[str],
    scoring: Scoring,
    folder: Path,
    origin: Mapping[str, Any],
    device: str,
    calibration: Calibration | None = None,
) -> list[Evaluation]:
    evaluations = []
    for split in splits:
        test = scoring.score(features, dataset, split, device=device)
        if calibration is not None:
            answers = find_answers(features[TRAINED], dataset, test.protocol, FIRST)
            positives = test.results[TRAINED][0].positives
            decided = open_set(dataset, answers, calibration, positives).take(known_queries(dataset, answers))
            origin = {**origin, "open_set": decided.scores(calibration.threshold)}
        metrics = write_evaluation(folder / split, dataset, test, scoring, origin, device)
        evaluations.append(Evaluation(test.scores, metrics, folder / split))
    return evaluations
