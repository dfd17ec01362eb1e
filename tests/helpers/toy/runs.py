"""Evaluations of the toy run, and their metrics by a plain loop."""

from pathlib import Path
from typing import Any

import numpy as np

from data_cache.base.devices import Compute
from helpers.toy.vehicles import Toy
from reid.evaluation.evaluate import Evaluation, evaluate_run
from reid.evaluation.trained_run import FEATURES, TrainedRun
from reid.features.file import Features, read_features
from reid.model.checkpoint import read_checkpoint
from reid.retrieval.scoring import Scoring
from reid.runs import BEST

PLAIN = Scoring()


def evaluated(
    toy: Toy, run: Path, split: str = "test", *, untrained: bool = False, scoring: Scoring = PLAIN
) -> Evaluation:
    return evaluated_on(toy, run, [split], untrained=untrained, scoring=scoring)[0]


def evaluated_on(
    toy: Toy, run: Path, splits: list[str], *, untrained: bool = False, scoring: Scoring = PLAIN
) -> list[Evaluation]:
    trained = TrainedRun(toy.dataset, toy.parts, read_checkpoint(run / BEST), run)
    return evaluate_run(trained, splits, scoring, Compute("cpu", 0), untrained=untrained)


def features_in(folder: Path) -> Features:
    return read_features(folder / FEATURES)


def no_extraction(*_: Any, **__: Any) -> None:
    raise AssertionError("features were extracted")


def literal_scores(toy: Toy, matrix: np.ndarray[Any, Any], names: tuple[str, ...]) -> dict[str, float]:
    """Return mAP, CMC and mINP by sorting every query's list, without images of its vehicle by its camera."""
    table = toy.dataset.table.set_index("name")
    of = {name: matrix[row].astype(np.float64) for row, name in enumerate(names)}
    queries, gallery = (list(table.index[table["split"] == split]) for split in ("query", "gallery"))
    precisions, firsts, penalties = [], [], []
    for query in queries:
        vehicle, camera = table.at[query, "vehicle_id"], table.at[query, "camera_id"]
        listed = [
            name
            for name in sorted(gallery, key=lambda name: -float(of[name] @ of[query]))
            if not (table.at[name, "vehicle_id"] == vehicle and table.at[name, "camera_id"] == camera)
        ]
        ranks = [rank for rank, name in enumerate(listed, start=1) if table.at[name, "vehicle_id"] == vehicle]
        precisions.append(np.mean([number / rank for number, rank in enumerate(ranks, start=1)]))
        firsts.append(ranks[0])
        penalties.append(len(ranks) / ranks[-1])
    cmc = {f"cmc{k}": float(np.mean(np.array(firsts) <= k)) for k in (1, 5, 10)}
    return {"mAP": float(np.mean(precisions)), "mINP": float(np.mean(penalties)), **cmc}
