"""Pictures that a gallery keeps itself, in its folder: the files of images that came through the API."""

from collections.abc import Sequence
from pathlib import Path

from data_cache.base.errors import UserError
from data_cache.base.files import remove, sha256_of_bytes, write_atomically
from vehicle_reid.gallery.store import StoreFault
from vehicle_reid.gallery.stores import gallery_folder

PICTURES = "pictures"  # folder beside the table


class Pictures:
    """Image files by the names of images. What a killed program left does no harm: it is overwritten, or never read."""

    def __init__(self, folder: Path) -> None:
        """Keep them in `folder`, which is made when it is needed."""
        self.folder = folder

    @classmethod
    def of(cls, address: str) -> "Pictures | None":
        """Return those of the gallery at an address, None if it is not in a folder."""
        folder = gallery_folder(address)
        return None if folder is None else cls(folder / PICTURES)

    def path(self, name: str) -> Path:
        """Return the file of an image, whether it is there or not: no name can lead out of the folder."""
        return self.folder / sha256_of_bytes(name.encode())

    def write(self, name: str, data: bytes) -> None:
        """Write an image file, whole or not at all; on return it outlasts a crash. Raises StoreFault if that fails."""
        try:
            write_atomically(self.path(name), data)
        except UserError as error:
            raise StoreFault(error) from error

    def remove(self, names: Sequence[str]) -> None:
        """Remove the files of these images, where there are any; log a warning if that fails."""
        for name in names:
            remove(self.path(name))
