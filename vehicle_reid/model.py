"""A trained run, ready to look at images: the network of stage two, and the detector that made its part boxes."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from data_cache.base.devices import choose_device
from data_cache.base.errors import UserError
from data_cache.base.files import is_there, sha256_of_file
from data_cache.parts.cache import PartBoxes, no_parts, read_parts, require_fingerprint
from detect.training.train import WEIGHTS
from reid.model.checkpoint import Checkpoint, read_checkpoint, trained_network
from reid.retrieval.ranking import Matrix
from reid.runs import BEST
from vehicle_reid.embedding import embed_images, find_parts
from vehicle_reid.gallery.search import ExactSearch, search
from vehicle_reid.images import Cameras, Images, NamedImages, named_images
from vehicle_reid.tables import embeddings_table, matches_table, parts_of_table, parts_table

if TYPE_CHECKING:
    from detect.model.detector import Detector

DETECTORS = "detector"
Parts = PartBoxes | pd.DataFrame


class VehicleReID:
    """A trained network with its part detector; `load` makes one of a run's folder.

    `fingerprint` tells what decides a feature: SHA-256 of the checkpoint's content, and of the file of the detector's
    weights, None where the network looks at no parts or the detector is not known.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, detector: Path | None, detector_sha256: str | None, device: str
    ) -> None:
        """Keep a checkpoint's network; `detector` is where its detector's weights lie, None where that is not known."""
        self.run, self.recipe, self.device = checkpoint.path.parent, checkpoint.recipe, device
        self.network = trained_network(checkpoint)
        self._weights = detector
        self.fingerprint: Mapping[str, str | None] = {"checkpoint": checkpoint.sha256, "detector": detector_sha256}

    @classmethod
    def load(cls, run: Path | str, *, detector: Path | str | None = None, device: str = "auto") -> "VehicleReID":
        """Return the network trained in the folder `run`, RUNS/DATASET/RECIPE, on `device` (auto | cpu | cuda).

        Parts are found by the detector that made the part cache of the run, looked for in RUNS/detector; `detector` is
        the weights file of another. Raises UserError where there is no trained network, or a file is damaged.
        """
        checkpoint = read_checkpoint(Path(run) / BEST)
        weights = None if detector is None else Path(detector)
        wanted = None
        if checkpoint.recipe.looks_at_parts:
            wanted = _detector_of(checkpoint) if weights is None else sha256_of_file(weights)
            weights = weights or _weights_of(checkpoint.path.parent, wanted)
        return cls(checkpoint, detector=weights, detector_sha256=wanted, device=choose_device(device))

    @property
    def depth(self) -> int:
        """How many boxes of an image the network looks at, D."""
        return self.recipe.parts if self.recipe.looks_at_parts else 0

    @cached_property
    def detector(self) -> "Detector":
        """The part detector, loaded when it is first needed. Raises UserError as `weights`."""
        from detect.model.detector import load_detector

        return load_detector(self.weights(), self.device)

    def weights(self) -> Path:
        """Return the file of the detector's weights. Raises UserError, with the remedy, where it is not there."""
        if self._weights is not None:
            return self._weights
        made_by = self.fingerprint["detector"]
        why = "no detector is known that made its part boxes"
        if made_by is not None:
            why = f"its part boxes are of a detector with weights {made_by[:12]}, which is not in RUNS/{DETECTORS}"
        raise UserError(f"{self.run}: {why}; name a weights file with --detector (detector=), or give the parts")

    def parts(self, images: Images) -> pd.DataFrame:
        """Find the parts of images, as `detect` does: a table as of `tables.parts_table`, in the order given.

        Raises UserError for an image that cannot be used.
        """
        named = named_images(images)
        found = find_parts(self.detector, named.by_name()) if len(named) else no_parts(())
        failures = [reason for reason in found.failure if reason]
        if failures:
            raise UserError(f"{len(failures)} of {len(named)} images cannot be read, first {failures[0]}")
        return parts_table(found, named.names)

    def embed(self, images: Images, parts: Parts | None = None, *, cameras: Cameras | None = None) -> pd.DataFrame:
        """Return a unit vector for each image, with its boxes and their attention: `tables.embeddings_table`.

        `parts` holds the boxes of all images: a table as of `parts`, or a part cache; without it they are detected. The
        same images give the bits that `features` writes, given all at once; other batches differ by rounding. Raises
        UserError for an image that cannot be used, and for a cache that another detector made.
        """
        named = named_images(images, cameras)
        entries = embed_images(self, named, self.part_boxes(parts))
        return embeddings_table(entries).iloc[entries.rows(named.names)].reset_index(drop=True)

    def compare(self, first: Images, second: Images) -> pd.DataFrame:
        """Return how alike each image of `first` is to each of `second`, best first: `tables.matches_table`."""
        asked, shown = named_images(first), embed_images(self, named_images(second))
        found = search(ExactSearch(shown.features), self.features(asked), max(1, len(shown)))
        return matches_table(asked.names, shown, found)

    def features(self, images: NamedImages) -> Matrix:
        """Return the unit vectors of images, (N, C), in the order given. Raises UserError as `embed`."""
        found = embed_images(self, images)
        return found.features[found.rows(images.names)]

    def part_boxes(self, parts: Parts | None) -> PartBoxes | None:
        """Return given parts as a part cache. Raises UserError where another detector than this model's made it."""
        if parts is None or not self.recipe.looks_at_parts:
            return None
        if isinstance(parts, pd.DataFrame):
            return parts_of_table(parts, self.depth)
        made_by = {"detector": parts.fingerprint.get("weights_sha256")}
        wanted = {"detector": self.fingerprint["detector"]}
        require_fingerprint(made_by, wanted, Path("the part cache"), "detect anew, or name that detector")
        return parts


def _detector_of(checkpoint: Checkpoint) -> str | None:
    """Return the SHA-256 of the detector that made the part cache of a run; imported weights tell of none.

    Theirs is the data set's own cache, as for `evaluate`.
    """
    cache = checkpoint.path.parents[1] / "parts.h5"
    made = checkpoint.metadata.get("parts")
    if made is None and is_there(cache):
        made = read_parts(cache).fingerprint
    found = (made or {}).get("weights_sha256")
    return found if isinstance(found, str) else None


def _weights_of(run: Path, sha256: str | None) -> Path | None:
    """Return the weights file of that hash in RUNS/detector; None where there is none. RUNS holds the run's folder."""
    above = run.resolve().parents[1:3]  # RUNS/DATASET/RECIPE, or RUNS/DATASET/ablation/NAME
    found = [path for runs in above for path in sorted((runs / DETECTORS).glob(f"*/{WEIGHTS}"))]
    return next((path for path in found if sha256 and sha256_of_file(path) == sha256), None)
