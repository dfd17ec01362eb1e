"""Exact ranking in bounded memory: cosine scores in blocks, then the ranks of each query's matches by counting.

No list is sorted as a whole. The rank of a match is one more than the matches and wrong images above it, so counting
the wrong images with at least its score is enough. One comparison drops most of a gallery: what scores below the lowest
match.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_cache.base.errors import UserError
from data_cache.datasets.protocols import Cameras, Protocol
from reid.retrieval.metrics import PrecisionForm, QueryResults, Ranks

Matrix = NDArray[np.float32]
Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]

QUERIES_AT_ONCE = 256
SCORES_IN_MEMORY = 2**25  # 128 MiB of float32
# The scores of equal images differ by up to 4e-7 at 2,048 channels: the order of additions in a matrix product depends
# on the column. Scores closer than this (times the score if that is above 1) are ties, and ties count against the
# result.
TIE = 2.0**-20
SORT_COST = 32  # sorting a row takes as long as comparing it that many times with one score


@dataclass(frozen=True)
class Labels:
    """Vehicle and camera ids of N images, (N,) each; camera -1 is unknown."""

    vehicle: Numbers
    camera: Numbers

    def __post_init__(self) -> None:
        """Raise ValueError if the arrays differ in length."""
        if self.vehicle.ndim != 1 or self.vehicle.shape != self.camera.shape:
            raise ValueError(f"labels of shape {self.vehicle.shape} and {self.camera.shape}, expected (N,) and (N,)")

    def __len__(self) -> int:
        """Return N."""
        return len(self.vehicle)

    @classmethod
    def of_table(cls, table: pd.DataFrame) -> "Labels":
        """Return the labels of the rows of a data set's table, its vehicle ids as numbers."""
        return cls(pd.factorize(table["vehicle_id"])[0].astype(np.int64), table["camera_id"].to_numpy(np.int64))

    def take(self, rows: Numbers) -> "Labels":
        """Return the labels of the images `rows` (M,)."""
        return Labels(self.vehicle[rows], self.camera[rows])


@dataclass(frozen=True)
class LabelledTrial:
    """The labels and rules of one retrieval test: Q queries, G gallery images.

    With `same_camera_is_junk`, gallery images of the query's vehicle by the query's camera are left out. With `tracks`
    (T,) tracks are ranked: track t is the images tracks[t] to tracks[t + 1] - 1, with the score of its best image.
    `cameras` as in `Protocol`.
    """

    query: Labels
    gallery: Labels
    same_camera_is_junk: bool
    tracks: Numbers | None = None
    cameras: Cameras = "any"

    def __post_init__(self) -> None:
        """Raise ValueError if the tracks do not divide the gallery."""
        tracks, count = self.tracks, len(self.gallery)
        if tracks is not None and (not len(tracks) or tracks[0] != 0 or (np.diff(tracks, append=count) <= 0).any()):
            raise ValueError(f"tracks must start at row 0 and increase, all below {count}; got {tracks}")

    @property
    def ranked(self) -> Labels:
        """The labels of what is ranked: the gallery images, or the tracks, by their first images."""
        return self.gallery if self.tracks is None else self.gallery.take(self.tracks)

    def junk(self, query: Numbers | int, ranked: Numbers) -> Mask:
        """Return which pairs of a query and a ranked image or track of its vehicle are junk, (E,)."""
        camera = self.query.camera[query]
        same = np.asarray((self.ranked.camera[ranked] == camera) & (camera >= 0))
        if self.cameras == "own":
            return ~same
        return same & (self.same_camera_is_junk or self.cameras == "other")

    def left_out(self, queries: Numbers) -> Mask:
        """Return which ranked images or tracks are by no camera that counts for each query, (B, R)."""
        camera = self.query.camera[queries, None]
        same = (self.ranked.camera[None] == camera) & (camera >= 0)
        return np.asarray(~same if self.cameras == "own" else same & (self.cameras == "other"))


def labelled_trials(table: pd.DataFrame, protocol: Protocol) -> list[LabelledTrial]:
    """Return the trials of a protocol with the labels of their images, from the data set's table."""
    labels = Labels.of_table(table)
    return [
        LabelledTrial(
            labels.take(trial.query),
            labels.take(trial.gallery),
            protocol.same_camera_is_junk,
            trial.tracks,
            protocol.cameras,
        )
        for trial in protocol.trials
    ]


def cosine_scores(query: Matrix, gallery: Matrix, device: str = "cpu") -> Iterator[Tensor]:
    """Yield the cosines of the queries (Q, C) with the gallery (G, C) in blocks (B, G) on the device.

    All rows have length 1. Memory beyond the inputs is one block. Raises UserError for a feature that is not finite.
    """
    require_finite(query, gallery)
    columns = torch.from_numpy(gallery).to(device).T
    chunk = queries_at_once(len(gallery))
    for first in range(0, len(query), chunk):
        rows = torch.from_numpy(query[first : first + chunk]).to(device)
        with full_precision():
            block = rows @ columns
        yield block


