"""What the page can ask of a gallery: look at a photo, search with it, compare two, show where the network looks."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_cache.base.errors import UserError, printable
from data_cache.base.files import sha256_of_bytes
from data_cache.base.progress import hidden_progress
from data_cache.images.drawing import visible
from reid.data.vehicle_images import VehicleImages
from reid.report.heatmaps import ADDED, GLOBAL, PART, Heat, heat_of, veiled
from reid.report.tiles import encode
from vehicle_reid.gallery.gallery import Gallery
from vehicle_reid.web.photos import UPLOADED, Gone, Photos, Upload, photo_of, pixels_of_upload

PHOTO = "photo"
HEATS = {"Fg": GLOBAL, "Fp": PART, "added": ADDED}  # of a picture's address
MAPS = 128  # pairs of heatmaps in memory, some kilobytes each
Answer = dict[str, Any]  # of JSON


class Finder:
    """A gallery, its model, and its photos.

    `look`, `listed` and `size` may be asked by several threads at once; `keep`, `matches`, `score` and `heat` use the
    model, and one thread alone may ask them.
    """

    def __init__(self, gallery: Gallery, root: Path) -> None:
        """Search in `gallery`, whose images' names are paths below `root`."""
        self.gallery, self.model = gallery, gallery.model
        self.photos = Photos(gallery.entries, root, self.model.recipe.image_size)
        self._by_name = sorted(range(len(gallery)), key=gallery.names.__getitem__)
        self._heat = lru_cache(maxsize=MAPS)(self._heat_of)

    @property
    def cameras(self) -> list[int]:
        """The cameras of the gallery that are known, rising."""
        return [camera for camera in np.unique(self.gallery.entries.cameras).tolist() if camera >= 0]

    @property
    def heats(self) -> list[str]:
        """The heatmaps that the network has, of `HEATS`."""
        return list(HEATS) if self.model.recipe.attention != "none" else ["Fg"]

    def keep(self, data: bytes) -> str:
        """Look at an uploaded file and return the key of its photo. Raises UserError where it cannot be used."""
        key = f"p{sha256_of_bytes(data)[:16]}"
        if not self.photos.has(key):
            pixels = pixels_of_upload(data)
            with hidden_progress():
                found = self.model.embed({UPLOADED: pixels})
            self.photos.keep(key, Upload(photo_of(pixels, self.model.recipe.image_size), found))
        return key

    def look(self, key: str) -> Answer:
        """Return what is known of a photo, as JSON: see `_told`. Raises Gone."""
        return self._told(key, self.photos.found(key).to_dict("records")[0])

    def listed(self, start: int, count: int, camera: int | None, words: str) -> Answer:
        """Return images of the gallery by name: those of a camera, if one is given, whose names hold the words."""
        entries, wanted = self.gallery.entries, words.casefold()
        by_it = (row for row in self._by_name if camera is None or entries.cameras[row] == camera)
        fitting = [row for row in by_it if wanted in entries.names[row].casefold()]
        return {"total": len(fitting), "images": [self.look(f"g{row}") for row in fitting[start : start + count]]}

    def matches(self, key: str, k: int, cameras: Sequence[int] | None, without: Sequence[int]) -> list[Answer]:
        """Return the k images of the gallery most like a photo, which is none of them itself. Raises Gone."""
        own = self.photos.row(key)
        found = self.gallery.search(self.photos.found(key), k + 1, cameras=cameras, without_cameras=without)
        rows = self.gallery.entries.rows(list(found["name"])).tolist()
        others = [
            {**self._told(f"g{row}", match), "score": match["score"]}
            for row, match in zip(rows, found.to_dict("records"), strict=True)
            if row != own
        ]
        return others[:k]

    def score(self, first: str, second: str) -> float:
        """Return how alike two photos are: the cosine of their features. Raises Gone."""
        one, other = (self.photos.found(key)["feature"][0] for key in (first, second))
        return float(np.dot(one, other))

    def picture(self, key: str) -> bytes:
        """Return a photo as a JPEG file. Raises Gone, and UserError where it cannot be read."""
        return encode(self.photos.photo(key).picture, "JPEG")

    def heat(self, key: str, kind: str) -> bytes:
        """Return a photo under one of its heatmaps, as a JPEG file. Raises as `picture`."""
        if kind not in self.heats:
            raise Gone(f"there is no heatmap {printable(kind)} of this network")
        picture = self.photos.photo(key).picture
        return encode(_veiled(picture, self._heat(key), HEATS[kind]), "JPEG")

    def _heat_of(self, key: str) -> Heat:
        photo, found = self.photos.photo(key), self.photos.found(key)["boxes"][0]
        boxes, present = np.zeros((1, self.model.depth, 4), np.float32), np.zeros((1, self.model.depth), dtype=bool)
        boxes[0, : len(found)], present[0, : len(found)] = found / np.array(2 * photo.size, np.float32), True
        size = self.model.recipe.image_size
        images = VehicleImages([Path(key)], boxes, present, size=size, pixels=lambda _: photo.pixels)
        (heat,) = heat_of(self.model.network, images, device=self.model.device)
        return heat

    def _told(self, key: str, found: Any) -> Answer:
        """Return a row of `embed` or `search` as JSON; `problem` tells why there is no picture, `size` is null then."""
        weights = found["attention"].tolist() if found["parts"] else []
        parts = [
            {"name": part, "weight": weight, "box": box}
            for part, weight, box in zip(found["parts"], weights, found["boxes"].tolist(), strict=True)
        ]
        answer = {"key": key, "name": visible(found["name"]), "camera": found["camera"], "problem": None}
        answer["parts"] = sorted(parts, key=lambda part: -part["weight"])
        try:
            return {**answer, "size": self._size(key, found["boxes"])}
        except UserError as error:
            return {**answer, "size": None, "problem": printable(error)}

    def _size(self, key: str, boxes: NDArray[np.float32]) -> tuple[int, int]:
        size = self.photos.size(key)
        if (boxes > np.array(2 * size, np.float32) + 0.5).any():
            raise UserError("another image lies there now than when the gallery was built")
        return size


def _veiled(picture: Image.Image, heat: Heat, kind: str) -> Image.Image:
    return veiled(picture, heat.shares()[kind])
