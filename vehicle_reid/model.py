"""`VehicleReID`: a trained run as an object, with the network of stage two and the detector of its part boxes."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_cache.base.devices import choose_device
from data_cache.base.errors import UserError
from data_cache.base.files import path_exists, sha256_of_file
from data_cache.parts.cache import PartBoxes, empty_cache, read_parts
from data_cache.parts.fingerprints import require_fingerprint
from data_cache.parts.names import PART_NAMES
from detect.model import shipped as shipped_detector
from detect.training.runs import DETECTORS, WEIGHTS, chosen_detector
from reid import shipped as shipped_network
from reid.data.hiding import hide_parts, network_parts
from reid.data.vehicle_images import VehicleImages
from reid.data.views import ViewMaker
from reid.evaluation.calibration import read_calibration
from reid.features.embedding import on_device, with_cast_weights
from reid.model.checkpoint import Checkpoint, TrainedNetwork, read_checkpoint, trained_network
from reid.retrieval.open_set import Calibration
from reid.retrieval.ranking import Matrix
from reid.retrieval.score_by_part import score_by_part
from reid.runs import BEST, dataset_folder, parts_path
from vehicle_reid.embedding import WorkFolder, compute_features, find_parts, find_parts_resumable
from vehicle_reid.gallery.entries import Entries
from vehicle_reid.gallery.search import ExactSearch, search
from vehicle_reid.images import Cameras, Images, NamedImages, named_images
from vehicle_reid.tables import embeddings_table, explanation_table, matches_table, parts_of_table, parts_table

if TYPE_CHECKING:
    from detect.model.detector import Detector

Parts = PartBoxes | pd.DataFrame


class VehicleReID:
    """A trained network with its part detector; use `load`.

    `fingerprint` identifies what determines a feature: the SHA-256 of the checkpoint's content and of the detector's
    weights file, None if the network reads no boxes or the detector is unknown; and `flip_test` if it is not the
    recipe's.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        detector: Path | None,
        detector_sha256: str | None,
        device: str,
        flip_test: bool = False,
    ) -> None:
        """Build the checkpoint's network; `detector` is the weights file of its part detector, None if unknown."""
        self.run, self.recipe, self.device = checkpoint.path.parent, checkpoint.recipe, device
        self.network = trained_network(checkpoint)
        is_change = flip_test and not self.recipe.flip_test
        if is_change:
            self.recipe = self.recipe.model_copy(update={"flip_test": True})
            self.network.flip_test = True
        self._weights = detector
        self.fingerprint: Mapping[str, str | None] = {
            "checkpoint": checkpoint.sha256,
            "detector": detector_sha256,
            **({"flip_test": "yes"} if is_change else {}),
        }

    @classmethod
    def load(
        cls,
        run: Path | str | None = None,
        *,
        detector: Path | str | None = None,
        device: str = "auto",
        flip_test: bool = False,
    ) -> "VehicleReID":
        """Return the network trained in the folder `run`, RUNS/DATASET/RECIPE, on `device` (auto | cpu | cuda).

        Without `run` it is the network that ships with the package. With `flip_test`, or if its recipe has it, features
        are means over image and mirror image.

        Parts are found by the detector that made the run's part cache, in RUNS/detector or shipped. `detector` is
        another one to use instead: a weights file, the name of a trained one, or "shipped". If nothing is known about
        the part cache, it is the newest trained one, or the shipped one. Raises UserError if there is no trained
        network or a file is damaged.
        """
        checkpoint = read_checkpoint(shipped_network.weights() if run is None else Path(run) / BEST)
        weights, sha256 = _detector(checkpoint, detector) if checkpoint.recipe.reads_boxes else (None, None)
        return cls(
            checkpoint, detector=weights, detector_sha256=sha256, device=choose_device(device), flip_test=flip_test
        )

    @property
    def top_d(self) -> int:
        """The number of boxes per image that the network uses, D."""
        return self.recipe.parts if self.recipe.uses_parts else 0

    @cached_property
    def detector(self) -> "Detector":
        """The part detector, loaded on first use. Raises UserError as `weights`."""
        from detect.model.detector import load_detector

        return load_detector(self.weights(), self.device)

    @cached_property
    def _network_to_embed(self) -> TrainedNetwork:
        return with_cast_weights(on_device(self.network, self.device), self.device)

    @cached_property
    def calibration(self) -> Calibration | None:
        """How sure its best match is, and from when it is accepted: that of `calibrate`, None if there is none.

        With a flip test that the recipe does not have there is none, as the scores are others. Raises UserError if the
        file is damaged, or of another checkpoint.
        """
        if "flip_test" in self.fingerprint:
            return None
        found = read_calibration(self.run, str(self.fingerprint["checkpoint"]))
        return None if found is None else found.calibration

    def weights(self) -> Path:
        """Return the detector's weights file. Raises UserError, with the remedy, if it is missing."""
        if self._weights is not None:
            return self._weights
        sha256 = self.fingerprint["detector"]
        problem = "the detector of its part boxes is unknown"
        if sha256 is not None:
            problem = f"the detector of its part boxes (weights {sha256[:12]}) is missing in RUNS/{DETECTORS}"
        raise UserError(f"{self.run}: {problem}; choose one with --detector (detector=), or give the parts")

    def parts(self, images: Images) -> pd.DataFrame:
        """Return the parts of images as `detect` finds them, in the order given: a `tables.parts_table`.

        Raises UserError if an image cannot be used.
        """
        named = named_images(images)
        parts = find_parts(self.detector, named.sorted_by_name()) if len(named) else empty_cache(())
        failures = [reason for reason in parts.failure if reason]
        if failures:
            raise UserError(f"{len(failures)} of {len(named)} images cannot be read, first {failures[0]}")
        return parts_table(parts, named.names)

    def embed(self, images: Images, parts: Parts | None = None, *, cameras: Cameras | None = None) -> pd.DataFrame:
        """Return a unit vector for each image, with its boxes and their attention: a `tables.embeddings_table`.

        `parts` has the boxes of all images, as a table of `parts` or a part cache; by default they are detected. All
        images of a test in one call give the features of `features` bit for bit; other batches differ by rounding.
        Raises UserError if an image cannot be used or another detector made the cache.
        """
        named = named_images(images, cameras)
        entries = self.entries(named, self.part_boxes(parts))
        return embeddings_table(entries).iloc[entries.rows(named.names)].reset_index(drop=True)

    def compare(self, first: Images, second: Images) -> pd.DataFrame:
        """Return the similarity of each image of `first` to each of `second`, best first: a `tables.matches_table`."""
        queries, gallery = named_images(first), self.entries(named_images(second))
        matches = search(ExactSearch(gallery.features), self.features(queries), max(1, len(gallery)))
        return matches_table(queries.names, gallery, matches)

    def explain(self, first: Images, second: Images) -> pd.DataFrame:
        """Return what the similarity of two images is the sum of: a `tables.explanation_table`.

        Raises UserError for a network other than PGAN+, whose similarity has no parts, and as `embed`.
        """
        if not self.recipe.part_crops:
            raise UserError(f"{self.run}: only PGAN+ tells what a similarity is the sum of; train --recipe pgan_plus")
        one, other = (self.features(named_images(images)) for images in (first, second))
        if len(one) != 1 or len(other) != 1:
            raise UserError(f"explain: compares one image with one, not {len(one)} with {len(other)}")
        return explanation_table(score_by_part(self.recipe, one[0], other[0]))

    def features(self, images: NamedImages) -> Matrix:
        """Return the unit vectors of images, (N, C), in the order given. Raises UserError as `embed`."""
        entries = self.entries(images)
        return entries.features[entries.rows(images.names)]

    def network_input(
        self, pixels: NDArray[np.uint8], row: "pd.Series[Any]", parts: pd.DataFrame | None = None
    ) -> VehicleImages:
        """Return one image (H, W, 3) as the network reads it: what the recipe hides is covered, then it is resized.

        `row` is its row of `embed`, with the boxes that the network used; `parts` are those of `parts`, by default
        detected again if the recipe hides any.
        """
        hidden, boxes = None, np.zeros((1, self.top_d, 4), np.float32)
        labels = np.full((1, self.top_d), -1, np.int64)
        if self.recipe.hide:
            found = self.parts({"image": pixels}) if parts is None else parts
            hidden = hide_parts(parts_of_table(found, self.top_d), self.recipe.hide).hidden
        used = len(row["parts"])
        boxes[0, :used] = row["boxes"] / np.array(2 * pixels.shape[1::-1], np.float32)
        labels[0, :used] = [PART_NAMES.index(part) for part in row["parts"]]
        maker = ViewMaker(self.recipe.input_size, hidden, self.recipe.part_crops, boxes, labels >= 0)
        views = maker(0, pixels)
        return VehicleImages(lambda _: views, boxes, labels)

    def part_boxes(self, parts: Parts | None) -> PartBoxes | None:
        """Return given parts as a part cache. Raises UserError if another detector than this model's made it."""
        if parts is None or not self.recipe.reads_boxes:
            return None
        if isinstance(parts, pd.DataFrame):
            return parts_of_table(parts, self.top_d)
        made_by = {"detector": parts.fingerprint.get("weights_sha256")}
        needed = {"detector": self.fingerprint["detector"]}
        require_fingerprint(made_by, needed, Path("the part cache"), "detect the parts again, or name that detector")
        return parts

    def entries(
        self,
        images: NamedImages,
        parts: PartBoxes | None = None,
        *,
        first_id: int = 0,
        work: WorkFolder | None = None,
        skip_unreadable: bool = False,
    ) -> Entries:
        """Return the gallery entries of images, sorted by name, with ids from `first_id` on.

        Without `parts` they are detected. With `work` the images must be files in one folder, and a stopped call
        resumes. Raises UserError if an image cannot be read, unless `skip_unreadable`.
        """
        if work is not None and len(images):
            images.dataset()  # raises before any work
        images = images.sorted_by_name()
        if not self.recipe.reads_boxes:
            images = images.readable(images.decoding_errors(), skip=True) if skip_unreadable else images
            parts = empty_cache(images.names)
        elif len(images):
            if parts is None:
                images = images if work is not None else images.decoded()
                parts = (
                    find_parts(self.detector, images)
                    if work is None
                    else find_parts_resumable(self.weights(), images, work, self.device)
                )
            errors = [parts.failure[row] for row in parts.rows(images.names).tolist()]
            images = images.readable(errors, skip=skip_unreadable)
        if parts is None or not len(images):
            return Entries.empty(self.recipe.feature_length, self.top_d)
        parts = network_parts(parts, self.recipe)
        checkpoint = str(self.fingerprint["checkpoint"])
        features, attention = compute_features(
            self._network_to_embed, self.recipe, checkpoint, images, parts, work, self.device
        )
        rows = parts.rows(images.names)
        boxes, labels = parts.boxes[rows, : self.top_d], parts.labels[rows, : self.top_d]
        ids = np.arange(first_id, first_id + len(images), dtype=np.int64)
        return Entries(images.names, ids, images.cameras, features, boxes, labels, attention)


