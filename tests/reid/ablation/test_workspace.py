"""States of ablation runs from their files; files of other recipes, data, boxes or scoring do not count."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_cache.base.errors import UserError
from data_cache.parts.cache import write_parts
from helpers.toy.ablation import OPTIONS, toy_plan, toy_workspace, write_run
from helpers.toy.vehicles import Toy
from reid.ablation.ablation import load_ablation
from reid.ablation.plan import Plan, plan_runs
from reid.ablation.tables import select_tables
from reid.ablation.workspace import Workspace
from reid.data.hiding import network_parts
from reid.data.loader import split_vehicles


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


def plan_with(*overrides: str, table: str = "3", seed: int = 0) -> Plan:
    tables = select_tables([table], [], "folder")
    return plan_runs(tables, "small", "folder", [*OPTIONS, "parts=2", *overrides], [seed])


def test_boxes_of_pgan_plus_are_by_name_whatever_was_read_before(toy: Toy, tmp_path: Path) -> None:
    parts = replace(toy.parts, part_names=toy.parts.part_names[::-1])
    write_parts(tmp_path / "folder" / "parts.h5", parts)
    plan = plan_with("parts_first=varying", "parts_per_label=2", table="plus")
    (pgan,) = (run for run in plan.runs if run.recipe.weighing == "parts")
    (plus,) = (run for run in plan.runs if run.name.startswith("pgan_plus") and run.boxes == "detector")
    workspace = toy_workspace(toy, tmp_path)
    for run in (pgan, plus, pgan):
        found, wanted = workspace.boxes_of(run), network_parts(parts, run.recipe)
        np.testing.assert_array_equal(found.labels, wanted.labels)
        assert found.fingerprint == wanted.fingerprint
    assert not np.array_equal(workspace.boxes_of(plus).labels, workspace.boxes_of(pgan).labels)


def test_held_out_vehicles_of_every_seed_are_looked_at_before_any_run(toy: Toy, tmp_path: Path) -> None:
    write_parts(tmp_path / "folder" / "parts.h5", toy.parts)
    table = toy.dataset.table.copy()
    train = table["split"] == "train"
    by_one = sorted(set(table["vehicle_id"][train]))[:5]
    table.loc[train & table["vehicle_id"].isin(by_one), "camera_id"] = 0
    dataset, found = replace(toy.dataset, table=table), []
    for seed in range(6):
        plan = plan_with("holdout=0.25", seed=seed)
        held_out = set(split_vehicles(dataset, plan.runs[0].recipe).held_out["vehicle_id"])
        found.append(held_out <= set(by_one))
        expected = pytest.raises(UserError, match=r"baseline.*two held-out vehicles") if found[-1] else nullcontext()
        with expected:
            load_ablation(Workspace(dataset, tmp_path, None, "test"), plan, "")
    assert {*found} == {True, False}


def test_cameras_are_needed_before_any_run_that_pairs_them(toy: Toy, tmp_path: Path) -> None:
    write_parts(tmp_path / "folder" / "parts.h5", toy.parts)
    dataset = replace(toy.dataset, table=toy.dataset.table.assign(camera_id=-1))
    with pytest.raises(UserError, match="across_cameras needs the cameras"):
        load_ablation(Workspace(dataset, tmp_path, None, "test"), plan_with("across_cameras=true"), "")


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
