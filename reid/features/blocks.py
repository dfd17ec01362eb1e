"""Blocks of an unfinished feature file: each is written when it is complete, so that a stopped extraction resumes."""

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
from data_cache.base.files import remove_temporary_files
from data_cache.base.locks import run_lock
from data_cache.parts.fingerprints import require_fingerprint
from reid.distributed import first_rank_first, own_rank
from reid.features.file import Features, read_features, write_features

log = logging.getLogger(__name__)

BATCHES = 64  # per block: more lose more work at a stop, fewer write and sync more files
REMEDY = "it is extracted again"
Block = tuple[NDArray[np.float32], NDArray[np.float32]]  # features (n, C) and attention (n, D) of n images


def cut(rows: range, size: int) -> list[range]:
    """Cut consecutive rows into ranges of `size`; the last may be shorter.

    >>> cut(range(5), 2)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [rows[start : start + size] for start in range(0, len(rows), size)]


@dataclass(frozen=True)
class FeatureBlocks:
    """The finished blocks of the feature file `output`, in OUTPUT.blocks; each is a feature file of its own images.

    names (N,) of all images. `provenance` determines a block bit for bit: that of the file, with device and batch size.
    """

    output: Path
    names: Sequence[str]
    provenance: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """The folder of the blocks, which exists until the file is complete."""
        return self.output.with_name(self.output.name + ".blocks")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the folder; of the processes of `torchrun` the first one holds it.

        Raises UserError if another run holds it, or if a loader worker is killed.
        """
        with worker_death_as_user_error(), ExitStack() as stack:
            with first_rank_first():
                if not own_rank():
                    stack.enter_context(run_lock(self.folder))
            try:
                yield
            except KeyboardInterrupt:
                log.info(f"{self.output}: stopped; finished blocks are kept, run it again to resume")
                raise

    def finished(self, plan: Sequence[range]) -> dict[range, Block]:
        """Return the valid blocks of `plan`; the message names the first invalid one and counts the rest."""
        blocks: dict[range, Block] = {}
        faults = []
        for rows in plan:
            try:
                block = self._read(rows)
            except UserError as error:
                faults.append(str(error))
            else:
                if block is not None:
                    blocks[rows] = block
        if faults:
            log.info(faults[0] + (f", and {len(faults) - 1:,} more" if len(faults) > 1 else ""))
        if blocks:
            log.info(f"resuming: {sum(map(len, blocks)):,} of {len(self.names):,} images were finished before")
        return blocks

    def from_other_process(self, rows: range) -> Block:
        """Return a block that another process of this run has written. Raises UserError if it is missing."""
        block = self._read(rows)
        if block is None:
            raise UserError(f"{self._path(rows)}: missing, although another process wrote it; all need the same folder")
        return block

    def write(self, rows: range, block: Block) -> None:
        """Write a finished block atomically. Raises UserError, naming the image, if a feature is not finite."""
        write_features(self._path(rows), Features(self._names(rows), *block, self.provenance))

    def remove(self) -> None:
        """Remove the blocks of a complete file, and temporary files of killed runs."""
        remove_temporary_files(self.output)  # first: while the folder exists, `remove_leftovers` looks for them again
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_leftovers(self) -> None:
        """Remove what a run left that was killed after the file was complete, unless another run is writing blocks."""
        if self.folder.exists():
            with suppress(UserError), run_lock(self.folder):
                self.remove()

    def _read(self, rows: range) -> Block | None:
        path = self._path(rows)
        if not path.exists():
            return None
        block = read_features(path, REMEDY)
        require_fingerprint(block.provenance, self.provenance, path, REMEDY)
        if block.names != self._names(rows):
            raise UserError(f"{path}: does not hold the images of its file name; {REMEDY}")
        return block.matrix, block.attention

    def _path(self, rows: range) -> Path:
        return self.folder / f"{rows.start:08d}.safetensors"

    def _names(self, rows: range) -> tuple[str, ...]:
        return tuple(self.names[rows.start : rows.stop])
