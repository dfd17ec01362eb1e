"""Search with faiss, the `[search]` extra: flat, and for millions of images inverted lists, with or without products.

An index knows an image by its id, which stays when others are added or removed. Only bytes whose hash a gallery tells
are ever given to faiss, which trusts what it reads.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from data_cache.base.config import unknown
from data_cache.base.errors import UserError
from reid.retrieval.ranking import Matrix, Numbers
from vehicle_reid.gallery.search import Mask, Nearest, sample

KINDS = ("flat", "ivf", "ivfpq")
PRODUCT = 8  # channels in one byte of a product quantiser
WORDS = 256  # that a byte can tell apart
LEAST_TRAINED = 39  # images a list, as faiss advises
ROUNDS, POINTS = 10, 64  # of k-means, and images for each of its means: faiss's 25 and 256 take ten times as long
SHORTLIST = {"flat": 1, "ivf": 1, "ivfpq": 16}  # candidates for each match: products are coarse
SPARE = 8  # candidates beyond those asked for, which are put in order: more equal ones are chosen from arbitrarily
TARGET, TARGET_K = 0.95, 10  # recall that an index is set to
OUTGROWN = 4  # times the images that it was trained on


def require_faiss() -> Any:
    """Return the module faiss. Raises UserError where it is not installed."""
    try:
        import faiss
    except ImportError as error:
        raise UserError("faiss is not installed; pip install '.[search]', or --index exact") from error
    return faiss


def require_index(kind: str) -> None:
    """Raise UserError for an index that is not known, or that needs faiss where it is not installed."""
    if kind not in ("exact", *KINDS):
        raise unknown("index", kind, ("exact", *KINDS))
    if kind != "exact":
        require_faiss()


@dataclass(frozen=True)
class Settings:
    """What an index is: its kind, the lists that a search looks into, and how many images it was trained on."""

    kind: str
    probes: int
    trained_on: int


class FaissSearch:
    """A faiss index of a gallery's features (N, C), by the ids (N,) of its images, which rise."""

    def __init__(self, index: Any, features: Matrix, ids: Numbers, settings: Settings) -> None:
        """Keep an index that holds exactly these ids. Raises UserError where it does not fit."""
        if (index.d, index.ntotal) != (features.shape[1], len(ids)):
            raise UserError(f"index of {index.ntotal} x {index.d}, gallery of {len(ids)} x {features.shape[1]}")
        self.features, self.ids, self.settings = np.ascontiguousarray(features), ids, settings
        self._index = index

    @property
    def kind(self) -> str:
        """Which of `KINDS` it is."""
        return self.settings.kind

    @classmethod
    def build(cls, kind: str, features: Matrix, ids: Numbers) -> "FaissSearch":
        """Train an index on features (N, C), fill it, and set how many lists are searched: until recall is `TARGET`.

        Raises UserError where the features are too few for its kind.
        """
        faiss = require_faiss()
        count, channels = features.shape
        index = faiss.index_factory(channels, _recipe(kind, count, channels), faiss.METRIC_INNER_PRODUCT)
        _hasten(index, kind)
        index.train(features)
        index.add_with_ids(features, ids)
        return cls(index, features, ids, Settings(kind, 1, count))._tuned()

    @classmethod
    def read(cls, data: bytes, features: Matrix, ids: Numbers, settings: Settings) -> "FaissSearch":
        """Read what `written` gave, which the caller has verified. Raises UserError where it does not fit."""
        faiss = require_faiss()
        try:
            index = faiss.deserialize_index(np.frombuffer(data, np.uint8))
        except RuntimeError as error:
            raise UserError(f"not an index of this faiss ({str(error).splitlines()[-1].strip()})") from error
        return cls(index, features, ids, settings)

    def written(self) -> bytes:
        """Return the index as bytes; of the same index the same."""
        data: bytes = require_faiss().serialize_index(self._index).tobytes()
        return data

    def changed(self, features: Matrix, ids: Numbers) -> "FaissSearch":
        """Return the index of these images: what is new is added and what has gone removed, in place.

        It is trained anew when it has outgrown what it was trained on.
        """
        if len(ids) > OUTGROWN * self.settings.trained_on:
            return FaissSearch.build(self.kind, features, ids)
        gone, new = np.isin(self.ids, ids, invert=True), np.isin(ids, self.ids, invert=True)
        if gone.any():
            self._index.remove_ids(self.ids[gone])
        if new.any():
            self._index.add_with_ids(features[new], ids[new])
        return FaissSearch(self._index, features, ids, self.settings)

    def best(self, query: Matrix, k: int, allowed: Mask | None) -> Nearest:
        """Return the best k that it finds, see `search.Index`; unless it is flat it may miss some."""
        count = min(k * SHORTLIST[self.kind], len(self.ids))
        query = np.ascontiguousarray(query)
        _, found = self._index.search(query, count, params=self._parameters(allowed))
        rows = self._row_of[found]
        scores = self._measured(query, rows)
        if count > k + SPARE:
            kept = np.argpartition(scores, count - k - SPARE, axis=1)[:, count - k - SPARE :]
            rows, scores = np.take_along_axis(rows, kept, 1), np.take_along_axis(scores, kept, 1)
        order = np.lexsort((rows, -scores), axis=1)[:, :k]
        return Nearest(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))

    @cached_property
    def _row_of(self) -> Numbers:
        """The row of each id, -1 at the end: faiss answers -1 where it finds no more."""
        rows = np.full(int(self.ids.max(initial=-1)) + 2, -1, np.int64)
        rows[self.ids] = np.arange(len(self.ids))
        return rows

    def _measured(self, query: Matrix, rows: Numbers) -> Matrix:
        """Return the cosine of each query (Q, C) with its rows (Q, S), -inf where a row is -1."""
        faiss = require_faiss()
        scores = np.empty(rows.shape, np.float32)
        arrays = (faiss.swig_ptr(array) for array in (scores, query, self.features, rows))
        faiss.fvec_inner_products_by_idx(*arrays, query.shape[1], *rows.shape)
        return scores

    def _parameters(self, allowed: Mask | None) -> Any:
        """Return faiss's parameters of a search: which images, and in how many lists they are looked for."""
        faiss = require_faiss()
        options, share = {}, 1.0
        if allowed is not None:
            chosen = np.zeros(int(self.ids[-1]) + 1, dtype=bool)
            chosen[self.ids[allowed]] = True
            options["sel"] = faiss.IDSelectorBitmap(np.packbits(chosen, bitorder="little"))
            share = float(allowed.mean())
        if self.kind == "flat":
            return faiss.SearchParameters(**options)
        # where few images are allowed, more lists must be looked into to find as many
        probes = min(self._index.nlist, math.ceil(self.settings.probes / share))
        return faiss.SearchParametersIVF(nprobe=probes, **options)

    def _tuned(self) -> "FaissSearch":
        if self.kind == "flat":
            return self
        asked, tuned, probes = sample(self.features, TARGET_K), self, 1
        while True:
            settings = Settings(self.kind, probes, self.settings.trained_on)
            tuned = FaissSearch(self._index, self.features, self.ids, settings)
            if probes == self._index.nlist or asked.recall(tuned) >= TARGET:
                return tuned
            probes = min(2 * probes, self._index.nlist)


