"""Search with faiss (extra `[search]`): flat, or for millions of images inverted lists, with or without compression.

An index identifies an image by its id, which never changes. faiss trusts the bytes it reads, so the caller must have
verified their hash.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from data_cache.base.config import unknown
from data_cache.base.errors import UserError
from reid.retrieval.ranking import Matrix, Numbers
from vehicle_reid.gallery.search import Mask, Matches, recall_sample

KINDS = ("flat", "ivf", "ivfpq")
CHANNELS_PER_CODE = 8  # channels that a product quantiser encodes in one byte
CODES = 256  # values of a byte; training needs as many images
IMAGES_PER_LIST = 39  # at least, as faiss advises
ROUNDS, POINTS = 10, 64  # k-means rounds and images per mean: faiss's defaults of 25 and 256 take ten times as long
CANDIDATES = {"flat": 1, "ivf": 1, "ivfpq": 16}  # per match; compressed scores are coarse
SPARE = 8  # candidates beyond k that are sorted exactly; among more equal ones the choice is arbitrary
TARGET, TARGET_K = 0.95, 10  # the recall that an index is tuned to, and its k
RETRAIN_FACTOR = 4  # train again when the gallery is this many times as large as in training


def require_faiss() -> Any:
    """Return the module faiss. Raises UserError if it is not installed."""
    try:
        import faiss
    except ImportError as error:
        raise UserError("faiss is not installed; pip install '.[search]', or --index exact") from error
    return faiss


def require_index(kind: str) -> None:
    """Raise UserError if `kind` is unknown, or needs faiss and that is not installed."""
    if kind not in ("exact", *KINDS):
        raise unknown("index", kind, ("exact", *KINDS))
    if kind != "exact":
        require_faiss()


@dataclass(frozen=True)
class Settings:
    """An index's kind, the number of lists that a search probes, and the number of images it was trained on."""

    kind: str
    probes: int
    trained_on: int


