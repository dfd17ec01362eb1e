"""Exact ranking in bounded memory: chunks of queries, one matrix product each, ranks by counting and no full sort."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_cache.base.errors import UserError
from reid.retrieval.metrics import PrecisionForm, Ranks, average_precision, inverse_negative_penalty
from reid.retrieval.rank_counting import block_ranks

Matrix = NDArray[np.float32]
Numbers = NDArray[np.int64]

SCORES_IN_MEMORY = 2**25  # 128 MiB of float32


@dataclass(frozen=True)
class Labels:
    """Whom N images show and who took them: vehicle and camera as numbers, (N,) each; camera -1 is not known."""

    vehicle: Numbers
    camera: Numbers

    def __post_init__(self) -> None:
        """Refuse arrays of different lengths. Raises ValueError."""
        if self.vehicle.ndim != 1 or self.vehicle.shape != self.camera.shape:
            raise ValueError(f"labels of shape {self.vehicle.shape} and {self.camera.shape}, expected (N,) and (N,)")

    def __len__(self) -> int:
        """Return N."""
        return len(self.vehicle)

    def take(self, rows: Numbers) -> "Labels":
        """Return the labels of the images `rows` (M,)."""
        return Labels(self.vehicle[rows], self.camera[rows])

    def of_tracks(self, tracks: Numbers) -> "Labels":
        """Return the labels of tracks, told by their first rows (T,). Raises ValueError where these do not fit."""
        if not len(tracks) or tracks[0] != 0 or (np.diff(tracks, append=len(self)) <= 0).any():
            raise ValueError(f"tracks begin at row 0 and grow, all below {len(self)}; these are {tracks}")
        return self.take(tracks)


@dataclass(frozen=True)
class QueryResults:
    """What each of Q queries got; all arrays (Q,).

    first_hit_rank, from 1; average_precision; inverse_negative_penalty; positives, the number of valid matches in the
    gallery. A query without a valid match has 0 everywhere, and no mean may count it silently.
    """

    first_hit_rank: Numbers
    average_precision: NDArray[np.float64]
    inverse_negative_penalty: NDArray[np.float64]
    positives: Numbers

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Which queries have a match, (Q,)."""
        return self.positives > 0


def rank_queries(
    query: Matrix,
    gallery: Matrix,
    query_labels: Labels,
    gallery_labels: Labels,
    *,
    same_camera_is_junk: bool,
    chunk: int,
    form: PrecisionForm = "step",
    device: str = "cpu",
    tracks: Numbers | None = None,
) -> QueryResults:
    """Rank the gallery (G, C) for every query (Q, C), all rows of length 1, by cosine: `rank_rows` of `score_rows`.

    Memory beyond the inputs is `chunk` x G scores. On a GPU only the scores that decide a rank come to the host. Raises
    UserError for a feature that is not finite.
    """
    blocks = _score_blocks(query, gallery, chunk, device)
    return _rank_blocks(blocks, query_labels, gallery_labels, same_camera_is_junk, form, tracks)


def rank_rows(
    rows: Iterable[tuple[int, Matrix]],
    query: Labels,
    gallery: Labels,
    *,
    same_camera_is_junk: bool,
    form: PrecisionForm = "step",
    tracks: Numbers | None = None,
) -> QueryResults:
    """Rank the gallery by any scores: `rows` tells every query's number and its scores (G,), larger for the more alike.

    Junk (same vehicle, same known camera) is left out; ties count against the result. With `tracks` (T,) the tracks are
    ranked: track t is the images tracks[t] to tracks[t + 1] - 1, has the score of its best and the labels of its first.
    A row is overwritten. Raises UserError for a score that is not finite.
    """
    blocks = ((number, torch.from_numpy(_finite(number, row))[None]) for number, row in rows)
    return _rank_blocks(blocks, query, gallery, same_camera_is_junk, form, tracks)


def score_rows(query: Matrix, gallery: Matrix, *, chunk: int, device: str = "cpu") -> Iterator[tuple[int, Matrix]]:
    """Yield each query's number and its cosines with the gallery, (G,), yours to overwrite; see `rank_queries`."""
    for first, block in _score_blocks(query, gallery, chunk, device):
        yield from enumerate(block.cpu().numpy(), first)


