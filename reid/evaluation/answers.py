"""Answers as files, by the rows of a user's CSVs: candidates of every query, those accepted, and the features."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data_cache.base.files import write_atomically
from data_cache.datasets.dataset import Dataset, is_unknown
from data_cache.datasets.protocols import Protocol
from data_cache.objects.table import BOX
from reid.features.file import Features
from reid.retrieval.open_set import FIRST, Calibration, Mask, OpenSet, Values, evidence
from reid.retrieval.ranked_lists import top_matches
from reid.retrieval.ranking import Matrix, Numbers, labelled_trials
from reid.retrieval.scoring import PLAIN, AfterNetwork

Texts = np.ndarray[tuple[int], np.dtype[np.object_]]


@dataclass(frozen=True)
class Answers:
    """The first k gallery images of Q queries: rows of the data set's table, query (Q,) and best (Q, k), -1 for none.

    `scores` (Q, k) are cosines, `gallery` is the number of images that were searched.
    """

    query: Numbers
    best: Numbers
    scores: Matrix
    gallery: int

    def confidence(self, calibration: Calibration) -> Values:
        """Return how sure the best match of each query is, (Q,)."""
        return calibration.confidence(evidence(self.scores, self.gallery))

    def accepted(self, calibration: Calibration) -> Mask:
        """Return which queries' best matches are accepted, (Q,)."""
        sure = self.confidence(calibration) >= calibration.threshold
        return np.asarray(sure & (self.best[:, 0] >= 0))


def find_answers(
    features: Features, dataset: Dataset, protocol: Protocol, top: int, after: AfterNetwork = PLAIN
) -> Answers:
    """Return the first `top` images, and FIRST at least, of every query of the protocol's first trial, without junk.

    `after` changes features and scores; confidences are of plain scores alone.

    Raises UserError if an image has no feature.
    """
    trial, names = protocol.trials[0], dataset.table["name"]
    features = after.features(features, dataset, protocol)
    query, gallery = features.of(names.iloc[trial.query]), features.of(names.iloc[trial.gallery])
    labels = labelled_trials(dataset.table, protocol)[0]
    columns, scores = top_matches(query, gallery, labels, k=max(top, FIRST), scorer=after.scores)
    best = np.where(columns >= 0, trial.gallery[columns], -1)
    return Answers(trial.query, best, scores, len(labels.ranked))


def submission(dataset: Dataset, answers: Answers, top: int, *, wide: bool = False) -> pd.DataFrame:
    """Return the first `top` candidates of every query, a row each: query, query_image, rank, candidate, ..., score.

    query and candidate are rows, from 0, of the query's and the gallery's CSV; see `rows_of_csv`. With `wide` it is a
    row a query: query, query_image, candidate_1, candidate_2, ..., score_1, score_2, ...
    """
    rows, images = rows_of_csv(dataset.table), image_ids(dataset.table)
    best, scores = answers.best[:, :top], answers.scores[:, :top]
    if wide:
        table = pd.DataFrame({"query": rows[answers.query], "query_image": images[answers.query]})
        numbers = range(1, best.shape[1] + 1)
        found = pd.DataFrame(best).map(lambda row: "" if row < 0 else str(rows[row]))
        cosines = pd.DataFrame(scores).map(lambda score: f"{score:.6f}" if np.isfinite(score) else "")
        table[[f"candidate_{number}" for number in numbers]] = found
        table[[f"score_{number}" for number in numbers]] = cosines
        return table
    query, rank = np.nonzero(best >= 0)
    candidate = best[query, rank]
    return pd.DataFrame(
        {
            "query": rows[answers.query[query]],
            "query_image": images[answers.query[query]],
            "rank": rank + 1,
            "candidate": rows[candidate],
            "candidate_image": images[candidate],
            "score": [f"{score:.6f}" for score in scores[query, rank]],
        }
    )


def candidates(dataset: Dataset, answers: Answers, calibration: Calibration) -> pd.DataFrame:
    """Return the decision on every query, a row each: query, query_image, candidate, candidate_image, confidence.

    The candidate is empty if the best match is not accepted; the confidence is that of the best match.
    """
    rows, images = rows_of_csv(dataset.table), image_ids(dataset.table)
    confidence, accepted = answers.confidence(calibration), answers.accepted(calibration)
    best = answers.best[:, 0]
    return pd.DataFrame(
        {
            "query": rows[answers.query],
            "query_image": images[answers.query],
            "candidate": [str(rows[row]) if take else "" for row, take in zip(best, accepted, strict=True)],
            "candidate_image": [images[row] if take else "" for row, take in zip(best, accepted, strict=True)],
            "confidence": [f"{one:.6f}" for one in confidence],
        }
    )


def open_set(dataset: Dataset, answers: Answers, calibration: Calibration, positives: Numbers) -> OpenSet:
    """Return how the decisions on the queries agree with the vehicles: the confidences, and what is true.

    `positives` (Q,) counts the matches of each query in the gallery that are not junk. Of queries whose vehicle is not
    known nothing is true: they look absent, see `known_queries`.
    """
    vehicle = dataset.table["vehicle_id"].to_numpy(object)
    best = answers.best[:, 0]
    right = (best >= 0) & (vehicle[best] == vehicle[answers.query])
    return OpenSet(answers.confidence(calibration), np.asarray(right, bool), positives)


def known_queries(dataset: Dataset, answers: Answers) -> Mask:
    """Return of which queries the vehicle is known, (Q,): no rate counts the others."""
    vehicles = dataset.table["vehicle_id"].iloc[answers.query]
    return np.array([not is_unknown(vehicle) for vehicle in vehicles], bool)


def rows_of_csv(table: pd.DataFrame) -> Numbers:
    """Return the row of each image in the CSV that listed it, from 0: what `crop` noted, or its place in its split."""
    if _is_of_crop(table):
        return table["row"].to_numpy(np.int64)
    return np.asarray(table.groupby("split").cumcount(), np.int64)


def image_ids(table: pd.DataFrame) -> Texts:
    """Return what the user's CSV calls the image of each row: the frame that `crop` cut it from, or its name."""
    return table["frame" if _is_of_crop(table) else "name"].to_numpy(object)


def _is_of_crop(table: pd.DataFrame) -> bool:
    """Return whether `crop` wrote the table: columns of a user's own may be called row or frame too."""
    return {"frame", "file", "row", *BOX} <= {*table.columns}


def camera_names(table: pd.DataFrame) -> Texts:
    """Return what the user's CSV calls the camera of each row: its name, or its number; empty if it is unknown."""
    numbers = table["camera_id"]
    names = table["camera"] if "camera" in table else numbers.astype(str)
    return names.where(numbers >= 0, "").to_numpy(object)


def write_embeddings(path: Path, features: Features, dataset: Dataset, protocol: Protocol) -> tuple[int, int]:
    """Write the features of the first trial as .npy, float32: the queries, then the gallery, in the table's order.

    Returns the shape. Raises UserError if an image has no feature, or the file cannot be written.
    """
    trial = protocol.trials[0]
    matrix = features.of(dataset.table["name"].iloc[np.concatenate([trial.query, trial.gallery])])
    buffer = io.BytesIO()
    np.save(buffer, matrix, allow_pickle=False)
    write_atomically(path, buffer.getvalue())
    return matrix.shape[0], matrix.shape[1]
