"""`Gallery`: images that are embedded once, then searched, added to and removed from."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_names
from reid.retrieval.open_set import FIRST, evidence
from reid.retrieval.ranking import Matrix
from reid.retrieval.scoring import AfterNetwork
from vehicle_reid.embedding import WorkFolder
from vehicle_reid.gallery.approximate import FaissSearch, require_index
from vehicle_reid.gallery.entries import Entries
from vehicle_reid.gallery.file import make_index, read_gallery, write_gallery
from vehicle_reid.gallery.search import ExactSearch, Mask, Matches, recall_sample, search, search_after
from vehicle_reid.images import Cameras, Images, named_images
from vehicle_reid.model import Parts, VehicleReID
from vehicle_reid.tables import matches_table

PLAIN = AfterNetwork()


class Gallery:
    """Images of vehicles, `entries`, with their features, boxes and attention, and an index over the features."""

    def __init__(self, model: VehicleReID, entries: Entries, index: ExactSearch | FaissSearch) -> None:
        """Wrap entries that `model` made, and their index; use `build` or `load`."""
        self.model, self.entries, self._index = model, entries, index
        self._finished_work: list[Path] = []  # work folders that `save` removes

    @classmethod
    def build(
        cls,
        model: VehicleReID,
        images: Images = (),
        parts: Parts | None = None,
        *,
        cameras: Cameras | None = None,
        index: str = "exact",
        work: Path | str | None = None,
        workers: int = 2,
        skip_unreadable: bool = False,
    ) -> "Gallery":
        """Return a gallery of images; arguments as in `add`.

        `index` is exact (one matrix product), or a faiss index: flat, ivf (inverted lists) or ivfpq (with compressed
        vectors, the smallest and fastest), whose candidates are scored exactly; see `recall`. Raises UserError as
        `add`, and if there are too few images for the index or faiss is not installed.
        """
        require_index(index)
        empty = model.entries(named_images(()))
        gallery = cls(model, empty, ExactSearch(empty.features))
        gallery.add(images, parts, cameras=cameras, work=work, workers=workers, skip_unreadable=skip_unreadable)
        gallery._index = make_index(index, gallery.entries, model.device)
        return gallery

    @classmethod
    def load(cls, path: Path | str, model: VehicleReID) -> "Gallery":
        """Return a saved gallery. Raises UserError if the file is missing, damaged, or was made by another model."""
        return cls(model, *read_gallery(Path(path), model.fingerprint, model.device))

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.entries)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the images, in the order in which they were added."""
        return self.entries.names

    @property
    def index(self) -> str:
        """The kind of the index."""
        return self._index.kind

    def add(
        self,
        images: Images,
        parts: Parts | None = None,
        *,
        cameras: Cameras | None = None,
        work: Path | str | None = None,
        workers: int = 2,
        skip_unreadable: bool = False,
    ) -> None:
        """Embed images and add them; `images`, `parts` and `cameras` as in `VehicleReID.embed`.

        With a `work` folder the images must be files in one folder, `workers` processes read them, and a stopped call
        resumes from finished work, which is kept until the gallery is saved. Raises UserError, and adds nothing, if a
        name is already in the gallery or an image cannot be read; `skip_unreadable` leaves such images out.
        """
        named = named_images(images, cameras)
        existing = self.entries.existing(named.names)
        if existing:
            raise UserError(
                f"{len(existing)} images are already in the gallery, first {existing[0]}; remove them first"
            )
        folder = None
        if work is not None:
            folder = WorkFolder(Path(work) / sha256_of_names(sorted(named.names))[:16], workers)
        added = self.model.entries(
            named,
            self.model.part_boxes(parts),
            first_id=int(self.entries.ids[-1]) + 1 if len(self) else 0,
            work=folder,
            skip_unreadable=skip_unreadable,
        )
        self._update(self.entries.followed_by(added))
        if folder is not None:
            self._finished_work.append(folder.path)

    def remove(self, names: str | Sequence[str]) -> None:
        """Remove images by name. Raises UserError, and removes nothing, if one is missing."""
        self._update(self.entries.without([names] if isinstance(names, str) else names))

    def search(
        self,
        query: Images | pd.DataFrame,
        k: int = 10,
        *,
        cameras: Sequence[int] | None = None,
        without_cameras: Sequence[int] = (),
        without: Sequence[str] = (),
        after: AfterNetwork = PLAIN,
    ) -> pd.DataFrame:
        """Return the best k images for each query, or all if there are fewer: a `tables.matches_table`.

        `query` is images, or a table of `VehicleReID.embed`. `cameras` restricts the matches to images by these
        cameras, `without_cameras` excludes images by those, `without` images by name. If the run is calibrated, the
        best match has a confidence; see `VehicleReID.calibration`. `after` re-ranks, or changes features, by an exact
        search; its scores have no confidence. Raises UserError if a query cannot be used, or k is below 1.
        """
        names, features = self._query_features(query)
        allowed = self._allowed(cameras, without_cameras, without)
        if after != PLAIN:
            found = search_after(after, features, self.entries.features, k, allowed, self.model.device)
            return matches_table(names, self.entries, found)
        calibration = self.model.calibration
        if calibration is None or k < 1:
            return matches_table(names, self.entries, search(self._index, features, k, allowed))
        found = search(self._index, features, max(k, FIRST), allowed)
        size = len(self) if allowed is None else int(allowed.sum())
        confidence = calibration.confidence(evidence(found.scores, size))
        return matches_table(names, self.entries, Matches(found.rows[:, :k], found.scores[:, :k]), confidence)

    def recall(self, k: int = 10) -> float:
        """Return the share of the exact best k that the index finds, measured on some of the gallery's images."""
        return recall_sample(self.entries.features, k).recall(self._index) if len(self) else 1.0

    def save(self, path: Path | str) -> None:
        """Write the gallery atomically; an `ivf` or `ivfpq` index goes into a file beside it."""
        write_gallery(Path(path), self.entries, self._index, self.model.fingerprint)
        while self._finished_work:
            shutil.rmtree(self._finished_work.pop(), ignore_errors=True)

    def _update(self, entries: Entries) -> None:
        if isinstance(self._index, FaissSearch):
            self._index = self._index.updated(entries.features, entries.ids)
        else:
            self._index = ExactSearch(entries.features, self.model.device)
        self.entries = entries

    def _query_features(self, query: Images | pd.DataFrame) -> tuple[Sequence[str], Matrix]:
        """Return the names and features (Q, C) of a query."""
        if not isinstance(query, pd.DataFrame):
            named = named_images(query)
            return named.names, self.model.features(named)
        if not {"name", "feature"} <= set(query.columns):
            raise UserError("query: the table must have the columns name and feature, as from `embed`")
        channels = self.entries.features.shape[1]
        features = [np.asarray(feature, np.float32) for feature in query["feature"]]
        if any(feature.shape != (channels,) for feature in features):
            raise UserError(f"query: the gallery's features have {channels} channels, those of the query do not")
        return list(query["name"]), np.array(features, np.float32).reshape(-1, channels)

    def _allowed(
        self, cameras: Sequence[int] | None, without_cameras: Sequence[int], without: Sequence[str]
    ) -> Mask | None:
        """Return which images may match (N,), None for all."""
        if cameras is None and not len(without_cameras) and not len(without):
            return None
        allowed = ~np.isin(self.entries.cameras, list(without_cameras))
        allowed[self.entries.rows(list(without))] = False
        return allowed if cameras is None else allowed & np.isin(self.entries.cameras, list(cameras))
