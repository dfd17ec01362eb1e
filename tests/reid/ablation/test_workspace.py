"""States of ablation runs from their files; files of other recipes, data, boxes or scoring do not count."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from data_cache.base.errors import UserError
from data_cache.parts.cache import write_parts
from helpers.toy.ablation import toy_plan, toy_workspace, write_run
from helpers.toy.vehicles import Toy
from reid.ablation.ablation import load_ablation
from reid.ablation.workspace import Workspace


@pytest.fixture
def workspace(toy: Toy, tmp_path: Path) -> Workspace:
    write_parts(tmp_path / "folder" / "parts.h5", toy.parts)
    return toy_workspace(toy, tmp_path)


def test_state_of_new_trained_and_evaluated_runs(workspace: Workspace, toy: Toy) -> None:
    runs = toy_plan("1").runs
    assert workspace.state_of(runs[0]).epochs == 0
    write_run(workspace, toy, runs[0], epoch=2)
    assert (workspace.state_of(runs[0]).epochs, workspace.state_of(runs[0]).metrics) == (2, None)
    folder = write_run(workspace, toy, runs[1])
    assert (workspace.state_of(runs[1]).epochs, workspace.state_of(runs[1]).metrics) == (3, None)
    write_run(workspace, toy, runs[2], scores={"mAP": 0.4})
    metrics = workspace.state_of(runs[2]).metrics
    assert metrics is not None and metrics["scores"]["trained"]["mAP"] == 0.4
    (folder / "last.safetensors").rename(folder / "previous.safetensors")  # killed between renaming and writing
    assert workspace.state_of(runs[1]).epochs == 3


def test_metrics_of_another_epoch_or_test_do_not_finish_a_run(workspace: Workspace, toy: Toy) -> None:
    run = toy_plan("1").runs[0]
    write_run(workspace, toy, run, scores={"mAP": 0.4})
    assert toy_workspace(toy, workspace.runs, split="other").state_of(run).metrics is None
    write_run(workspace, toy, run, best=1)  # trained anew: these metrics are of epoch 2
    assert workspace.state_of(run).metrics is None


@pytest.mark.parametrize(
    "change",
    [
        {"scores": {"trained": {"precision": "trapezoid"}}},
        {"scores": {"trained": {"trials": 3, "seed": 0}}},
        {"parts": {"detector": "better"}},
        {"checkpoint": {"sha256": "0" * 64}},
    ],
)
def test_metrics_of_another_scoring_do_not_finish_a_run(workspace: Workspace, toy: Toy, change: dict[str, Any]) -> None:
    run = toy_plan("1").runs[1]
    path = write_run(workspace, toy, run, scores={"mAP": 0.4}) / "test" / "metrics.json"
    assert workspace.state_of(run).metrics is not None
    path.write_text(json.dumps(merged(json.loads(path.read_text()), change)))
    assert (workspace.state_of(run).epochs, workspace.state_of(run).metrics) == (3, None)


def merged(whole: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON with some values replaced, recursively."""
    new = {name: merged(whole[name], value) if isinstance(value, dict) else value for name, value in change.items()}
    return whole | new


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"dataset": "veri"}, "made with dataset = veri, this run needs folder"),
        ({"images": "0"}, "made with images = 0"),
        ({"parts": {"detector": "better"}}, "made with parts.detector = better, this run needs painted"),
    ],
)
def test_a_run_on_other_data_is_refused(
    workspace: Workspace, toy: Toy, metadata: dict[str, object], words: str
) -> None:
    plan = toy_plan("1")
    run = plan.runs[1]
    folder = write_run(workspace, toy, run, **metadata)
    with pytest.raises(UserError) as caught:
        load_ablation(workspace, plan, "")
    for word in (words, run.title, str(folder), "--runs"):
        assert word in str(caught.value)


def test_runs_on_another_kind_of_boxes_are_refused(workspace: Workspace, toy: Toy) -> None:
    plan = toy_plan("oracle")
    runs = {run.name: run for run in plan.runs}
    folder = write_run(workspace, toy, runs["pgan_parts=2"])
    folder.rename(folder.with_name("pgan_parts=2_boxes=shifted-seed0"))
    with pytest.raises(UserError, match=r"parts\.control"):
        workspace.state_of(runs["pgan_parts=2_boxes=shifted"])
    assert workspace.boxes_of(runs["pgan_parts=2_boxes=random"]).fingerprint["control"] == {
        "boxes": "random",
        "seed": 0,
    }
