"""The folder in which the unfinished work of a gallery is kept while images are embedded."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_cache.base.files import sha256_of_bytes
from data_cache.base.locks import run_lock
from vehicle_reid.gallery.stores import gallery_folder


@contextmanager
def work_folder(address: str, run: Path) -> Iterator[Path]:
    """Lock the folder of a gallery's unfinished work: ADDRESS.work, or of one that is not on this machine one
    below the run's folder.

    What an interrupted job has finished stays in it. Raises UserError if another run holds the lock.
    """
    folder = gallery_folder(address)
    digest = sha256_of_bytes(address.encode())[:8]
    work = run / f"gallery-{digest}.work" if folder is None else folder.with_name(f"{folder.name}.work")
    try:
        with run_lock(work):
            yield work
    finally:
        with suppress(OSError):  # it is not empty, or was never made
            work.rmdir()
