"""`Gallery`: images in a store that are embedded once, then searched, added to and removed from."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from data_cache.base.config import unknown
from data_cache.base.errors import UserError, printable
from data_cache.base.files import sha256_of_names
from reid.retrieval.open_set import FIRST, Values, evidence
from reid.retrieval.ranking import Matrix
from reid.retrieval.scoring import PLAIN, AfterNetwork
from vehicle_reid.embedding import WorkFolder
from vehicle_reid.gallery.entries import Entries, require_own_columns
from vehicle_reid.gallery.filters import AS_TIME, EVERY, Filter, is_time, require_times
from vehicle_reid.gallery.pictures import Pictures
from vehicle_reid.gallery.search import Matches, search, search_after, share_found
from vehicle_reid.gallery.store import INDEXES, Best, Store
from vehicle_reid.gallery.stores import store_at
from vehicle_reid.gallery.vectors import Vectors
from vehicle_reid.images import Cameras, Images, NamedImages, named_images
from vehicle_reid.model import Parts, VehicleReID
from vehicle_reid.tables import matches_table

log = logging.getLogger(__name__)

MEMORY = "memory://"  # address of a gallery that has not been saved
MOST_IN_MEMORY = 4 * 2**30  # bytes of features that an exact search keeps; of more it reads the store each time
NAMES_AT_ONCE = 10_000  # in a condition; for more all names are read
RECALL_QUERIES = 256  # images of a gallery that measure the recall of its index


@dataclass(frozen=True)
class _Job:
    """Images to embed; with a `work` folder they must be files in one folder, and a stopped job resumes."""

    images: NamedImages
    work: Path | str | None
    workers: int

    @property
    def folder(self) -> WorkFolder | None:
        """The folder of this job below the one for work."""
        if self.work is None:
            return None
        return WorkFolder(Path(self.work) / sha256_of_names(sorted(self.images.names))[:16], self.workers)

    def embedded(
        self, model: VehicleReID, parts: Parts | None, details: pd.DataFrame | None, *, skip_unreadable: bool
    ) -> Entries:
        """Return the images with their features and details. Raises UserError as `VehicleReID.entries`."""
        if details is not None:
            require_own_columns(list(details.columns))
            names = self.images.names
            if names and not details.index.isin(names).any():
                raise UserError(f"details: none of {len(details)} rows is of an image to be added, such as {names[0]}")
        boxes = model.part_boxes(parts)
        entries = model.entries(self.images, boxes, work=self.folder, skip_unreadable=skip_unreadable)
        if details is None:
            return entries
        details = details.reindex(list(entries.names)).fillna("")
        if "time" in details:
            _warn_of_times(details["time"])
        return replace(entries, details=details.reset_index(drop=True))

    def remove(self) -> None:
        """Remove the finished work."""
        if self.folder is not None:
            shutil.rmtree(self.folder.path, ignore_errors=True)


def _warn_of_times(times: pd.Series) -> None:
    """Say of which images, by the names in the index, the time cannot be searched by."""
    unusable = times[[isinstance(time, str) and time != "" and not is_time(time) for time in times]]
    if len(unusable):
        log.warning(
            f"details: the times of {len(unusable):,} of {len(times):,} images cannot be searched by, first that of "
            f"{unusable.index[0]}: {printable(unusable.iloc[0])} {AS_TIME}"
        )


class Gallery:
    """Images of vehicles with their features, boxes and attention, in a store; `build` or `load` one.

    A gallery that was saved or loaded is its store: what is added or removed is there at once, for other processes
    too, and `search` sees what they have changed.
    """

    def __init__(self, model: VehicleReID, store: Store) -> None:
        """Wrap a store whose images `model` embedded."""
        self.model, self.store = model, store
        self._vectors = Vectors(store, model.device)
        self._unsaved: list[_Job] = []

    @classmethod
    def build(
        cls,
        model: VehicleReID,
        images: Images = (),
        parts: Parts | None = None,
        *,
        cameras: Cameras | None = None,
        details: pd.DataFrame | None = None,
        index: str = "exact",
        address: Path | str = MEMORY,
        work: Path | str | None = None,
        workers: int = 2,
        skip_unreadable: bool = False,
    ) -> "Gallery":
        """Return a gallery of images, at an address as for `save`, or in memory; other arguments as in `add`.

        `index` is exact, or approximate: from 5,000 images on an index, whose candidates are scored exactly; see
        `recall`. Raises UserError as `add`, for an unknown index, and if there is a gallery at the address.
        """
        if index not in INDEXES:
            raise unknown("index", index, INDEXES)
        job = _Job(named_images(images, cameras), work, workers)
        entries = job.embedded(model, parts, details, skip_unreadable=skip_unreadable)
        place = str(address)
        gallery = cls(model, store_at(place).create(place, entries, model=model.fingerprint, index=index))
        gallery._finish(job)
        return gallery

    @classmethod
    def load(cls, address: Path | str, model: VehicleReID) -> "Gallery":
        """Return the gallery in a folder, or at the address of a bucket or of a collection on a Milvus server.

        Raises UserError if it is missing, damaged, or was made by another model.
        """
        return cls(model, store_at(str(address)).open(str(address), model.fingerprint))

    def __len__(self) -> int:
        """Return the number of images."""
        return self.store.count()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the images, in the order in which they were added."""
        return tuple(self.store.read(["name"])["name"].tolist())

    @property
    def entries(self) -> Entries:
        """All images, in the order in which they were added."""
        return self.store.entries()

    @property
    def pictures(self) -> Pictures | None:
        """The pictures that it keeps itself, None if it is not in a folder."""
        return Pictures.of(self.store.address)

    @property
    def index(self) -> str:
        """The kind of the index: exact or approximate."""
        return self.store.header.index

    def add(
        self,
        images: Images,
        parts: Parts | None = None,
        *,
        cameras: Cameras | None = None,
        details: pd.DataFrame | None = None,
        work: Path | str | None = None,
        workers: int = 2,
        skip_unreadable: bool = False,
    ) -> None:
        """Embed images and add them; `images`, `parts` and `cameras` as in `VehicleReID.embed`.

        `details` has a row for each image by its name (the index): columns of text such as `vehicle` and `time`, by
        which a search can be restricted. With a `work` folder the images must be files in one folder, `workers`
        processes read them, and a stopped call resumes from finished work, which is kept until they are in the gallery.
        Raises UserError, and adds nothing, if a name is already in the gallery or an image cannot be read;
        `skip_unreadable` leaves such images out.
        """
        job = _Job(named_images(images, cameras), work, workers)
        self.store.refresh()
        existing = existing_names(self.store, job.images.names)
        if existing:
            raise UserError(
                f"{len(existing)} images are already in the gallery, first {existing[0]}; remove them first"
            )
        self.store.add(job.embedded(self.model, parts, details, skip_unreadable=skip_unreadable))
        self._finish(job)

    def remove(self, names: str | Sequence[str]) -> None:
        """Remove images by name, with the pictures that the gallery keeps of them.

        Raises UserError, and removes nothing, if one is missing.
        """
        gone = [names] if isinstance(names, str) else names
        self.store.refresh()
        self.store.remove(gone)
        if self.pictures is not None:
            self.pictures.remove(gone)

    def search(
        self,
        query: Images | pd.DataFrame,
        k: int = 10,
        *,
        cameras: Sequence[int] | None = None,
        without_cameras: Sequence[int] = (),
        without: Sequence[str] = (),
        since: str | None = None,
        until: str | None = None,
        equal: Mapping[str, str] | None = None,
        after: AfterNetwork = PLAIN,
    ) -> pd.DataFrame:
        """Return the best k images for each query, or all if there are fewer: a `tables.matches_table`.

        `query` is images, or a table of `VehicleReID.embed`. Only images that meet all conditions are compared: by
        `cameras`, not by `without_cameras`, not named in `without`, from `since` to `until` (ISO 8601 text, inclusive),
        with the values `equal` of their details. If the run is calibrated, the best match has a confidence; see
        `VehicleReID.calibration`. `after` re-ranks, or changes features, by an exact search; its scores have no
        confidence. Raises UserError if a query cannot be used, a time is none, or k is below 1.
        """
        require_times(since=since, until=until)
        names, features = self._query_features(query)
        self.store.refresh()
        where = Filter(
            cameras=None if cameras is None else tuple(cameras),
            without_cameras=tuple(without_cameras),
            without=tuple(without),
            since=since,
            until=until,
            equal=dict(equal or {}),
        )
        if after != PLAIN:
            return self._table(names, self._best_after(after, features, k, where))
        calibration = self.model.calibration
        if calibration is None or k < 1:
            return self._table(names, self._best(features, k, where))
        found = self._best(features, max(k, FIRST), where)
        confidence = calibration.confidence(evidence(found.scores, self.store.count(where)))
        return self._table(names, Best(found.ids[:, :k], found.scores[:, :k]), confidence)

    def recall(self, k: int = 10) -> float:
        """Return the share of the exact best k that the index finds, measured on some of the gallery's images."""
        self._vectors.update()
        features = self._vectors.search.features
        if not len(features):
            return 1.0
        rows = np.sort(np.random.default_rng(0).permutation(len(features))[:RECALL_QUERIES])
        exact = self._vectors.best(search(self._vectors.search, features[rows], min(k, len(features))))
        found = self.store.best(features[rows], exact.ids.shape[1]).ids
        return share_found(found, exact.ids)

    def save(self, address: Path | str) -> None:
        """Write the gallery to an address as for `load`, whole or not at all; from then on it is there.

        A gallery that is there already needs no saving. The pictures that it keeps stay where they are. Raises
        UserError if there is another one.
        """
        place = str(address)
        if place != self.store.address:  # else it is there already
            header, entries = self.store.header, self.store.entries()
            self.store = store_at(place).create(place, entries, model=header.model, index=header.index)
            self._vectors = Vectors(self.store, self.model.device)
        while self._unsaved:
            self._unsaved.pop().remove()

    def _finish(self, job: "_Job") -> None:
        """Remove the finished work of a job, or, of a gallery in memory, keep it until the gallery is saved."""
        self._unsaved.append(job)
        if self.store.address != MEMORY:
            self.save(self.store.address)

    def _best(self, features: Matrix, k: int, where: Filter) -> Best:
        """Return the best k images of each query (Q, C): by the index, or exactly."""
        header = self.store.header
        if header.index != "exact" or 4 * header.channels * self.store.count() > MOST_IN_MEMORY:
            return self.store.best(features, k, where)
        self._vectors.update()
        found = search(self._vectors.search, features, k, self._vectors.allowed(where))
        return self._vectors.best(found)

    def _best_after(self, after: AfterNetwork, features: Matrix, k: int, where: Filter) -> Best:
        self._vectors.update()
        allowed, images = self._vectors.allowed(where), self._vectors.search.features
        found = search_after(after, features, images, k, allowed, self.model.device)
        return self._vectors.best(found)

    def _table(self, names: Sequence[str], best: Best, confidence: Values | None = None) -> pd.DataFrame:
        """Return matches by id as a table; the images are read from the store."""
        wanted = np.unique(best.ids[best.ids >= 0])
        entries = self.store.entries(Filter(ids=tuple(wanted.tolist())))
        there = np.isin(best.ids, entries.ids)  # of a server images may have been removed since
        rows = np.where(there, np.searchsorted(entries.ids, best.ids), -1)
        return matches_table(names, entries, Matches(rows, best.scores), confidence)

    def _query_features(self, query: Images | pd.DataFrame) -> tuple[Sequence[str], Matrix]:
        """Return the names and features (Q, C) of a query."""
        if not isinstance(query, pd.DataFrame):
            named = named_images(query)
            return named.names, self.model.features(named)
        if not {"name", "feature"} <= set(query.columns):
            raise UserError("query: the table must have the columns name and feature, as from `embed`")
        channels = self.store.header.channels
        features = [np.asarray(feature, np.float32) for feature in query["feature"]]
        if any(feature.shape != (channels,) for feature in features):
            raise UserError(f"query: the gallery's features have {channels} channels, those of the query do not")
        return list(query["name"]), np.array(features, np.float32).reshape(-1, channels)


def existing_names(store: Store, names: Sequence[str]) -> list[str]:
    """Return those of `names` that are in a store, in their order."""
    where = Filter(names=tuple(names)) if len(names) <= NAMES_AT_ONCE else EVERY
    present = set(store.read(["name"], where)["name"].tolist())
    return [name for name in names if name in present]
