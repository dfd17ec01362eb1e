"""Damaged files of every kind are refused in one line that names the file and the remedy.

A file with a hash is never accepted after a byte has changed. A recipe, a log, a list or a JSON file has no hash:
there a changed digit is another value, and only what cannot be right is noticed (see test_fuzz.py).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from data_cache.base.errors import UserError
from data_cache.parts.cache import TURNED, read_parts
from data_cache.parts.shards import shard_is_finished
from reid.data.pixel_file import open_pixels
from reid.features.blocks import FeatureBlocks
from reid.features.file import read_features
from reid.runs import BEST, LAST, PREVIOUS
from reid.training.state import checkpoint_to_resume
from soak.fuzz import TARGETS
from soak.inputs import ours
from soak.inputs.mutation import flipped

NAMES = ["a.jpg", "b.jpg"]
FLIPS = 12
pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.ParserWarning")


class Kind(NamedTuple):
    """A file with a hash: its name, its content, how it is read from its folder, and words of the remedy.

    `read` returns False if the damage is reported and the file is made again.
    """

    name: str
    content: Callable[[], bytes]
    read: Callable[[Path], object]
    remedy: str
    beside: Mapping[str, bytes] = {}


def resume(folder: Path) -> None:
    checkpoint_to_resume(folder, ours.IDENTITY)


KINDS = {
    "shard": Kind(
        "000000.h5",
        ours.cache_bytes,
        lambda folder: shard_is_finished(folder / "000000.h5", NAMES, {"detector": "painted", **TURNED}, folder),
        "this shard is made again",
    ),
    "part cache": Kind(
        "parts.h5", ours.cache_bytes, lambda folder: read_parts(folder / "parts.h5"), "`python cli.py detect`"
    ),
    "best checkpoint": Kind(BEST, ours.checkpoint_bytes, ours.read_best_network, "train again, or name another run"),
    "last checkpoint": Kind(
        LAST, ours.checkpoint_bytes, resume, "to resume from the epoch before", {PREVIOUS: b"of the epoch before"}
    ),
    "previous checkpoint": Kind(PREVIOUS, ours.checkpoint_bytes, resume, "train again"),
    "features": Kind(
        "f.safetensors", ours.features_bytes, lambda folder: read_features(folder / "f.safetensors"), "evaluate` again"
    ),
    "block of features": Kind(
        "f.blocks/00000000.safetensors",
        ours.features_bytes,
        lambda folder: bool(FeatureBlocks(folder / "f", NAMES, {"weights": "0"}).finished([range(2)])),
        "it is extracted again",
    ),
    "weights of a detector": Kind(
        "w.safetensors", ours.detector_bytes, ours.read_detector, "choose another with --detector"
    ),
    "training of a detector": Kind("state.pt", ours.training_bytes, ours.read_training, "delete it to train anew"),
    "decoded images": Kind(
        "d.safetensors",
        ours.decoded_bytes,
        lambda folder: open_pixels(folder / "d.safetensors", ours.MADE_FROM),
        "`train --decoded-cache` makes it again",
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_any_change_of_a_file_with_a_hash_is_refused_with_the_remedy(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, random = KINDS[name], Random(name)
    whole, path = kind.content(), tmp_path / kind.name
    path.parent.mkdir(exist_ok=True)
    for other, data in kind.beside.items():
        (tmp_path / other).write_bytes(data)

    def problem(content: bytes) -> str | None:
        path.write_bytes(content)
        capsys.readouterr()
        try:
            again = kind.read(tmp_path) is False
        except UserError as error:
            return str(error)
        return capsys.readouterr().err.rstrip("\n") if again else None

    assert problem(whole) is None
    flips = [flipped(whole, random.randrange(8 * len(whole))) for _ in range(FLIPS)]
    for damaged in (b"", whole[: len(whole) // 2], whole[:-1], *flips):
        line = problem(damaged)
        assert line is not None and "\n" not in line and kind.remedy in line and str(tmp_path) in line, line
        assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    ("target", "file", "empty_is_valid", "half_is_valid"),
    [
        ("metrics", "metrics.json", False, False),
        ("log", "log.jsonl", True, True),
        ("recipe", "pgan.yaml", False, True),  # the rest of the fields have their defaults
        ("CSV", "images.csv", False, False),
        ("CSV of the renderer", "synthetic/synthetic.json", False, False),
        ("COCO to import", "coco.json", False, False),
    ],
)
def test_half_of_a_file_without_a_hash_is_refused_unless_it_is_valid(
    target: str, file: str, empty_is_valid: bool, half_is_valid: bool, tmp_path: Path
) -> None:
    TARGETS[target].write(tmp_path)
    whole = (tmp_path / file).read_bytes()
    for content, valid in ((b"", empty_is_valid), (whole[: len(whole) // 2], half_is_valid)):
        (tmp_path / file).write_bytes(content)
        if valid:
            TARGETS[target].read(tmp_path)
        else:
            with pytest.raises(UserError, match=rf"^{tmp_path}[^\n]*$"):
                TARGETS[target].read(tmp_path)


def test_rendered_set_with_missing_rows_is_refused(tmp_path: Path) -> None:
    target = TARGETS["CSV of the renderer"]
    target.write(tmp_path)
    table = tmp_path / "synthetic" / "images.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-2]))
    with pytest.raises(UserError, match=r"images\.csv: 3 images of 4; delete .* and make it again with"):
        target.read(tmp_path)
