"""Calibration of a run: how sure its best match is, learnt from searches among vehicles that it was not trained on."""

import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from data_cache.base.devices import Compute
from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, read_json, write_json
from data_cache.base.options import remedy_command
from reid.data.loader import split_vehicles
from reid.evaluation.trained_run import TrainedRun
from reid.features.extraction import FeatureSource, extract_features
from reid.retrieval.open_set import EVIDENCE, FIRST, Calibration, Mask, OpenSet, Values, evidence
from reid.retrieval.ranked_lists import top_matches
from reid.retrieval.ranking import LabelledTrial, Labels, Matrix, Numbers

log = logging.getLogger(__name__)

FILE = "calibration.json"  # in the folder of the run
LEAST_VEHICLES = 8  # unseen ones
SEARCHES = 12  # simulated galleries, each with other vehicles
PRESENT = 0.5  # share of the vehicles in a simulated gallery
SIZES = (1.0, 0.5, 0.25)  # of simulated galleries, as shares of those vehicles
MOST_STRANGERS = 4000  # images of vehicles of the training that fill simulated galleries
FPIR = re.compile(r"fpir=(0(\.\d+)?|1(\.0+)?)")


@dataclass(frozen=True)
class Searches:
    """Simulated searches (N,): evidence of the best match, whether it is right, the vehicle's images to be found."""

    found: Values
    right: Mask
    positives: Numbers

    def open_set(self, calibration: Calibration) -> OpenSet:
        """Return the searches with the confidence that a calibration has in them."""
        return OpenSet(calibration.confidence(self.found), self.right, self.positives)


def unseen_vehicles(run: TrainedRun) -> pd.DataFrame:
    """Return the training images of the data set whose vehicles the network was not trained on: those it held out.

    Of another data set than that of its training they are all. Raises UserError if there are too few, or the data set
    has changed since the training.
    """
    dataset, checkpoint = run.dataset, run.checkpoint
    table = dataset.training_images
    source = checkpoint.metadata.get("source") or {}  # of imported weights, whose data set is the one they are used on
    if source.get("trained_on", checkpoint.metadata.get("dataset")) == dataset.name:
        split = split_vehicles(dataset, checkpoint.recipe)
        trained = checkpoint.metadata.get("images")  # imported weights have none
        if trained not in (None, split.sha256):
            raise UserError(
                f"{checkpoint.path}: was trained on other images than {dataset.name} lists now, so it is not known "
                "which vehicles it has not seen; train it again, or calibrate it on another data set"
            )
        table = split.held_out
    count = table["vehicle_id"].nunique()
    if count < LEAST_VEHICLES:
        raise UserError(
            f"{checkpoint.path}: {count} vehicles with identity were not trained on, {LEAST_VEHICLES} are needed; "
            f"train with a larger holdout ({remedy_command('train', {'--set': 'holdout=0.2'})})"
        )
    return table


def simulated_searches(features: Matrix, labels: Labels, seed: int, strangers: Matrix | None = None) -> Searches:
    """Search for every image in galleries of some of the vehicles, so that many queries have no match.

    features (N, C), labels (N,). A query's own image, and its vehicle's images by its camera, are left out. Galleries
    are of several sizes, because a larger one makes a chance match more likely; `strangers` (S, C) are images of other
    vehicles, of which each gallery has a part.
    """
    random, results = np.random.default_rng(seed), []
    different = labels.camera.max(initial=0) + 1 + np.arange(len(labels))
    camera = np.where(labels.camera >= 0, labels.camera, different)  # each image of an unknown one by its own
    vehicles = np.unique(labels.vehicle)
    others = np.zeros((0, features.shape[1]), np.float32) if strangers is None else strangers
    for number in range(SEARCHES):
        size = SIZES[number % len(SIZES)]
        chosen = random.permutation(vehicles)[: max(2, round(PRESENT * size * len(vehicles)))]
        rows = np.flatnonzero(np.isin(labels.vehicle, chosen))
        taken = random.permutation(len(others))[: round(size * len(others))]
        nobody = np.full(len(taken), -1)  # vehicle and camera of no query
        gallery = Labels(np.append(labels.vehicle[rows], nobody), np.append(camera[rows], nobody))
        trial = LabelledTrial(Labels(labels.vehicle, camera), gallery, same_camera_is_junk=True)
        best, scores = top_matches(features, np.concatenate([features[rows], others[taken]]), trial, k=FIRST)
        first = np.where(best[:, 0] >= 0, gallery.vehicle[best[:, 0]], -1)
        positives = ((labels.vehicle[:, None] == gallery.vehicle) & (camera[:, None] != gallery.camera)).sum(axis=1)
        results.append(Searches(evidence(scores, len(gallery)), first == labels.vehicle, positives))
    return Searches(*(np.concatenate([vars(one)[name] for one in results]) for name in vars(results[0])))


