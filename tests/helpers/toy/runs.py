"""Evaluations of the toy run, and their figures by a plain loop."""

from pathlib import Path
from typing import Any

import numpy as np

from helpers.toy.vehicles import Toy
from reid.evaluation.evaluate import FEATURES, Evaluation, evaluate
from reid.evaluation.scoring import Scoring
from reid.features.file import Features, read_features
from reid.model.checkpoint import read_checkpoint
from reid.runs import BEST

PLAINLY = Scoring()


def evaluated(
    toy: Toy, run: Path, split: str = "test", *, untrained: bool = False, scoring: Scoring = PLAINLY
) -> Evaluation:
    return evaluated_on(toy, run, [split], untrained=untrained, scoring=scoring)[0]


def evaluated_on(
    toy: Toy, run: Path, splits: list[str], *, untrained: bool = False, scoring: Scoring = PLAINLY
) -> list[Evaluation]:
    checkpoint = read_checkpoint(run / BEST)
    return evaluate(toy.dataset, toy.parts, checkpoint, splits, scoring, untrained=untrained, device="cpu", workers=0)


def features_in(folder: Path) -> Features:
    return read_features(folder / FEATURES)


def no_extraction(*_: Any, **__: Any) -> None:
    raise AssertionError("the network was called")


def literal_scores(toy: Toy, matrix: np.ndarray[Any, Any], names: tuple[str, ...]) -> dict[str, float]:
    """Mean average precision, CMC and mINP by sorting every query's list; same vehicle and camera is left out."""
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
