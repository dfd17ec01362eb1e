"""What the API does with a gallery: search, enrol, remove, list and compare."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from data_cache.base.errors import UserError, printable
from data_cache.base.progress import hidden_progress
from data_cache.images.loading import decode_image
from reid.retrieval.scoring import AfterNetwork
from vehicle_reid.gallery.filters import Filter
from vehicle_reid.gallery.gallery import existing_names
from vehicle_reid.images import UNKNOWN_CAMERA
from vehicle_reid.tables import embeddings_table
from vehicle_reid.web.api.answers import Comparison, Enrolled, Match, NewVehicle, Part, SearchAnswer, Vehicle
from vehicle_reid.web.api.answers import VehiclePage as Page
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

    def __init__(self, finder: Finder) -> None:
        """Use the gallery of `finder`."""
        self.finder, self.gallery = finder, finder.gallery

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
        vehicles = self._vehicles(Filter(ids=tuple(matches["id"].tolist())))
        rows = matches.to_dict("records")
        found = [
            Match(**vehicles[row["id"]].model_dump(), score=row["score"], parts=_parts(row))
            for row in rows
            if row["id"] in vehicles  # a server may have removed it since; else one version is read until `refresh`
        ]
        decision = self.finder.decision(rows[0]["confidence"] if rows else np.nan)
        return SearchAnswer(matches=found, parts=_parts(query.iloc[0]), **decision)

    def enrol(self, images: Mapping[str, bytes], details: Sequence[NewVehicle]) -> Enrolled:
        """Embed N image files by name and add them with their details (N,); on return they outlast a crash.

        Raises NameTaken, and UserError if an image or a detail cannot be used; then none is added.
        """
        names = list(images)
        self.gallery.store.refresh()
        taken = existing_names(self.gallery.store, names)
        if taken:
            raise NameTaken(f"{printable(taken[0])} is already in the gallery; delete it first, or give another name")
        for name, data in images.items():
            decode_image(data, name)  # says which image it is, and why
        cameras = [UNKNOWN_CAMERA if one.camera is None else one.camera for one in details]
        table = pd.DataFrame(
            [{"vehicle": one.vehicle, "time": one.time, **one.__pydantic_extra__} for one in details], index=names
        ).fillna("")
        with hidden_progress():
            self.gallery.add(images, cameras=cameras, details=table)
        added = {vehicle.name: vehicle for vehicle in self._vehicles(Filter(names=tuple(names))).values()}
        return Enrolled(vehicles=[added[name] for name in names])

    def remove(self, name: str) -> None:
        """Remove an image; on return that outlasts a crash. Raises UnknownVehicle."""
        self.gallery.store.refresh()
        if not existing_names(self.gallery.store, [name]):
            raise UnknownVehicle(f"{printable(name)} is not in the gallery")
        self.gallery.remove(name)

    def list_vehicles(self, where: Filter, first: int, most: int) -> Page:
        """Return at most `most` images by name, after the `first`. Raises UserError for a column that is not there."""
        return Page(
            total=self.gallery.store.count(where),
            vehicles=list(self._vehicles(where, order="name", first=first, most=most).values()),
        )

    def compare(self, first: pd.DataFrame, second: pd.DataFrame) -> Comparison:
        """Return the cosine of two images, each a row of `embed`."""
        one, other = first.iloc[0], second.iloc[0]
        score = float(np.dot(one["feature"], other["feature"]))
        return Comparison(score=score, first=_parts(one), second=_parts(other))

    def _vehicles(self, where: Filter, **order: Any) -> dict[int, Vehicle]:
        """Return images by id; `order` as in `Store.read`."""
        store = self.gallery.store
        columns = store.read(["id", "name", "camera", *store.header.columns], where, **order)
        values = zip(*(column.tolist() for column in columns.values()), strict=True)
        rows = [dict(zip(columns, row, strict=True)) for row in values]
        return {
            row["id"]: Vehicle(
                id=row["id"],
                name=row["name"],
                camera=None if row["camera"] == UNKNOWN_CAMERA else row["camera"],
                **described_details({column: row[column] for column in store.header.columns}),
            )
            for row in rows
        }


def _parts(row: Any) -> list[Part]:
    return [Part(**part) for part in described_parts(row)]
