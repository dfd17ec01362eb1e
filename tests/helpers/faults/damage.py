"""Every kind of file that a run leaves or reads, whole; who reads it; and ways to damage it."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from data_cache.base.files import read_json_lines
from data_cache.datasets.catalogue import load_dataset
from data_cache.parts.cache import read_parts
from data_cache.parts.import_coco import import_coco
from data_cache.parts.shards import shard_is_finished
from detect.training.runs import require_same_training
from helpers.toy.annotations import TINY as DETECTOR
from reid.data.pixel_file import open_pixels
from reid.evaluation.metrics_file import read_metrics
from reid.features.blocks import FeatureBlocks
from reid.features.file import read_features
from reid.runs import BEST, LAST, PREVIOUS
from reid.training.state import checkpoint_to_resume
from soak.inputs import ours, texts

FLIPS = 12
FINGERPRINT = {"detector": "painted"}
MADE_FROM = {"recipe": DETECTOR.model_dump(mode="json"), "annotations": "0" * 64}


@dataclass(frozen=True)
class Kind:
    """A file by its name in a folder, its whole content, how it is read there, and words of the remedy.

    `sealed`: it holds a hash, so that nothing changed is ever taken. Where it holds none, a changed value may pass for
    another value. `beside` is what else must lie in the folder.
    """

    name: str
    whole: Callable[[], bytes]
    read: Callable[[Path], object]
    remedy: str
    sealed: bool = True
    beside: Mapping[str, bytes] = field(default_factory=dict)


def damages(whole: bytes, seed: str) -> Iterator[tuple[str, bytes]]:
    """Yield what is left of a file: nothing, half, all but the last byte; then all of it with one bit flipped."""
    yield "nothing", b""
    yield "half", whole[: len(whole) // 2]
    yield "all but the last byte", whole[:-1]
    random = Random(seed)
    for _ in range(FLIPS):
        bit = random.randrange(8 * len(whole))
        harmed = bytearray(whole)
        harmed[bit // 8] ^= 1 << (bit % 8)
        yield f"bit {bit} flipped", bytes(harmed)


def _shard(folder: Path) -> bool:
    """Whether the shard is finished; where it is not, the reason is said and it is made again."""
    return shard_is_finished(folder / "000000.h5", ["a.jpg", "b.jpg"], FINGERPRINT, folder)


def _blocks(folder: Path) -> bool:
    """Whether the block of an extraction is true; where it is not, the reason is said and it is made again."""
    return bool(FeatureBlocks(folder / "f", ["a.jpg", "b.jpg"], {"weights": "0"}).finished([range(2)]))


def _coco(folder: Path) -> None:
    import_coco(folder / "coco.json", dataset=None, top_k=2)


def _file(target: Mapping[str, bytes], name: str) -> Callable[[], bytes]:
    return lambda: target[name]


KINDS: dict[str, Kind] = {
    "shard": Kind("000000.h5", ours.cache_bytes, _shard, "this shard is made again"),
    "part cache": Kind(
        "parts.h5", ours.cache_bytes, lambda folder: read_parts(folder / "parts.h5"), "`python cli.py detect`"
    ),
    "best checkpoint": Kind(BEST, ours.checkpoint_bytes, ours.network_of_best, "train again, or name another run"),
    "last checkpoint": Kind(
        LAST,
        ours.checkpoint_bytes,
        lambda folder: checkpoint_to_resume(folder, ours.IDENTITY),
        "to resume from the epoch before",
        beside={PREVIOUS: b"of the epoch before"},
    ),
    "previous checkpoint": Kind(
        PREVIOUS, ours.checkpoint_bytes, lambda folder: checkpoint_to_resume(folder, ours.IDENTITY), "train again"
    ),
    "features": Kind(
        "f.safetensors", ours.features_bytes, lambda folder: read_features(folder / "f.safetensors"), "evaluate` again"
    ),
    "block of features": Kind("f.blocks/00000000.safetensors", ours.features_bytes, _blocks, "it is extracted again"),
    "weights of a detector": Kind("w.safetensors", ours.detector_bytes, ours.detector_read, "parts train`"),
    "training of a detector": Kind("state.pt", ours.training_bytes, ours.training_read, "delete it to train anew"),
    "recipe of a detector": Kind(
        "recipe.json",
        lambda: json.dumps(MADE_FROM).encode(),
        lambda folder: require_same_training(folder, MADE_FROM),
        "",
        sealed=False,  # an option of no value is as good as a missing one, whatever its name has become
    ),
    "decoded images": Kind(
        "d.safetensors",
        ours.decoded_bytes,
        lambda folder: open_pixels(folder / "d.safetensors", ours.MADE_FROM),
        "`train --decoded-cache` makes it again",
    ),
    "recipe": Kind("pgan.yaml", _file(texts.recipe_files(), "pgan.yaml"), texts.recipe_read, "", sealed=False),
    "metrics": Kind(
        "metrics.json",
        _file(texts.metrics_written(), "metrics.json"),
        lambda folder: read_metrics(folder / "metrics.json"),
        "",
        sealed=False,
    ),
    "log": Kind(
        "log.jsonl",
        _file(texts.log_lines(), "log.jsonl"),
        lambda folder: read_json_lines(folder / "log.jsonl"),
        "",
        sealed=False,
    ),
    "list of images": Kind(
        "images.csv", texts.CSV.encode, lambda folder: load_dataset("folder", folder), "", sealed=False
    ),
    "mark of the renderer": Kind(
        "synthetic/synthetic.json",
        b'{"layout": "synthetic", "images": 4}'.strip,
        lambda folder: load_dataset("synthetic", folder),
        "",
        sealed=False,
        beside={"synthetic/images.csv": texts.CSV.encode()},
    ),
    "COCO JSON": Kind("coco.json", _file(texts.coco_files_(), "coco.json"), _coco, "", sealed=False),
}
