"""The operations behind the page: embed and describe a photo, list what can be filtered by, and draw heatmaps."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from data_cache.base.errors import UserError, printable
from data_cache.base.files import sha256_of_bytes, sha256_of_names
from data_cache.base.progress import hidden_progress
from data_cache.images.loading import decode_image
from reid.data.vehicle_images import VehicleImages
from reid.report.pictures.covering import Covering, covering_effects, draw_effects
from reid.report.pictures.heatmaps import ADDED, GLOBAL, PART, Heatmaps, compute_heatmaps, overlay
from reid.report.pictures.thumbnails import encode_jpeg
from vehicle_reid.gallery.entries import DETAILS, ENROLLED_BY
from vehicle_reid.gallery.gallery import Gallery
from vehicle_reid.images import UNKNOWN_CAMERA
from vehicle_reid.web.choices import Choices, read_choices
from vehicle_reid.web.photos import Box, Photos, UnknownPhoto, Upload, cropped, make_photo, picture_height

PHOTO, COVERED = "photo", "covered"
HEATMAPS = {"response": GLOBAL, "with-parts": PART, "added": ADDED}  # by their names in URLs
CACHED_HEATMAPS = 128  # of either kind, some kilobytes each
UPLOADED = "this photo"  # the name of an upload without one
Json = dict[str, Any]


class Finder:
    """A gallery with its model and photos.

    `describe`, `choices` and `picture` are thread-safe. `upload`, `heatmap` and `covered` run the model:
    call them from one thread only.
    """

    def __init__(self, gallery: Gallery, root: Path) -> None:
        """Search in `gallery`, whose image names are paths below `root`."""
        self.gallery, self.model = gallery, gallery.model
        self.photos = Photos(gallery, root)
        self._heatmaps = lru_cache(maxsize=CACHED_HEATMAPS)(self._compute_heatmaps)
        self._choices = lru_cache(maxsize=1)(self._read_choices)
        self._coverings = lru_cache(maxsize=CACHED_HEATMAPS)(self._compute_covering)

    @property
    def cameras(self) -> list[int]:
        """The known cameras of the gallery, ascending."""
        return list(self.choices().cameras)

    def choices(self) -> Choices:
        """Return what the images of the gallery can be filtered by; a large gallery has many rows to read."""
        return self._choices(self.gallery.store.version)

    @property
    def heatmaps(self) -> list[str]:
        """What can be drawn over a photo: COVERED, and the keys of `HEATMAPS` that the network has."""
        return [COVERED, *(HEATMAPS if self.model.recipe.attention != "none" else ["response"])]

    @property
    def gallery_id(self) -> str:
        """Identifies the gallery: what the browser remembers about one is not shown with another."""
        return self.gallery.store.header.identity[:16]

    def upload(self, data: bytes, name: str = UPLOADED, box: Box | None = None) -> str:
        """Embed an image file, or what is inside `box`, and return the key of its photo.

        The box, in pixels of the image turned by its EXIF orientation, is cut out before anything else. Raises
        UserError if the image or the box cannot be used.
        """
        digest = sha256_of_bytes(data)
        key = f"p{(digest if box is None else sha256_of_names([digest, box]))[:16]}"
        if not self.photos.rename_upload(key, name):
            pixels = decode_image(data, name)
            if box is not None:
                pixels = cropped(pixels, box, name)
            with hidden_progress():
                parts = self.model.parts({UPLOADED: pixels}) if self.model.recipe.reads_boxes else None
                embedding = self.model.embed({UPLOADED: pixels}, parts)
                network_input = self.model.network_input(pixels, embedding.iloc[0], parts)
            photo = make_photo(pixels, picture_height(pixels))
            self.photos.add_upload(key, Upload(name, box, photo, embedding, network_input))
        return key

    def describe(self, key: str) -> Json:
        """Return a photo as JSON: its key, what the API tells about a match, and size, or why it cannot be shown.

        Raises UnknownPhoto.
        """
        upload = self.photos.upload(key)
        row = self.photos.embedding(key).iloc[0]
        description = {
            "key": key,
            "name": upload.name if upload else row["name"],
            "box": upload.box if upload else None,
            "camera": None if row["camera"] == UNKNOWN_CAMERA else int(row["camera"]),
            **described_details(self.photos.details(key)),
            "parts": described_parts(row),
        }
        try:
            size = self.photos.size(key)
            if (row["boxes"] > np.array(2 * size, np.float32) + 0.5).any():
                raise UserError("this file has been replaced since the gallery was built")
            return {**description, "size": size, "problem": None}
        except UserError as error:
            return {**description, "size": None, "problem": printable(error)}

    def decision(self, confidence: float) -> Json:
        """Return the confidence of a match and whether it is accepted; both are None if it has none, NaN."""
        calibration = self.model.calibration
        if calibration is None or np.isnan(confidence):
            return {"confidence": None, "accepted": None}
        return {"confidence": confidence, "accepted": confidence >= calibration.threshold}

    def picture(self, key: str) -> bytes:
        """Return a photo as a JPEG file. Raises UnknownPhoto, and UserError if it cannot be read."""
        return encode_jpeg(self.photos.photo(key).picture)

    def heatmap(self, key: str, kind: str) -> bytes:
        """Return a photo with one of its heatmaps over it, as a JPEG file. Raises as `picture`."""
        if kind not in self.heatmaps or kind not in HEATMAPS:
            raise UnknownPhoto(f"this network has no heatmap {printable(kind)}")
        picture = self.photos.photo(key).picture
        return encode_jpeg(overlay(picture, self._heatmaps(key).scaled()[HEATMAPS[kind]]))

    def covered(self, key: str, other: str) -> bytes:
        """Return a photo, as a JPEG file, with what covering its squares does to its score with another photo.

        Raises as `picture`.
        """
        picture, covering = self.photos.photo(key).picture, self._coverings(key, other)
        return encode_jpeg(draw_effects(picture, covering.squares, covering.largest))

    def _read_choices(self, version: int) -> Choices:
        return read_choices(self.gallery.store.snapshot())

    def _compute_heatmaps(self, key: str) -> Heatmaps:
        (heatmaps,) = compute_heatmaps(self.model.network, self._network_input(key), device=self.model.device)
        return heatmaps

    def _compute_covering(self, key: str, other: str) -> Covering:
        reference, images = self.photos.embedding(other)["feature"][0], self._network_input(key)
        (covering,) = covering_effects(self.model.network, images, reference[None], device=self.model.device)
        return covering

    def _network_input(self, key: str) -> VehicleImages:
        upload = self.photos.upload(key)
        if upload is not None:
            return upload.network_input
        image, row = self.photos.image(key), self.photos.embedding(key).iloc[0]
        with hidden_progress():
            return self.model.network_input(image, row)


def described_details(details: Mapping[str, str]) -> Json:
    """Return the details of an image as the API tells them: vehicle and time, "" if unknown, and the others."""
    others = {column: value for column, value in details.items() if column not in (*DETAILS, ENROLLED_BY)}
    return {**{column: details.get(column, "") for column in DETAILS}, "details": others}


def described_parts(row: Any) -> list[Json]:
    """Return the parts of a row of `embed` or `search`: name, weight and box of each, the strongest first."""
    weights = row["attention"].tolist() if row["parts"] else []
    parts = [
        {"name": part, "weight": weight, "box": box}
        for part, weight, box in zip(row["parts"], weights, row["boxes"].tolist(), strict=True)
    ]
    return sorted(parts, key=lambda part: -part["weight"])
