"""The training vehicles in two: those trained on, and those held out to choose the best epoch."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import Dataset
from reid.recipes import ReidRecipe


@dataclass(frozen=True)
class Vehicles:
    """The training split in two: what is trained on and what chooses the best epoch; both sorted by name."""

    images: pd.DataFrame
    held_out: pd.DataFrame
    trained: NDArray[np.str_]  # (V,) sorted vehicle ids; a vehicle's place is its class number


def split_vehicles(dataset: Dataset, recipe: ReidRecipe) -> Vehicles:
    """Hold a seeded share of the training vehicles out. Raises UserError where there is nothing to train on.

    Where the table tells fleets of near-identical vehicles, whole fleets are held out: a vehicle whose fellows were
    trained on would be told apart among strangers, and the epoch chosen for that.
    """
    table = dataset.table[dataset.table["split"] == "train"].sort_values("name")
    if table.empty:
        raise UserError(f"{dataset.root}: no image has the split train, there is nothing to train on")
    vehicles = np.unique(table["vehicle_id"].to_numpy(dtype=str))
    kin = table["vehicle_id"]
    if "fleet" in table:
        fleet = kin.map(table.groupby("vehicle_id")["fleet"].first())
        kin = ("fleet " + fleet).where(fleet != "", "vehicle " + kin)  # one of no fleet is alike to none
    shuffled = np.random.default_rng(recipe.seed).permutation(np.unique(kin.to_numpy(dtype=str)))
    is_held = kin.isin(shuffled[: round(recipe.holdout * len(shuffled))].tolist())
    held = table["vehicle_id"][is_held].unique()
    return Vehicles(table[~is_held], table[is_held], np.setdiff1d(vehicles, held))
