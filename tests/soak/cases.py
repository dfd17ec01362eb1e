"""Every command that writes, as typed, and a place with all that they read: a data set, a detector, a trained run."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from click.testing import CliRunner
from torch import nn

from cli import main
from data_cache.parts.names import PART_NAMES
from detect.model.weights import write_weights
from helpers.faults.processes import Ended
from helpers.naive.official import official_state
from helpers.places.api import make_toy_run, small_networks
from helpers.places.stand_in import RECIPE as STAND_IN
from helpers.toy.annotations import TINY as DETECTOR
from helpers.toy.annotations import toy_set as annotated_set
from helpers.toy.vehicles import TINY_OPTIONS
from helpers.toy.voc import write_picture, write_voc
from reid.model.backbones import BACKBONES
from soak.trees import Tree, read_tree

RESNET18 = BACKBONES["resnet18"]  # the real one, which the authors' weights need

ON = "--dataset folder --data-root {data} --runs {runs}"
HERE = f"{ON} --device cpu --workers 0"
SYNTH = "synth --vehicles 4 --fleet-size 2 --cameras 3 --cameras-per-vehicle 2 --images-per-camera 1 --image-size 48"
TINY = " ".join([*TINY_OPTIONS, "--set epochs=1"])
WEIGHTS = "--detector {runs}/detector/toy/weights.safetensors"
DETECT = f"detect {HERE} {WEIGHTS} --output {{out}}/parts.h5 --batch-size 3 --limit 12"


@dataclass(frozen=True)
class Case:
    """A command with its name in the table; `before` are commands to run first.

    `overwrites`: it replaces old files without reading them. `once`: it refuses to repeat finished work. `short`:
    number of faults that `make test` tries; 0 for slow commands.
    """

    name: str
    words: str
    before: tuple[str, ...] = ()
    overwrites: bool = False
    once: bool = False
    short: int = 3


CASES = (
    Case("synth --preview", f"{SYNTH} --preview --data-root {{out}} --workers 0", short=2),
    *(
        Case(f"synth --layout {layout}", f"{SYNTH} --layout {layout} --data-root {{out}} --workers 0", short=short)
        for layout, short in (("veri", 0), ("vehicleid", 1), ("vric", 0), ("veriwild", 0))
    ),
    Case(
        "parts train",
        "parts train --annotations {given}/parts/parts.json --runs {out} --recipe {given}/tiny.json --device cpu "
        "--workers 0",
        short=1,
    ),
    Case(
        "parts eval",
        "parts eval --detector {given}/wide.safetensors --annotations {given}/parts/parts.json --output {out} "
        "--device cpu --workers 0",
        overwrites=True,
        short=0,
    ),
    Case("parts preview", f"parts preview {HERE} {WEIGHTS} --count 2", overwrites=True),
    Case("parts convert --voc", "parts convert --voc {given}/voc --output {out}/parts.json", overwrites=True),
    Case(
        "parts convert --coco",
        "parts convert --coco {given}/parts/parts.json --output {out}/parts.json",
        overwrites=True,
    ),
    Case("detect", DETECT, short=200),
    Case("detect, retrying a failed image", DETECT, before=(DETECT.replace("{data}", "{given}/damaged"),), short=200),
    Case("cache merge", "cache merge {out}/parts.h5 a={runs}/folder/parts.h5 b={runs}/folder/parts.h5 --dataset both"),
    Case("cache import --coco", "cache import --coco {given}/parts/parts.json --output {out}/parts.h5"),
    *(
        Case(
            f"cache export --format {kind}",
            f"cache export {{runs}}/folder/parts.h5 --format {kind} --output {{out}}/boxes",
            overwrites=True,
        )
        for kind in ("csv", "coco")
    ),
    Case("cache stats --output", "cache stats {runs}/folder/parts.h5 --output {out}", overwrites=True, short=2),
    Case("check --strict", "check --dataset folder --data-root {data} --strict --workers 0 --json"),
    Case("train", f"train {HERE} {TINY} --set epochs=2 --recipe pgan_small"),
    Case("train --decoded-cache", f"train {HERE} {TINY} --recipe pgan_small --decoded-cache"),
    Case("features", f"features {HERE} --recipe tiny", before=("rm {runs}/folder/tiny/test",)),
    Case("evaluate", f"evaluate {HERE} --recipe tiny --untrained", before=("rm {runs}/folder/tiny/test",)),
    Case("evaluate --rerank, once more", f"evaluate {HERE} --recipe tiny --rerank"),
    Case("evaluate --features", f"evaluate {ON} --features {{given}}/theirs.npz"),
    Case("report", f"report {ON} --recipe tiny --device cpu --queries 2 --heatmaps 1", overwrites=True, short=2),
    Case("rank", f"rank {ON} --recipe tiny --device cpu --count 1 --heatmaps", overwrites=True, short=2),
    Case("heatmaps", f"heatmaps {ON} --recipe tiny --device cpu --count 1", overwrites=True, short=2),
    Case("ablate", f"ablate --table 3 {HERE} {TINY} --recipe small --seeds 1 --set parts=2", short=0),
    Case("import-weights", "import-weights --official {given}/model_best.pth --dataset veri --runs {out}", short=1),
    Case(
        "export --format safetensors",
        "export --dataset folder --runs {runs} --recipe tiny --format safetensors",
        overwrites=True,
    ),
    Case("export --format pt2", "export --dataset folder --runs {runs} --recipe tiny --format pt2", short=0),
    Case("export --format onnx", "export --dataset folder --runs {runs} --recipe tiny --format onnx", short=0),
)


@dataclass(frozen=True)
class Place:
    """A folder with `data` and `given`, which nothing writes to, and `work`, written anew for each try."""

    folder: Path
    start: Tree

    @property
    def work(self) -> Path:
        """The folder that the commands write to: runs, their output, and temporary files."""
        return self.folder / "work"

    def run(self, text: str, elsewhere: Mapping[str, Path] | None = None) -> Ended:
        """Run a command in this process, with `elsewhere` in place of `out` or `runs` and temporary folders in `work`.

        An exception that escapes from it is reported as a traceback.
        """
        folders = {"data": self.folder / "data", "given": self.folder / "given"}
        folders |= {"runs": self.work / "runs", "out": self.work / "out"}
        command, *words = text.format(**folders | dict(elsewhere or {})).split()
        if command == "rm":
            shutil.rmtree(words[0])
            return Ended(0, "")
        backbones = {"resnet18": RESNET18} if command == "import-weights" else {}
        with patch.dict(BACKBONES, backbones), patch.object(tempfile, "tempdir", str(self.work / "tmp")):
            result = CliRunner().invoke(main, [command, *words])
        escaped = "" if isinstance(result.exception, SystemExit | None) else f"Traceback: {result.exception!r}"
        return Ended(result.exit_code, result.output + escaped)


@contextmanager
def new_place() -> Iterator[Place]:
    """Make a place, and remove it at the end; meanwhile networks are tiny."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name, small_networks():
        folder, work = Path(name).resolve(), Path(name).resolve() / "work"
        made = make_toy_run(folder)
        for one in ("out", "tmp"):
            (work / one).mkdir(parents=True)
        made.runs.rename(work / "runs")
        _write_inputs(folder / "given", folder / "data", made.tested_names())
        ended = Place(folder, {}).run(f"evaluate {HERE} --recipe tiny")
        assert ended.code == 0, ended.output
        yield Place(folder, read_tree(work))


def _write_inputs(given: Path, data: Path, tested: list[str]) -> None:
    """Write what the commands read: annotations, photographs, weights, features, a data set with a damaged image."""
    pictures = sorted((data / "images").iterdir())
    shutil.copytree(data, given / "damaged")
    (given / "damaged/images" / pictures[1].name).write_bytes(pictures[1].read_bytes()[:400])
    annotated_set(given / "parts", 4)
    (given / "tiny.json").write_text(json.dumps(DETECTOR.model_dump(mode="json") | {"epochs": 2, "validate_every": 1}))
    write_weights(given / "wide.safetensors", nn.BatchNorm2d(1), STAND_IN.model_copy(update={"input_size": 128}))
    write_voc(given / "voc/a.xml", "a.jpg", [("Back_Mirror", (2, 3, 40, 50)), (PART_NAMES[0], (5, 5, 90, 60))])
    write_picture(given / "voc/a.jpg")
    torch.save(official_state(layers=18, vehicles=3), given / "model_best.pth")
    np.savez(given / "theirs.npz", names=np.array(tested), features=np.random.default_rng(0).random((len(tested), 8)))