def rank_queries(scores: Iterable[Tensor], trial: LabelledTrial, form: PrecisionForm = "step") -> QueryResults:
    """Rank the gallery for every query, and return the results in the order of the queries.

    `scores` are blocks (B, G) on any device, larger for more similar images, Q rows in all; they are overwritten. Ties
    count against the result. On a GPU only the scores that decide a rank are copied to the host.
    """
    ranked = trial.ranked
    order = np.argsort(ranked.vehicle, kind="stable")
    lists: list[Ranks] = []
    for block in scores:
        if block.shape[1] != len(trial.gallery):
            raise ValueError(f"ranking: {block.shape[1]} scores per query, labels of {len(trial.gallery)} images")
        numbers = np.arange(len(lists), len(lists) + len(block))
        rows, columns = _same_vehicle(trial.query.vehicle[numbers], ranked.vehicle, order)
        junk = trial.junk(numbers[rows], columns)
        block = _best_of_tracks(block, trial.tracks)
        if trial.cameras != "any":
            block[torch.from_numpy(trial.left_out(numbers)).to(block.device)] = -torch.inf
        lists += block_ranks(block, rows, columns, junk)
    if len(lists) != len(trial.query):
        raise ValueError(f"ranking: scores of {len(lists)} queries, labels of {len(trial.query)}")
    return QueryResults.from_ranks(lists, form)


def block_ranks(scores: Tensor, rows: Numbers, columns: Numbers, junk: Mask) -> Iterator[Ranks]:
    """Yield, for each row of scores (B, G) on any device, the ranks of its matches; the scores are overwritten.

    rows and columns (E,), sorted by row, are the pairs that show one vehicle; those in `junk` (E,) count neither as a
    match nor as wrong.
    """
    same = torch.from_numpy(rows), torch.from_numpy(columns)
    matches = _by_row(scores[same].cpu().numpy()[~junk], np.bincount(rows[~junk], minlength=len(scores)))
    scores[same] = -torch.inf
    wrong = scores.numpy() if scores.device.type == "cpu" else rivals(scores, matches)
    for row_matches, row_wrong in zip(matches, wrong, strict=True):
        yield match_ranks(row_matches, row_wrong)


def match_ranks(matches: Matrix, wrong: Matrix) -> Ranks:
    """Return the ranks, ascending, of matches with scores (P,) among wrong images with scores (W,); ties rank last.

    >>> match_ranks(np.float32([0.9, 0.5]), np.float32([0.7, 0.9, 0.1]))  # the tie at 0.9 goes to the wrong image
    array([2, 4])
    """
    if not len(matches):
        return np.zeros(0, dtype=np.int64)
    descending = _just_below(np.sort(matches)[::-1])
    near = wrong >= descending[-1]
    count = np.count_nonzero(near)
    if len(descending) <= 2 + SORT_COST * count / max(1, len(wrong)):
        above = np.array([*(np.count_nonzero(wrong >= score) for score in descending[:-1]), count])
    else:
        above = count - np.searchsorted(np.sort(wrong[np.flatnonzero(near)]), descending, side="left")
    return np.asarray(above + np.arange(1, len(matches) + 1), dtype=np.int64)


def rivals(scores: Tensor, matches: Sequence[Matrix]) -> list[Matrix]:
    """Return, for each row of scores (B, G), the scores that reach the row's lowest match: only these affect a rank.

    The comparison runs on the device: copying a whole block from a GPU takes longer than computing it.
    """
    lowest = np.array([_just_below(row).min(initial=np.inf) for row in matches], dtype=np.float32)
    near = scores >= torch.from_numpy(lowest).to(scores.device)[:, None]
    return _by_row(scores[near].cpu().numpy(), near.sum(dim=1).cpu().numpy())


def queries_at_once(gallery: int) -> int:
    """Return how many queries to score in one product with a gallery of that size: 256, or what memory allows."""
    return max(1, min(QUERIES_AT_ONCE, SCORES_IN_MEMORY // max(1, gallery)))


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply float32 matrices in float32, never in TF32 or bfloat16, whatever this process has set elsewhere."""
    settings = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [setting.fp32_precision for setting in settings]
    try:
        for setting in settings:
            setting.fp32_precision = "ieee"
        yield
    finally:
        for setting, precision in zip(settings, before, strict=True):
            setting.fp32_precision = precision


def require_finite(query: Matrix, gallery: Matrix) -> None:
    """Raise UserError, naming the first row, if a feature is not finite."""
    for name, matrix in (("query", query), ("gallery", gallery)):
        if not np.isfinite(np.vdot(matrix, matrix)):  # three times as fast as checking each number
            raise UserError(f"ranking: {name} row {int((~np.isfinite(matrix)).any(axis=1).argmax())} is not finite")


def _best_of_tracks(block: Tensor, tracks: Numbers | None) -> Tensor:
    """Return the scores of tracks (B, T) from those of their images (B, G); on the host, as VeRi-776 is small."""
    if tracks is None:
        return block
    return torch.from_numpy(np.maximum.reduceat(block.cpu().numpy(), tracks, axis=1))


def _same_vehicle(query: Numbers, ranked: Numbers, order: Numbers) -> tuple[Numbers, Numbers]:
    """Return the pairs, rows of `query` (E,) and of `ranked` (E,), of one vehicle, by row; `order` sorts `ranked`."""
    first, last = (np.searchsorted(ranked, query, side, sorter=order) for side in ("left", "right"))
    before = np.cumsum(last - first) - (last - first)
    rows = np.repeat(np.arange(len(query)), last - first)
    return rows, order[np.arange(len(rows)) + (first - before)[rows]]


def _by_row(values: Matrix, counts: Numbers) -> list[Matrix]:
    ends = np.cumsum(counts)
    return [values[start:end] for start, end in zip(ends - counts, ends, strict=True)]


def _just_below(scores: Matrix) -> Matrix:
    """Return the lowest score that ties with each of `scores`."""
    return np.asarray(scores - np.float32(TIE) * np.maximum(np.abs(scores), 1), dtype=np.float32)