def _detector(checkpoint: Checkpoint, detector: Path | str | None) -> tuple[Path | None, str | None]:
    """Return the weights file of a network's detector and its SHA-256, None if unknown; `load` says which it is."""
    runs, parts = Path("runs"), None
    if checkpoint.path != shipped_network.PATH:
        runs = dataset_folder(checkpoint.path.parent.resolve()).parent
        parts = _fingerprint_of_parts(checkpoint)
    elif detector is None:
        detector = shipped_detector.NAME
    if detector is None and parts is not None:
        sha256 = parts.get("weights_sha256")  # none in boxes that were imported
        return _find_weights(runs, sha256), sha256
    weights = chosen_detector(runs, None if detector is None else str(detector))
    return weights, sha256_of_file(weights)


def _fingerprint_of_parts(checkpoint: Checkpoint) -> Mapping[str, Any] | None:
    """Return the fingerprint of a run's part cache; None if there is none.

    Imported weights do not record it: they use the data set's part cache, as in `evaluate`.
    """
    folder = dataset_folder(checkpoint.path.parent)
    cache = parts_path(folder.parent, folder.name)
    recorded: Mapping[str, Any] | None = checkpoint.metadata.get("parts")
    return read_parts(cache).fingerprint if recorded is None and path_exists(cache) else recorded


def _find_weights(runs: Path, sha256: str | None) -> Path | None:
    """Return the weights file with that hash in RUNS/detector, or the shipped one; None if it is neither."""
    if sha256 == shipped_detector.SHA256:
        return shipped_detector.weights()
    paths = sorted((runs / DETECTORS).glob(f"*/{WEIGHTS}")) if sha256 is not None else ()
    return next((path for path in paths if sha256_of_file(path) == sha256), None)