def queries_at_once(gallery: int) -> int:
    """Return how many queries to score in one product with so many gallery images: 256, or what memory allows."""
    return max(1, min(256, SCORES_IN_MEMORY // max(1, gallery)))


@contextmanager
def full_precision() -> Iterator[None]:
    """Multiply float32 matrices in float32, never in TF32 or bfloat16, whatever is chosen elsewhere in this process."""
    settings = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [setting.fp32_precision for setting in settings]
    try:
        for setting in settings:
            setting.fp32_precision = "ieee"
        yield
    finally:
        for setting, precision in zip(settings, before, strict=True):
            setting.fp32_precision = precision


def is_junk(camera: Numbers | np.int64, cameras: Numbers) -> NDArray[np.bool_]:
    """Return which of a vehicle's `cameras` are the query's; one that is not known (-1) is never the same."""
    return np.asarray((cameras == camera) & (camera >= 0))


def _score_blocks(query: Matrix, gallery: Matrix, chunk: int, device: str) -> Iterator[tuple[int, Tensor]]:
    """Yield the number of each chunk's first query, and the chunk's scores (B, G) on the device."""
    require_finite(query, gallery)
    columns = torch.from_numpy(gallery).to(device).T
    for first in range(0, len(query), chunk):
        rows = torch.from_numpy(query[first : first + chunk]).to(device)
        with full_precision():
            block = rows @ columns
        yield first, block


def require_finite(query: Matrix, gallery: Matrix) -> None:
    """Raise UserError, naming the first row, where a feature is not finite."""
    for name, matrix in (("query", query), ("gallery", gallery)):
        if not np.isfinite(np.vdot(matrix, matrix)):  # three times as fast as asking each number
            raise UserError(f"ranking: {name} row {int((~np.isfinite(matrix)).any(axis=1).argmax())} is not finite")


def _finite(number: int, row: Matrix) -> Matrix:
    if not np.isfinite(row).all():
        raise UserError(f"ranking: a score of query {number} is not finite")
    return row


def _rank_blocks(
    blocks: Iterable[tuple[int, Tensor]],
    query: Labels,
    gallery: Labels,
    same_camera_is_junk: bool,
    form: PrecisionForm,
    tracks: Numbers | None,
) -> QueryResults:
    """Rank by blocks of scores (B, G), each with the number of its first query; see `rank_rows`."""
    units = gallery if tracks is None else gallery.of_tracks(tracks)
    order = np.argsort(units.vehicle, kind="stable")
    lists: dict[int, Ranks] = {}
    for first, block in blocks:
        if block.shape[1] != len(gallery):
            raise ValueError(f"ranking: {block.shape[1]} scores of query {first}, labels of {len(gallery)} images")
        numbers = np.arange(first, first + len(block))
        rows, columns = _same_vehicle(query.vehicle[numbers], units.vehicle, order)
        junk = is_junk(query.camera[numbers[rows]], units.camera[columns]) & same_camera_is_junk
        scores = block if tracks is None else _best_of_tracks(block, tracks)
        lists.update(zip(numbers.tolist(), block_ranks(scores, rows, columns, junk), strict=True))
    if len(lists) != len(query):
        raise ValueError(f"ranking: scores of {len(lists)} queries, labels of {len(query)}")
    return _results([lists[number] for number in range(len(query))], form)


def _best_of_tracks(block: Tensor, tracks: Numbers) -> Tensor:
    """Return the scores of tracks (B, T) from those of their images (B, G); on the host, for VeRi-776 is small."""
    return torch.from_numpy(np.maximum.reduceat(block.cpu().numpy(), tracks, axis=1))


def _same_vehicle(asked: Numbers, shown: Numbers, order: Numbers) -> tuple[Numbers, Numbers]:
    """Return the pairs (E,), (E,) of one vehicle, by the place in `asked`; `order` sorts `shown`."""
    first, last = (np.searchsorted(shown, asked, side, sorter=order) for side in ("left", "right"))
    before = np.cumsum(last - first) - (last - first)
    rows = np.repeat(np.arange(len(asked)), last - first)
    return rows, order[np.arange(len(rows)) + (first - before)[rows]]


def _results(lists: list[Ranks], form: PrecisionForm) -> QueryResults:
    return QueryResults(
        np.array([ranks[0] if len(ranks) else 0 for ranks in lists], dtype=np.int64),
        np.array([average_precision(ranks, form) if len(ranks) else 0.0 for ranks in lists]),
        np.array([inverse_negative_penalty(ranks) if len(ranks) else 0.0 for ranks in lists]),
        np.array([len(ranks) for ranks in lists], dtype=np.int64),
    )
