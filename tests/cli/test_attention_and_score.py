"""The example attention_and_score.py: its shares equal a plain loop, and it selects the documented runs."""

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from data_cache.base.files import write_json
from data_cache.parts.cache import write_parts
from data_cache.parts.names import PART_NAMES
from helpers.paths import ROOT
from helpers.toy.evaluated import make_evaluated_run
from reid.features.file import write_features
from reid.report.evaluated_run import EvaluatedRun

SCRIPT = ROOT / "docs/examples/attention_and_score.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path: Path) -> EvaluatedRun:
    """A run of the ablation with boxes of every label."""
    evaluated = make_evaluated_run(tmp_path)
    labels = np.arange(30, dtype=np.int8).reshape(15, 2) % len(PART_NAMES)
    parts = replace(evaluated.parts, part_names=PART_NAMES, labels=labels)
    features = replace(evaluated.features, attention=np.random.default_rng(0).dirichlet([1, 1], 15).astype(np.float32))
    folder = tmp_path / "runs" / "folder" / "ablation" / "pgan-seed0"
    write_parts(tmp_path / "runs" / "folder" / "parts.h5", parts)
    write_json(folder / "test" / "metrics.json", evaluated.metrics)
    write_features(folder / "test" / "features.safetensors", features)
    return replace(evaluated, folder=folder, parts=parts, features=features)


def test_the_share_equals_a_plain_loop(example: ModuleType, run: EvaluatedRun) -> None:
    total = 0.0
    for image in range(15):
        for slot in range(2):
            if PART_NAMES[int(run.parts.labels[image, slot])] in example.DISCRIMINATIVE:
                total += float(run.features.attention[image, slot])
    found = example.discriminative_share(run.parts, run.folder / "test" / "features.safetensors")
    assert 0 < found < 1 and found == pytest.approx(total / 15)


def test_runs_without_parts_or_attention_are_left_out(
    example: ModuleType, run: EvaluatedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(example.DISCRIMINATIVE) <= set(PART_NAMES)
    monkeypatch.setattr(example, "TRUE_BOXES", {"truth": lambda dataset: run.parts})
    for name in ("pgan_no_pam-seed0", "pgan_parts=0-seed0", "pgan_boxes=random-seed0", "pgan_boxes=truth-seed1"):
        shutil.copytree(run.folder, run.folder.with_name(name))
    (run.folder.with_name("pgan-seed1")).mkdir()
    options = ["--dataset", "folder", "--data-root", str(run.dataset.root), "--runs", str(run.folder.parents[2])]
    result = CliRunner().invoke(example.main, [*options, "--output", str(run.folder / "a.png")], catch_exceptions=False)
    assert [line.split()[-1] for line in result.stdout.splitlines()] == ["pgan-seed0", "pgan_boxes=truth-seed1"]
    score = 100 * run.metrics["scores"]["trained"]["mAP"]
    assert result.stdout.splitlines()[0].split()[1] == f"{score:.1f}"
    assert (run.folder / "a.png").read_bytes().startswith(b"\x89PNG")