class FaissSearch:
    """A faiss index over the features of a gallery (N, C), with the ids (N,) of its images, ascending."""

    def __init__(self, index: Any, features: Matrix, ids: Numbers, settings: Settings) -> None:
        """Wrap an index that contains exactly these ids. Raises UserError if its size does not fit."""
        if (index.d, index.ntotal) != (features.shape[1], len(ids)):
            raise UserError(f"index of {index.ntotal} x {index.d}, gallery of {len(ids)} x {features.shape[1]}")
        self.features, self.ids, self.settings = np.ascontiguousarray(features), ids, settings
        self._index = index

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return self.settings.kind

    @classmethod
    def build(cls, kind: str, features: Matrix, ids: Numbers) -> "FaissSearch":
        """Train and fill an index of features (N, C), then probe as many lists as reach a recall of `TARGET`.

        Raises UserError if there are too few features for the kind.
        """
        faiss = require_faiss()
        count, channels = features.shape
        index = faiss.index_factory(channels, _factory_string(kind, count, channels), faiss.METRIC_INNER_PRODUCT)
        _shorten_training(index, kind)
        index.train(features)
        index.add_with_ids(features, ids)
        return cls(index, features, ids, Settings(kind, 1, count))._tuned()

    @classmethod
    def from_bytes(cls, data: bytes, features: Matrix, ids: Numbers, settings: Settings) -> "FaissSearch":
        """Return the index of `to_bytes`, whose hash the caller has verified. Raises UserError if it does not fit."""
        faiss = require_faiss()
        try:
            index = faiss.deserialize_index(np.frombuffer(data, np.uint8))
        except RuntimeError as error:
            raise UserError(f"not an index of this faiss ({str(error).splitlines()[-1].strip()})") from error
        return cls(index, features, ids, settings)

    def to_bytes(self) -> bytes:
        """Return the index as bytes; equal indices give equal bytes."""
        data: bytes = require_faiss().serialize_index(self._index).tobytes()
        return data

    def updated(self, features: Matrix, ids: Numbers) -> "FaissSearch":
        """Return the index of these images: new ones are added and missing ones removed, in place.

        An index that has become too small for the gallery is trained again.
        """
        if len(ids) > RETRAIN_FACTOR * self.settings.trained_on:
            return FaissSearch.build(self.kind, features, ids)
        removed, added = np.isin(self.ids, ids, invert=True), np.isin(ids, self.ids, invert=True)
        if removed.any():
            self._index.remove_ids(self.ids[removed])
        if added.any():
            self._index.add_with_ids(features[added], ids[added])
        return FaissSearch(self._index, features, ids, self.settings)

    def best(self, query: Matrix, k: int, allowed: Mask | None) -> Matches:
        """Return the best k that the index finds, see `search.Index`; only a flat one is sure to find all."""
        count = min(k * CANDIDATES[self.kind], len(self.ids))
        query = np.ascontiguousarray(query)
        _, ids = self._index.search(query, count, params=self._search_parameters(allowed))
        rows = self._row_of[ids]
        scores = self._cosines(query, rows)
        if count > k + SPARE:
            kept = np.argpartition(scores, count - k - SPARE, axis=1)[:, count - k - SPARE :]
            rows, scores = np.take_along_axis(rows, kept, 1), np.take_along_axis(scores, kept, 1)
        order = np.lexsort((rows, -scores), axis=1)[:, :k]
        return Matches(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))

    @cached_property
    def _row_of(self) -> Numbers:
        """The row of each id; the last element is -1, because faiss returns id -1 for missing matches."""
        rows = np.full(int(self.ids.max(initial=-1)) + 2, -1, np.int64)
        rows[self.ids] = np.arange(len(self.ids))
        return rows

    def _cosines(self, query: Matrix, rows: Numbers) -> Matrix:
        """Return the cosine of each query (Q, C) with its rows (Q, S), -inf for row -1."""
        faiss = require_faiss()
        scores = np.empty(rows.shape, np.float32)
        arrays = (faiss.swig_ptr(array) for array in (scores, query, self.features, rows))
        faiss.fvec_inner_products_by_idx(*arrays, query.shape[1], *rows.shape)
        return scores

    def _search_parameters(self, allowed: Mask | None) -> Any:
        """Return faiss's search parameters: the allowed images, and the number of lists to probe."""
        faiss = require_faiss()
        options, share = {}, 1.0
        if allowed is not None:
            bits = np.zeros(int(self.ids[-1]) + 1, dtype=bool)
            bits[self.ids[allowed]] = True
            options["sel"] = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))
            share = float(allowed.mean())
        if self.kind == "flat":
            return faiss.SearchParameters(**options)
        # the fewer images are allowed, the more lists must be probed to find as many
        probes = min(self._index.nlist, math.ceil(self.settings.probes / share))
        return faiss.SearchParametersIVF(nprobe=probes, **options)

    def _tuned(self) -> "FaissSearch":
        """Return the index with the fewest probes, doubling from 1, that reach the recall `TARGET`."""
        if self.kind == "flat":
            return self
        sample, probes = recall_sample(self.features, TARGET_K), 1
        while True:
            settings = Settings(self.kind, probes, self.settings.trained_on)
            tuned = FaissSearch(self._index, self.features, self.ids, settings)
            if probes == self._index.nlist or sample.recall(tuned) >= TARGET:
                return tuned
            probes = min(2 * probes, self._index.nlist)


def _factory_string(kind: str, count: int, channels: int) -> str:
    """Return the string for faiss.index_factory: about sqrt(count) lists, and with `ivfpq` one byte per 8 channels."""
    lists = max(1, min(round(math.sqrt(count)), count // IMAGES_PER_LIST))
    if kind == "flat":
        return "IDMap,Flat"
    if not count:
        raise UserError(f"index {kind}: training needs images and the gallery is empty; use --index exact")
    if kind == "ivf":
        return f"IVF{lists},Flat"
    if count < CODES or channels % CHANNELS_PER_CODE:
        raise UserError(
            f"index ivfpq: needs at least {CODES} images and a multiple of {CHANNELS_PER_CODE} channels, "
            f"the gallery has {count} of {channels}; use ivf or exact"
        )
    return f"IVF{lists},PQ{channels // CHANNELS_PER_CODE}"


def _shorten_training(index: Any, kind: str) -> None:
    """Shorten k-means; recall does not suffer."""
    if kind == "flat":
        return
    for clusters in (index.cp, index.pq.cp) if kind == "ivfpq" else (index.cp,):
        clusters.niter, clusters.max_points_per_centroid = ROUNDS, POINTS
        clusters.min_points_per_centroid = 1  # below it faiss prints a warning for each quantiser
    if kind == "ivfpq":
        index.do_polysemous_training = False  # takes most of the time, for a filter that is not used
