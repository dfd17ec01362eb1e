"""Features that are being extracted: blocks of whole batches, put down one by one, so that a stopped run goes on."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError, worker_death_as_user_error
from data_cache.base.files import remove_strays
from data_cache.base.locks import run_lock
from data_cache.parts.cache import require_fingerprint
from reid.distributed import first_rank_first, own_rank
from reid.features.file import Features, read_features, write_features

log = logging.getLogger(__name__)

BATCHES = 64  # in a block: what a stop can cost, against a file to sync after each
REMEDY = "it is made again"
Block = tuple[NDArray[np.float32], NDArray[np.float32]]  # features (n, C) and attention (n, D) of n images


def cut(rows: range, size: int) -> list[range]:
    """Cut consecutive rows into runs of `size`; the last may be shorter.

    >>> cut(range(5), 2)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@dataclass(frozen=True)
class FeatureBlocks:
    """The finished blocks of a feature file `output`: each is a feature file too, of its own images, in OUTPUT.blocks.

    names (N,) of all images. `provenance` is what decides the bits of a block: that of the file, device and batch.
    """

    output: Path
    names: Sequence[str]
    provenance: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """Where the blocks lie until the file is whole."""
        return self.output.with_name(self.output.name + ".blocks")

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Hold the lock of the folder, and keep finished blocks when interrupted.

        Of several processes of torchrun the first holds it. Raises UserError where another run holds it,
        and where a process that reads images has been killed.
        """
        with worker_death_as_user_error(), ExitStack() as held:
            with first_rank_first():
                if not own_rank():
                    held.enter_context(run_lock(self.folder))
            try:
                yield
            except KeyboardInterrupt:
                log.info(f"{self.output}: stopped; what is finished is kept, run it again to go on")
                raise

    def finished(self, plan: Sequence[range]) -> dict[range, Block]:
        """Return the blocks of `plan`, ranges of rows, that are there and true; of the rest one line is said."""
        found: dict[range, Block] = {}
        faults = []
        for rows in plan:
            try:
                block = self._read(rows)
            except UserError as error:
                faults.append(str(error))
            else:
                if block is not None:
                    found[rows] = block
        if faults:
            log.info(faults[0] + (f", and {len(faults) - 1:,} more" if len(faults) > 1 else ""))
        if found:
            log.info(f"going on: {sum(map(len, found)):,} of {len(self.names):,} images were finished before")
        return found

    def made_by_another(self, rows: range) -> Block:
        """Return a block that another process of this run has finished. Raises UserError where it is not there."""
        block = self._read(rows)
        if block is None:
            raise UserError(f"{self._path(rows)}: another process should have made it; all of them need one folder")
        return block

    def keep(self, rows: range, block: Block) -> None:
        """Put a finished block down, whole. Raises UserError, naming the image, where a feature is not finite."""
        write_features(self._path(rows), Features(self._names(rows), *block, self.provenance))

    def clear_up(self) -> None:
        """Remove what the making of a finished file left: its blocks, and temporary files of killed runs."""
        remove_strays(self.output)  # first, as the folder tells that there may be any
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear_up_leftovers(self) -> None:
        """Clear up after a run that was killed when the file was whole; blocks of a run that is at work stay."""
        if self.folder.exists():
            with suppress(UserError), run_lock(self.folder):
                self.clear_up()

    def _read(self, rows: range) -> Block | None:
        path = self._path(rows)
        if not path.exists():
            return None
        block = read_features(path, REMEDY)
        require_fingerprint(block.provenance, self.provenance, path, REMEDY)
        if block.names != self._names(rows):
            raise UserError(f"{path}: holds other images than its place says; {REMEDY}")
        return block.matrix, block.attention

    def _path(self, rows: range) -> Path:
        return self.folder / f"{rows.start:08d}.safetensors"

    def _names(self, rows: range) -> tuple[str, ...]:
        return tuple(self.names[rows.start : rows.stop])
