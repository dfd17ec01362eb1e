"""Vehicles held out of the training set: the best epoch is chosen on them, never on the test set."""

import numpy as np
import pandas as pd

from data_cache.base.errors import UserError
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import PartBoxes
from reid.data.decoded import DecodedImages
from reid.data.vehicle_images import vehicle_images
from reid.features.extraction import extract_features
from reid.model.pgan import PGAN
from reid.recipes import ReidRecipe
from reid.retrieval.ranking import Labels, queries_at_once, rank_queries
from reid.retrieval.scores import figures, labels_of


class Holdout:
    """Scores a network on held-out vehicles: every image is a query against all the others."""

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
        """Keep the images of `table`, a part of the data set's table. Raises UserError where they cannot be scored."""
        self.names = list(table["name"])
        size = recipe.image_size
        self.images = vehicle_images(dataset, parts, self.names, depth=recipe.parts, size=size, decoded=decoded)
        labels = labels_of(table)
        # Without cameras every image is its own camera, so that only the query itself is junk.
        cameras = labels.camera if (labels.camera >= 0).all() else np.arange(len(labels))
        self.labels = Labels(labels.vehicle, cameras)
        self.device, self.workers = device, workers
        if self.labels.vehicle.max(initial=0) < 1 or not self._has_a_match():
            raise UserError(
                "two held-out vehicles are needed, one of them seen by two cameras; raise holdout, or set it to 0"
            )

    def _has_a_match(self) -> bool:
        cameras = pd.Series(self.labels.camera).groupby(self.labels.vehicle).nunique()
        return bool((cameras > 1).any())

    def __call__(self, network: PGAN) -> dict[str, float]:
        """Return validation_mAP and validation_cmc1, in [0, 1]."""
        features, _ = extract_features(network, self.images, device=self.device, workers=self.workers)
        results = rank_queries(
            features,
            features,
            self.labels,
            self.labels,
            same_camera_is_junk=True,
            chunk=queries_at_once(len(features)),
        )
        scores = figures(results)
        return {f"validation_{name}": scores[name] for name in ("mAP", "cmc1")}