@dataclass(frozen=True)
class CalibratedRun:
    """A calibration and its origin: the checkpoint's SHA-256, the aim, and the rates measured on other vehicles.

    `arguments` are the options of the command that made it.
    """

    calibration: Calibration
    checkpoint: str
    aim: str
    vehicles: int
    measured: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    evidence: tuple[str, ...] = EVIDENCE

    def write(self, folder: Path) -> Path:
        """Write it into the folder of the run; return the file."""
        write_json(folder / FILE, asdict(self))
        return folder / FILE


def calibrate(run: TrainedRun, compute: Compute, *, aim: str, seed: int) -> CalibratedRun:
    """Learn confidence and threshold of a run's best match; `aim` is f1, or fpir=RATE: see `threshold_for`.

    The confidence is learnt among the vehicles that the network was not trained on. They are few, and seldom look
    alike, so the threshold is chosen in galleries that are filled with vehicles of the training. The confidence cannot
    be learnt from those: the network has drawn the images of each together, which those of a stranger are not. The
    rates are measured by two halves of the vehicles, each with the confidence of the other one, at the threshold of
    all. Raises UserError for another aim, and if too few vehicles were held out.
    """
    fpir_of(aim)  # raises before the work
    table = unseen_vehicles(run)
    seen = run.dataset.training_images
    seen = seen[~seen["vehicle_id"].isin(table["vehicle_id"])]
    seen = seen.sample(min(len(seen), MOST_STRANGERS), random_state=seed)
    names = [*table["name"], *seen["name"]]
    source = FeatureSource(run.dataset, names, run.parts, run.recipe, run.checkpoint.sha256)
    log.info(f"{len(table):,} images of {table['vehicle_id'].nunique():,} vehicles that the network was not trained on")
    both, _ = extract_features(run.network(), source.images(), device=compute.device, workers=compute.workers)
    features, strangers, labels = both[: len(table)], both[len(table) :], Labels.of_table(table)
    whole = fitted(features, labels, strangers, aim, seed)
    halves = [np.flatnonzero(labels.vehicle % 2 == half) for half in range(2)]
    measured = []
    for half, other in zip(halves, halves[::-1], strict=True):
        calibration = fitted(features[other], labels.take(other), strangers, aim, seed)
        measured.append(simulated_searches(features[half], labels.take(half), seed, strangers).open_set(calibration))
    together = OpenSet(*(np.concatenate([vars(one)[name] for one in measured]) for name in vars(measured[0])))
    scores = together.scores(whole.threshold)
    return CalibratedRun(whole, run.checkpoint.sha256, aim, int(table["vehicle_id"].nunique()), scores)


def fitted(features: Matrix, labels: Labels, strangers: Matrix, aim: str, seed: int) -> Calibration:
    """Return the calibration by simulated searches, with the threshold of an aim among the strangers (S, C)."""
    plain = simulated_searches(features, labels, seed)
    calibration = Calibration.fit(plain.found, plain.right)
    filled = simulated_searches(features, labels, seed, strangers) if len(strangers) else plain
    return replace(calibration, threshold=threshold_for(filled.open_set(calibration), aim))


def threshold_for(test: OpenSet, aim: str) -> float:
    """Return the threshold with the best F1 of first matches ("f1"), or the lowest that meets "fpir=RATE".

    fpir is the share of absent vehicles that are accepted. Raises UserError for another aim.
    """
    fpir = fpir_of(aim)
    return test.best_f1() if fpir is None else test.threshold_at(fpir)


def fpir_of(aim: str) -> float | None:
    """Return the rate of an aim "fpir=RATE", None for "f1". Raises UserError for another one."""
    if aim == "f1":
        return None
    if not FPIR.fullmatch(aim):
        raise UserError(f"--aim {aim}: not f1, or fpir=RATE with a rate from 0 to 1")
    return float(aim.partition("=")[2])


def read_calibration(folder: Path, checkpoint: str) -> CalibratedRun | None:
    """Return the calibration in a run's folder; None if there is none. Raises UserError if it is of another checkpoint.

    Also raises UserError if it is damaged, or of another version.
    """
    path = folder / FILE
    if not path_exists(path):
        return None
    content = read_json(path)
    remedy = f"calibrate again with {remedy_command('calibrate')}, or delete it"
    try:
        found = TypeAdapter(CalibratedRun).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{path}: damaged, or of another version ({first['msg']}); {remedy}") from error
    model = found.calibration
    columns = (model.mean, model.scale, model.low, model.high, model.weights)
    if found.evidence != EVIDENCE or {len(column) for column in columns} != {len(EVIDENCE)}:
        raise UserError(f"{path}: of another version; {remedy}")
    if found.checkpoint != checkpoint:
        raise UserError(f"{path}: made for another checkpoint than the one in its folder; {remedy}")
    return found


def require_calibration(run: TrainedRun) -> Calibration:
    """Return the calibration of a run. Raises UserError if there is none, and as `read_calibration`."""
    found = read_calibration(run.folder, run.checkpoint.sha256)
    if found is None:
        raise UserError(f"{run.folder}: not calibrated; run {remedy_command('calibrate')} first")
    return found.calibration
