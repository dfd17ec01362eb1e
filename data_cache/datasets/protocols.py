"""Retrieval protocols: which rows of a data set's table are queries and gallery, and which pairs are junk."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Cameras = Literal["any", "other", "own"]  # of the gallery, beside the query's


@dataclass(frozen=True)
class Trial:
    """One retrieval test: row numbers of the table, queries (Q,) and gallery (G,).

    With `tracks` (T,), tracks (images of one vehicle from one camera) are ranked instead of images: track t is
    gallery[tracks[t] : tracks[t + 1]], the last one up to the end, and its score is that of its best image.
    """

    query: Rows
    gallery: Rows
    tracks: Rows | None = None


@dataclass(frozen=True)
class Protocol:
    """Trials whose scores are averaged; junk = gallery images of the query's vehicle from the query's camera.

    `cameras` restricts the gallery of each query: to other cameras than its own, or to its own, where matches by that
    camera count. Images by unknown cameras are of another camera.
    """

    split: str
    trials: tuple[Trial, ...]
    same_camera_is_junk: bool
    seed: int | None = None
    cameras: Cameras = "any"

    def rows(self) -> Rows:
        """Return the rows that any trial uses, sorted and unique."""
        used = [rows for trial in self.trials for rows in (trial.query, trial.gallery)]
        return np.asarray(np.unique(np.concatenate(used)))


@dataclass(frozen=True)
class FixedSplit:
    """Query and gallery as given by the data set (VeRi-776, VRIC, VERI-Wild, a CSV); `tracks` as in `Trial`."""

    query: Rows
    gallery: Rows
    same_camera_is_junk: bool
    tracks: Rows | None = None

    def protocol(self, split: str, draws: int, seed: int) -> Protocol:
        """Return the only trial; `draws` and `seed` are ignored."""
        return Protocol(split, (Trial(self.query, self.gallery, self.tracks),), self.same_camera_is_junk)

    def renumbered(self, new_row: Rows) -> "FixedSplit":
        """Return the split for a table in which row i is row `new_row[i]`."""
        return replace(self, query=new_row[self.query], gallery=new_row[self.gallery])


@dataclass(frozen=True)
class DrawnSplit:
    """VehicleID's protocol: one random image per vehicle is the gallery, all others are queries; no junk."""

    rows: Rows
    vehicles: NDArray[np.int64]

    def protocol(self, split: str, draws: int, seed: int) -> Protocol:
        """Return `draws` trials, each drawn by its own generator, seeded with (seed, index of the draw)."""
        trials = tuple(self._draw(np.random.default_rng((seed, draw))) for draw in range(draws))
        return Protocol(split, trials, same_camera_is_junk=False, seed=seed)

    def renumbered(self, new_row: Rows) -> "DrawnSplit":
        """Return the split for a table in which row i is row `new_row[i]`."""
        return replace(self, rows=new_row[self.rows])

    def _draw(self, random: np.random.Generator) -> Trial:
        order = random.permutation(len(self.rows))
        _, first = np.unique(self.vehicles[order], return_index=True)
        chosen = np.zeros(len(self.rows), dtype=bool)
        chosen[order[first]] = True
        return Trial(query=self.rows[~chosen], gallery=self.rows[chosen])


Split = FixedSplit | DrawnSplit


def rows_where(condition: "pd.Series[bool]") -> Rows:
    """Return the row numbers at which `condition` holds."""
    return np.flatnonzero(condition.to_numpy()).astype(np.int64)


def fixed_split(
    table: pd.DataFrame, *, same_camera_is_junk: bool, within: "pd.Series[bool] | None" = None
) -> FixedSplit:
    """Return the queries and gallery of the table's `split` column, restricted to the rows `within`."""
    chosen = pd.Series(True, index=table.index) if within is None else within
    return FixedSplit(
        rows_where((table["split"] == "query") & chosen),
        rows_where((table["split"] == "gallery") & chosen),
        same_camera_is_junk,
    )
