"""A gallery: images that were embedded once, to be searched in, added to and removed from."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_names
from reid.retrieval.ranking import Matrix
from vehicle_reid.embedding import Work, embed_images, no_entries
from vehicle_reid.gallery.approximate import FaissSearch, require_index
from vehicle_reid.gallery.entries import Entries
from vehicle_reid.gallery.file import make_index, read_gallery, write_gallery
from vehicle_reid.gallery.search import ExactSearch, Mask, sample, search
from vehicle_reid.images import Cameras, Images, named_images
from vehicle_reid.model import Parts, VehicleReID
from vehicle_reid.tables import matches_table


class Gallery:
    """Images of vehicles, each with its feature, boxes and attention, and an index to search them by."""

    def __init__(self, model: VehicleReID, entries: Entries, index: ExactSearch | FaissSearch) -> None:
        """Keep entries that `model` made, and their index; `build` and `load` make them."""
        self.model, self._entries, self._index = model, entries, index
        self._done: list[Path] = []  # folders of work that is in the gallery, and not yet in its file

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
        """Return a gallery of images; arguments as of `add`.

        `index` is exact (one matrix product), or one of faiss's: flat, ivf (inverted lists) or ivfpq (with product
        quantisers, the smallest and fastest), whose candidates are measured exactly; see `recall`. Raises UserError as
        `add`, and where there are too few images for the index or faiss is not installed.
        """
        require_index(index)
        empty = no_entries(model)
        gallery = cls(model, empty, ExactSearch(empty.features))
        gallery.add(images, parts, cameras=cameras, work=work, workers=workers, skip_unreadable=skip_unreadable)
        gallery._index = make_index(index, gallery._entries, model.device)
        return gallery

    @classmethod
    def load(cls, path: Path | str, model: VehicleReID) -> "Gallery":
        """Return a saved gallery.

        Raises UserError where the file is missing or damaged, and, with the difference, where another model made it.
        """
        return cls(model, *read_gallery(Path(path), model.fingerprint, model.device))

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._entries)

    @property
    def names(self) -> tuple[str, ...]:
        """The images' names, in the order in which they were added."""
        return self._entries.names

    @property
    def entries(self) -> Entries:
        """What is known of each image: name, camera, feature, boxes and attention."""
        return self._entries

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
        """Embed images and add them; what is there stays as it is. `images`, `parts` and `cameras` as of `embed`.

        With `work`, a folder, the images must be files of one folder: `workers` processes read them, and a stopped call
        goes on from what is kept there until the gallery is saved. Raises UserError, and adds none, where a name is
        there already or an image cannot be read, unless such are to be skipped.
        """
        named = named_images(images, cameras)
        known = self._entries.known(named.names)
        if known:
            raise UserError(f"{len(known)} images are in the gallery already, first {known[0]}; remove them first")
        first = int(self._entries.ids[-1]) + 1 if len(self) else 0
        job = None if work is None else Work(Path(work) / sha256_of_names(sorted(named.names))[:16], workers)
        given = self.model.part_boxes(parts)
        more = embed_images(self.model, named, given, first_id=first, work=job, skip_unreadable=skip_unreadable)
        self._change(self._entries.followed_by(more))
        self._done += [] if job is None else [job.folder]

    def remove(self, names: str | Sequence[str]) -> None:
        """Remove images by name. Raises UserError, and removes none, where one is not there."""
        self._change(self._entries.without([names] if isinstance(names, str) else names))

    def search(
        self,
        query: Images | pd.DataFrame,
        k: int = 10,
        *,
        cameras: Sequence[int] | None = None,
        without_cameras: Sequence[int] = (),
    ) -> pd.DataFrame:
        """Return the best k images for each query, at most all there are: `tables.matches_table`.

        A query is images, or their table as of `embed`. Only images by one of `cameras` count, where these are given,
        and none by one of `without_cameras`. Raises UserError for a query that cannot be used.
        """
        names, features = self._asked(query)
        return matches_table(names, self._entries, search(self._index, features, k, self._by(cameras, without_cameras)))

    def recall(self, k: int = 10) -> float:
        """Return the share of the exact best k that the index finds, for some of the gallery's images."""
        return sample(self._entries.features, k).recall(self._index) if len(self) else 1.0

    def save(self, path: Path | str) -> None:
        """Write the gallery as a whole, or leave the old one. The index, where it is one of lists, lies beside it."""
        write_gallery(Path(path), self._entries, self._index, self.model.fingerprint)
        while self._done:
            shutil.rmtree(self._done.pop(), ignore_errors=True)

    def _change(self, entries: Entries) -> None:
        if isinstance(self._index, FaissSearch):
            self._index = self._index.changed(entries.features, entries.ids)
        else:
            self._index = ExactSearch(entries.features, self.model.device)
        self._entries = entries

    def _asked(self, query: Images | pd.DataFrame) -> tuple[Sequence[str], Matrix]:
        if not isinstance(query, pd.DataFrame):
            named = named_images(query)
            return named.names, self.model.features(named)
        if not {"name", "feature"} <= set(query.columns):
            raise UserError("query: a table as of `embed` has the columns name and feature")
        channels = self._entries.features.shape[1]
        features = [np.asarray(feature, np.float32) for feature in query["feature"]]
        if any(feature.shape != (channels,) for feature in features):
            raise UserError(f"query: the gallery's features have {channels} channels, those of the query do not")
        return list(query["name"]), np.array(features, np.float32).reshape(-1, channels)

    def _by(self, cameras: Sequence[int] | None, without: Sequence[int]) -> Mask | None:
        """Return which images may be found, None for all."""
        if cameras is None and not len(without):
            return None
        chosen = ~np.isin(self._entries.cameras, list(without))
        return chosen if cameras is None else chosen & np.isin(self._entries.cameras, list(cameras))
