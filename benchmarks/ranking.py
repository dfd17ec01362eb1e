"""Ranking at the sizes of the four benchmarks: against the matrix product alone, a full argsort, other roundings."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measure import Call, Row, best_seconds, in_new_process, own_peak_bytes
from reid.retrieval.ranking import (
    TIE,
    LabelledTrial,
    Labels,
    Matrix,
    cosine_scores,
    full_precision,
    queries_at_once,
    rank_queries,
)

ROUNDS, CHANNELS = 2, 512
ARGSORTED, ROUNDED, RESIDENT = 500, 500, 512  # queries of a test in these rows
Precisions = NDArray[np.float64]  # average precision of each query


@dataclass(frozen=True)
class Test:
    """The sizes of a benchmark's test; only `timed` queries are ranked, because the largest test takes a minute."""

    name: str
    queries: int
    gallery: int
    vehicles: int
    cameras: int
    timed: int


VERI = Test("VeRi-776", 1_678, 11_579, 200, 20, 1_678)
LARGE = Test("VERI-Wild large", 10_000, 128_517, 10_000, 174, 512)
TESTS = (
    VERI,
    Test("VehicleID large", 17_377, 2_400, 2_400, 0, 17_377),
    Test("VRIC", 2_811, 2_811, 2_811, 60, 2_811),
    Test("VERI-Wild small", 3_000, 38_861, 3_000, 174, 1_024),
    Test("VERI-Wild medium", 5_000, 64_389, 5_000, 174, 768),
    LARGE,
)


@dataclass(frozen=True)
class Sets:
    """The features of a test's queries and gallery, and their labels."""

    query: Matrix
    gallery: Matrix
    trial: LabelledTrial

    def head(self, queries: int) -> "Sets":
        """Return the first queries with the whole gallery."""
        labels = self.trial.query.take(np.arange(queries))
        return Sets(self.query[:queries], self.gallery, replace(self.trial, query=labels))


def random_sets(test: Test) -> Sets:
    """Return a test whose vehicles are clusters of varying width, so that some matches have high ranks."""
    random = np.random.default_rng(0)
    centres = _unit(random.standard_normal((test.vehicles, CHANNELS), dtype=np.float32))

    def draw(count: int) -> tuple[Matrix, Labels]:
        vehicle = np.arange(count) % test.vehicles
        features = centres[vehicle]
        for rows in np.array_split(np.arange(count), 1 + count // 4096):
            noise = _unit(random.standard_normal((len(rows), CHANNELS), dtype=np.float32))
            features[rows] += noise * 1.7 * np.exp(0.5 * random.standard_normal((len(rows), 1), dtype=np.float32))
            features[rows] = _unit(features[rows])
        camera = random.integers(0, test.cameras, count) if test.cameras else np.full(count, -1)
        return features, Labels(vehicle, camera)

    (query, query_labels), (gallery, gallery_labels) = draw(test.queries), draw(test.gallery)
    return Sets(query, gallery, LabelledTrial(query_labels, gallery_labels, same_camera_is_junk=True))


def _unit(matrix: Matrix) -> Matrix:
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))


def ranking_rows(device: str) -> list[Row]:
    """Return the table's rows."""
    rows = [_product_row(test, "cpu") for test in TESTS]
    if device != "cpu":
        rows.append(_product_row(LARGE, device))
    return [*rows, _resident_row(), _argsort_row(), *_rounding_rows()]


def _product_row(test: Test, device: str) -> Row:
    """Compare ranking with the same matrix products alone."""
    sets = random_sets(test).head(test.timed)
    precisions: list[Precisions] = []
    calls: dict[str, Call] = {
        "ours": lambda: precisions.append(ranked(sets, device)),
        "product": partial(products, sets, device),
    }
    seconds = best_seconds(calls, ROUNDS)
    queries = f"{test.queries:,}" if test.timed == test.queries else f"{test.timed:,} of {test.queries:,}"
    return Row(
        f"ranking {test.name}, {queries} x {test.gallery:,} x {CHANNELS}, {device}",
        f"{seconds['ours']:.2f} s, mAP {precisions[0].mean():.2f}",
        f"the matrix product alone: {seconds['product']:.2f} s",
        f"{seconds['ours'] / seconds['product']:.2f} x",
        "<= 1.5 x" if test is LARGE else "",
    )


