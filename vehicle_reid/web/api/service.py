"""What the API does with a gallery: search, enrol, remove, list and compare."""

from collections import deque
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_cache.base.errors import UserError, printable
from data_cache.base.progress import hidden_progress
from data_cache.images.loading import MAX_PIXELS, decode_image
from reid.retrieval.scoring import AfterNetwork
from vehicle_reid.gallery.entries import API, DETAILS, ENROLLED_BY, Entries, require_own_columns
from vehicle_reid.gallery.filters import Filter
from vehicle_reid.gallery.gallery import existing_names
from vehicle_reid.gallery.store import Store, StoreFault
from vehicle_reid.images import UNKNOWN_CAMERA, named_images
from vehicle_reid.tables import embeddings_table
from vehicle_reid.web.api.answers import Comparison, Enrolled, Match, NewVehicle, Part, SearchAnswer, Vehicle
from vehicle_reid.web.api.answers import VehiclePage as Page
from vehicle_reid.web.api.model_queue import BATCH, number_of_pixels
from vehicle_reid.web.finder import Finder, described_details, described_parts
from vehicle_reid.web.photos import UnknownPhoto


class NameTaken(UserError):
    """An image of that name is already in the gallery."""


class UnknownVehicle(UserError):
    """No image of that name is in the gallery."""


