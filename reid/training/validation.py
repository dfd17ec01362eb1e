"""Scoring on vehicles held out of the training set: they choose the best epoch, never the test set."""

import numpy as np
import pandas as pd

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import PartBoxes
from reid.data.vehicle_images import DecodedImages, vehicle_images
from reid.features.extraction import extract_features
from reid.model.checkpoint import TrainedNetwork
from reid.recipes import ReidRecipe
from reid.retrieval.ranking import LabelledTrial, Labels, cosine_scores, rank_queries


def holdout_labels(dataset: Dataset, table: pd.DataFrame) -> Labels:
    """Return vehicles and cameras of held-out images, rows of the data set's table.

    Without cameras every image is its own camera, so that only the query itself is junk. Raises UserError if there are
    no two vehicles, or none that is seen by two cameras.
    """
    labels = Labels.of_table(table)
    cameras = labels.camera if (labels.camera >= 0).all() else np.arange(len(labels))
    cameras_of_vehicle = pd.Series(cameras).groupby(labels.vehicle).nunique()
    if len(cameras_of_vehicle) < 2 or cameras_of_vehicle.max() < 2:
        trained = dataset.table[dataset.table["split"] == "train"]
        seen_by = trained.groupby("vehicle_id")["camera_id" if (trained["camera_id"] >= 0).all() else "name"]
        if seen_by.nunique().max() < 2:
            raise UserError(
                f"{dataset.root}: no training vehicle is seen by two cameras, so that nothing can be held out to "
                "choose the best epoch; use --set holdout=0, which keeps the last"
            )
        raise UserError(
            "two held-out vehicles are needed, one of them seen by two cameras; raise holdout, or set it to 0"
        )
    return Labels(labels.vehicle, cameras)


class Holdout:
    """Scores a network on held-out vehicles: every image is a query against all others."""

    def __init__(
        self,
        dataset: Dataset,
        table: pd.DataFrame,
        parts: PartBoxes,
        recipe: ReidRecipe,
        device: str,
        workers: int,
        decoded: DecodedImages | None = None,
    ) -> None:
        """Keep the images of `table`, rows of the data set's table. Raises UserError if they cannot be scored."""
        self.images = vehicle_images(
            dataset,
            parts,
            list(table["name"]),
            top_d=recipe.parts,
            size=recipe.input_size,
            crop=recipe.part_crops,
            decoded=decoded,
        )
        labels = holdout_labels(dataset, table)
        self.trial = LabelledTrial(labels, labels, same_camera_is_junk=True)
        self.device, self.workers = device, workers

    def __call__(self, network: TrainedNetwork) -> dict[str, float]:
        """Return validation_mAP and validation_cmc1, in [0, 1]."""
        features, _ = extract_features(network, self.images, device=self.device, workers=self.workers)
        means = rank_queries(cosine_scores(features, features), self.trial).means()
        return {f"validation_{name}": means[name] for name in ("mAP", "cmc1")}
