"""Retrieval protocols: which rows of a data set's table are queries, which are gallery, and which pairs are junk."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Trial:
    """One retrieval test: row numbers of the table, queries (Q,) and gallery (G,).

    Where `tracks` (T,) is given, what is ranked are the T tracks (images of one vehicle by one camera), not the images:
    track t is gallery[tracks[t] : tracks[t + 1]], the last to the end, and its score is that of its best image.
    """

    query: Rows
    gallery: Rows
    tracks: Rows | None = None


@dataclass(frozen=True)
class Protocol:
    """Trials that are scored alike and averaged; junk = gallery images of the query's vehicle by the query's camera."""

    split: str
    trials: tuple[Trial, ...]
    same_camera_is_junk: bool
    seed: int | None = None

    def rows(self) -> Rows:
        """Return the rows that any trial uses, sorted, each once."""
        used = [rows for trial in self.trials for rows in (trial.query, trial.gallery)]
        return np.asarray(np.unique(np.concatenate(used)))


@dataclass(frozen=True)
class FixedSplit:
    """A protocol whose query and gallery are given by the data set (VeRi-776, VRIC, VERI-Wild, a CSV)."""

    query: Rows
    gallery: Rows
    same_camera_is_junk: bool
    tracks: Rows | None = None  # see `Trial`

    def protocol(self, split: str, draws: int, seed: int) -> Protocol:
        """Return the one trial; `draws` and `seed` do not matter here."""
        return Protocol(split, (Trial(self.query, self.gallery, self.tracks),), self.same_camera_is_junk)


@dataclass(frozen=True)
class DrawnSplit:
    """VehicleID's protocol: a random image of each vehicle is the gallery, all others are queries; no junk."""

    rows: Rows
    vehicles: NDArray[np.int64]

    def protocol(self, split: str, draws: int, seed: int) -> Protocol:
        """Return `draws` trials, each drawn with its own generator from (seed, number of the draw)."""
        trials = tuple(self._draw(np.random.default_rng((seed, draw))) for draw in range(draws))
        return Protocol(split, trials, same_camera_is_junk=False, seed=seed)

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
    """Return the split told by the table's `split` column, restricted to the rows `within`."""
    chosen = pd.Series(True, index=table.index) if within is None else within
    return FixedSplit(
        rows_where((table["split"] == "query") & chosen),
        rows_where((table["split"] == "gallery") & chosen),
        same_camera_is_junk,
    )