def _recipe(kind: str, count: int, channels: int) -> str:
    """Return the index in faiss's words: as many lists as the square root of the images, a byte for eight channels."""
    lists = max(1, min(round(math.sqrt(count)), count // LEAST_TRAINED))
    if kind == "flat":
        return "IDMap,Flat"
    if not count:
        raise UserError(f"index {kind}: it is trained on the gallery's images, and there are none; --index exact")
    if kind == "ivf":
        return f"IVF{lists},Flat"
    if count < WORDS or channels % PRODUCT:
        there = f"there are {count} of {channels}"
        raise UserError(f"index ivfpq: it needs {WORDS} images and channels by {PRODUCT}, {there}; take ivf or exact")
    return f"IVF{lists},PQ{channels // PRODUCT}"


def _hasten(index: Any, kind: str) -> None:
    """Shorten the training, which finds no less for it."""
    if kind == "flat":
        return
    for clusters in (index.cp, index.pq.cp) if kind == "ivfpq" else (index.cp,):
        clusters.niter, clusters.max_points_per_centroid = ROUNDS, POINTS
        clusters.min_points_per_centroid = 1  # below which it warns, 64 times for 64 products
    if kind == "ivfpq":
        index.do_polysemous_training = False  # for a filter that is not used, and most of the time
