"""The features of a gallery in memory, for exact search: brought up to date when the store has changed."""

import numpy as np

from reid.retrieval.ranking import Numbers
from vehicle_reid.gallery.filters import EVERY, Filter
from vehicle_reid.gallery.search import ExactSearch, Mask, Matches
from vehicle_reid.gallery.store import Best, Store


class Vectors:
    """The ids (N,) and features (N, C) of a store's images, ascending by id, as of the version that was read last."""

    def __init__(self, store: Store, device: str) -> None:
        """Read nothing yet."""
        self._store, self._device = store, device
        self._version = -1
        self.ids: Numbers = np.zeros(0, np.int64)
        self.search = ExactSearch(np.zeros((0, store.header.channels), np.float32), device)

    def update(self) -> None:
        """Read what the store has added since the last time, and drop what it has removed."""
        if self._store.version == self._version:
            return
        here = self._store.read(["id"])["id"]
        kept = np.isin(self.ids, here)
        last = int(self.ids[-1]) if len(self.ids) else -1
        new = self._store.read(["id", "feature"], Filter(after=last))
        self.search = ExactSearch(np.concatenate([self.search.features[kept], new["feature"]]), self._device)
        self.ids = np.concatenate([self.ids[kept], new["id"]])
        self._version = self._store.version

    def allowed(self, where: Filter) -> Mask | None:
        """Return which images meet the conditions, (N,), None for all."""
        return None if where == EVERY else np.isin(self.ids, self._store.read(["id"], where)["id"])

    def best(self, found: Matches) -> Best:
        """Return matches by row, -1 for none, as matches by id."""
        return Best(np.append(self.ids, -1)[found.rows], found.scores)  # the row -1 is the last one: no image