def _resident_row() -> Row:
    peak = in_new_process(resident_bytes, LARGE, RESIDENT)
    what = f"its memory: a process with all {LARGE.queries + LARGE.gallery:,} features, Python and torch"
    return Row(what, f"{peak / 2**30:.2f} GiB", target="<= 3 GB")


def _argsort_row() -> Row:
    """Rank given scores, as public evaluators do; the product takes most of the time and is the same for both."""
    sets = random_sets(LARGE).head(ARGSORTED)
    scores = (torch.from_numpy(sets.query) @ torch.from_numpy(sets.gallery).T).numpy()
    ours, argsort = partial(ranked_scores, sets, scores), partial(argsorted, sets, scores)
    np.testing.assert_allclose(ours(), argsort(), rtol=0, atol=1e-9)  # or the comparison means nothing
    seconds = best_seconds({"ours": ours, "argsort": argsort}, ROUNDS)
    return Row(
        f"{ARGSORTED} queries of {LARGE.name}, from given scores",
        f"{seconds['ours']:.2f} s",
        f"a full sort of every list: {seconds['argsort']:.2f} s",
        f"{seconds['argsort'] / seconds['ours']:.1f} x faster",
        ">= 4 x",
    )


def _rounding_rows() -> list[Row]:
    """Show what TF32 and bfloat16 products would change, by rounding the features."""
    sets = random_sets(VERI).head(ROUNDED)
    precisions, scores = ranked(sets), sets.query @ sets.gallery.T
    rows = []
    for name, rounded in (("TF32", to_tf32), ("bfloat16", to_bfloat16)):
        other = Sets(rounded(sets.query), rounded(sets.gallery), sets.trial)
        error = np.abs(other.query @ other.gallery.T - scores).max()
        change = ranked(other) - precisions
        what = f"features rounded to {name}, {ROUNDED} queries of {VERI.name}"
        changes = f"mAP changes by {abs(change.mean()):.0e}, one AP by {np.abs(change).max():.0e}"
        rows.append(Row(what, f"cosines off by {error:.0e}", changes))
    return rows


def ranked(sets: Sets, device: str = "cpu") -> Precisions:
    """Return each query's average precision, as `evaluate` computes it."""
    return rank_queries(cosine_scores(sets.query, sets.gallery, device), sets.trial).average_precision


def ranked_scores(sets: Sets, scores: Matrix) -> Precisions:
    """Return each query's average precision from given scores (Q, G)."""
    blocks = (torch.from_numpy(row)[None] for row in scores.copy())  # blocks are overwritten
    return rank_queries(blocks, sets.trial).average_precision


def products(sets: Sets, device: str) -> None:
    """Compute the scores in the same blocks, and drop them."""
    columns, chunk = torch.from_numpy(sets.gallery).to(device).T, queries_at_once(len(sets.gallery))
    with full_precision():
        for first in range(0, len(sets.query), chunk):
            torch.from_numpy(sets.query[first : first + chunk]).to(device) @ columns


def argsorted(sets: Sets, scores: Matrix) -> Precisions:
    """Return each query's average precision by sorting its whole list, as evaluators commonly do."""
    query, gallery = sets.trial.query, sets.trial.gallery
    scores = scores.astype(np.float64)
    match = query.vehicle[:, None] == gallery.vehicle
    scores[match] -= TIE * (1 + 1e-6)  # ties count against the result
    order = np.argsort(-scores, axis=1)
    match = query.vehicle[:, None] == gallery.vehicle[order]
    junk = match & (query.camera[:, None] == gallery.camera[order])
    precisions = []
    for hits, left_out in zip(match, junk, strict=True):
        kept = hits[~left_out]
        precision = np.cumsum(kept) / np.arange(1, len(kept) + 1)
        precisions.append((precision * kept).sum() / max(1, kept.sum()))
    return np.array(precisions)


def resident_bytes(test: Test, queries: int) -> int:
    """Rank the first queries of a test and return the peak memory of this process."""
    ranked(random_sets(test).head(queries))
    return own_peak_bytes()


def to_tf32(matrix: Matrix) -> Matrix:
    """Round to TF32, which keeps 10 of the 23 mantissa bits."""
    return ((matrix.view(np.uint32) + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(np.float32)


def to_bfloat16(matrix: Matrix) -> Matrix:
    """Round to bfloat16, which keeps 7 of the 23 mantissa bits."""
    return torch.from_numpy(matrix).bfloat16().float().numpy()