class Service:
    """A gallery as the API offers it.

    All methods but `list_vehicles`, `uploaded` and `compare` must be called in the model's thread.
    """

    def __init__(self, finder: Finder, *, keep_pictures: bool = False) -> None:
        """Use the gallery of `finder`; with `keep_pictures` it keeps those of images that are enrolled."""
        self.finder, self.gallery = finder, finder.gallery
        self._pictures = self.gallery.pictures if keep_pictures else None
        self._enrolling: set[str] = set()  # names

    def stored(self, name: str) -> pd.DataFrame:
        """Return the embedding of an image of the gallery, one row as of `embed`. Raises UnknownVehicle."""
        self.gallery.store.refresh()
        found = self.gallery.store.entries(Filter(names=(name,)))
        if not len(found):
            raise UnknownVehicle(f"{printable(name)} is not in the gallery")
        return embeddings_table(found)

    def uploaded(self, key: str) -> pd.DataFrame:
        """Return the embedding of a photo that the page has uploaded, one row as of `embed`. Raises UnknownPhoto."""
        if self.finder.photos.upload(key) is None:
            raise UnknownPhoto(f"{printable(key)} is no photo that the page has uploaded; give the name of the image")
        return self.finder.photos.embedding(key)

    def search(self, query: pd.DataFrame, k: int, where: Filter, *, rerank: bool) -> SearchAnswer:
        """Return the best k images for a query, one row of `embed`, among those that `Gallery.search` can restrict.

        Raises UserError for a column that is not there.
        """
        matches = self.gallery.search(
            query,
            k,
            cameras=where.cameras,
            without_cameras=where.without_cameras,
            without=where.without,
            since=where.since,
            until=where.until,
            equal=where.equal,
            after=AfterNetwork(rerank=rerank),
        )
        rows = matches.to_dict("records")
        found = [
            Match(
                **_vehicle(row, {column: row[column] for column in DETAILS} | row["details"]),
                score=row["score"],
                parts=_parts(row),
            )
            for row in rows
        ]
        decision = self.finder.decision(rows[0]["confidence"] if rows else np.nan)
        return SearchAnswer(matches=found, parts=_parts(query.iloc[0]), **decision)

    def enrol(
        self, images: Mapping[str, bytes], details: Sequence[NewVehicle]
    ) -> Generator[Enrolled | None, None, None]:
        """Embed N image files by name and add them with their details (N,), in steps: others may be served in between.

        Yields None after each step but the last, which yields what was enrolled: that outlasts a crash. Raises
        NameTaken, and UserError if an image or a detail cannot be used; then none is added, as if it is closed earlier.
        """
        table = pd.DataFrame([_details_of(one) for one in details], index=list(images)).fillna("")
        cameras = {
            name: UNKNOWN_CAMERA if one.camera is None else one.camera
            for name, one in zip(images, details, strict=True)
        }
        twice = self._enrolling.intersection(images)
        if twice:
            raise NameTaken(f"{printable(min(twice))} is being enrolled by another request; give another name")
        self._require_free(images)
        self._enrolling.update(images)
        added = False
        try:
            batches = []
            for entries in self._embedded(images, cameras):
                batches.append(entries)
                if self._pictures is not None:
                    for name in entries.names:
                        self._pictures.write(name, images[name])
                yield None
            self._require_free(images)  # again: another process may have added some
            found = reduce(Entries.followed_by, batches)
            self.gallery.store.add(replace(found, details=table.loc[list(found.names)].reset_index(drop=True)))
            added = True
            vehicles = {one.name: one for one in vehicles_of(self.gallery.store, Filter(names=found.names)).values()}
            yield Enrolled(vehicles=[vehicles[name] for name in images])
        finally:
            self._enrolling.difference_update(images)
            if not added and self._pictures is not None:
                self._drop_pictures(list(images))

    def remove(self, name: str) -> None:
        """Remove an image; on return that outlasts a crash. Raises UnknownVehicle."""
        self.gallery.store.refresh()
        if not existing_names(self.gallery.store, [name]):
            raise UnknownVehicle(f"{printable(name)} is not in the gallery")
        self.gallery.remove(name)
        self.finder.photos.forget_gallery()

    def list_vehicles(self, where: Filter, first: int, most: int) -> Page:
        """Return at most `most` images by name, after the `first`. Raises UserError for a column that is not there."""
        store = self.gallery.store.snapshot()
        vehicles = vehicles_of(store, where, order="name", first=first, most=most)
        return Page(total=store.count(where), vehicles=list(vehicles.values()))

    def compare(self, first: pd.DataFrame, second: pd.DataFrame) -> Comparison:
        """Return the cosine of two images, each a row of `embed`."""
        one, other = first.iloc[0], second.iloc[0]
        score = float(np.dot(one["feature"], other["feature"]))
        return Comparison(score=score, first=_parts(one), second=_parts(other))

    def _embedded(self, images: Mapping[str, bytes], cameras: Mapping[str, int]) -> Iterator[Entries]:
        """Yield image files by name as entries, sorted by name, a batch at a time. Raises ImageError for a bad file."""
        left, first = deque(sorted(images)), 0
        while left:
            pixels: dict[str, NDArray[np.uint8]] = {}
            while left and len(pixels) < BATCH and number_of_pixels(pixels.values()) < MAX_PIXELS:
                name = left.popleft()
                pixels[name] = decode_image(images[name], name)
            with hidden_progress():
                entries = self.gallery.model.entries(named_images(pixels, cameras), first_id=first)
            yield entries
            first += len(pixels)

    def _require_free(self, names: Collection[str]) -> None:
        """Raise NameTaken if an image of one of these names is in the gallery."""
        self.gallery.store.refresh()
        taken = existing_names(self.gallery.store, list(names))
        if taken:
            raise NameTaken(f"{printable(taken[0])} is already in the gallery; delete it first, or give another name")

    def _drop_pictures(self, names: Sequence[str]) -> None:
        """Remove the pictures of images that were not added; one that nobody reads does no harm."""
        with suppress(StoreFault):  # of which the client is being told
            present = set(existing_names(self.gallery.store, names))
            if self._pictures is not None:
                self._pictures.remove([name for name in names if name not in present])


def vehicles_of(store: Store, where: Filter, **order: Any) -> dict[int, Vehicle]:
    """Return images by id; `order` as in `Store.read`."""
    columns = store.read(["id", "name", "camera", *store.header.columns], where, **order)
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    rows = [dict(zip(columns, row, strict=True)) for row in values]
    return {
        row["id"]: Vehicle(**_vehicle(row, {column: row[column] for column in store.header.columns})) for row in rows
    }


def _vehicle(row: Mapping[Any, Any], details: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a `Vehicle`: id, name and camera of a row, and its details."""
    camera = None if row["camera"] == UNKNOWN_CAMERA else row["camera"]
    return {"id": row["id"], "name": row["name"], "camera": camera, **described_details(details)}


def _details_of(vehicle: NewVehicle) -> dict[str, str]:
    """Return the details of a new image. Raises UserError for one that the gallery writes itself."""
    require_own_columns(list(vehicle.__pydantic_extra__))
    return {"vehicle": vehicle.vehicle, "time": vehicle.time, **vehicle.__pydantic_extra__, ENROLLED_BY: API}


def _parts(row: Any) -> list[Part]:
    return [Part(**part) for part in described_parts(row)]
