"""How far the runs of an ablation have come, told from their files: never by another's checkpoint, boxes or scores."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from data_cache.base.errors import UserError
from data_cache.parts.cache import write_parts
from helpers.toy.ablation import toy_place, toy_plan, write_run
from helpers.toy.vehicles import Toy
from reid.ablation.place import Place
from reid.ablation.running import job_of


@pytest.fixture
def place(toy: Toy, tmp_path: Path) -> Place:
    write_parts(tmp_path / "folder" / "parts.h5", toy.parts)
    return toy_place(toy, tmp_path)


def test_how_far_a_run_has_come(place: Place, toy: Toy) -> None:
    runs = toy_plan("1").runs
    assert place.standing(runs[0]).epochs == 0
    write_run(place, toy, runs[0], epoch=2)
    assert (place.standing(runs[0]).epochs, place.standing(runs[0]).metrics) == (2, None)
    folder = write_run(place, toy, runs[1])
    assert (place.standing(runs[1]).epochs, place.standing(runs[1]).metrics) == (3, None)
    write_run(place, toy, runs[2], scores={"mAP": 0.4})
    metrics = place.standing(runs[2]).metrics
    assert metrics is not None and metrics["scores"]["trained"]["mAP"] == 0.4
    (folder / "last.safetensors").rename(folder / "previous.safetensors")  # killed between the two
    assert place.standing(runs[1]).epochs == 3


def test_metrics_of_another_epoch_or_test_do_not_finish_a_run(place: Place, toy: Toy) -> None:
    run = toy_plan("1").runs[0]
    write_run(place, toy, run, scores={"mAP": 0.4})
    assert toy_place(toy, place.runs, split="other").standing(run).metrics is None
    write_run(place, toy, run, best=1)  # trained anew: the metrics that lie there are of epoch 2
    assert place.standing(run).metrics is None


@pytest.mark.parametrize(
    "change",
    [
        {"scores": {"trained": {"precision": "trapezoid"}}},
        {"scores": {"trained": {"trials": 3, "seed": 0}}},
        {"parts": {"detector": "better"}},
        {"checkpoint": {"sha256": "0" * 64}},
    ],
)
def test_metrics_that_a_plain_evaluate_wrote_over_them_do_not_finish_a_run(
    place: Place, toy: Toy, change: dict[str, Any]
) -> None:
    run = toy_plan("1").runs[1]
    path = write_run(place, toy, run, scores={"mAP": 0.4}) / "test" / "metrics.json"
    assert place.standing(run).metrics is not None
    path.write_text(json.dumps(merged(json.loads(path.read_text()), change)))
    assert (place.standing(run).epochs, place.standing(run).metrics) == (3, None)


def merged(whole: dict[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Return JSON with other values in some places."""
    new = {name: merged(whole[name], value) if isinstance(value, dict) else value for name, value in change.items()}
    return whole | new


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"dataset": "veri"}, "made with dataset = veri, this run needs folder"),
        ({"images": "0"}, "made with images = 0"),
        ({"parts": {"detector": "better"}}, "made with parts.detector = better, this run needs painted"),
    ],
)
def test_a_run_on_other_data_is_refused(place: Place, toy: Toy, other: dict[str, object], words: str) -> None:
    plan = toy_plan("1")
    run = plan.runs[1]
    folder = write_run(place, toy, run, **other)
    with pytest.raises(UserError) as caught:
        job_of(place, plan, "")
    for word in (words, run.title, str(folder), "--runs"):
        assert word in str(caught.value)


def test_boxes_of_one_kind_are_never_taken_for_anothers(place: Place, toy: Toy) -> None:
    plan = toy_plan("oracle")
    runs = {run.name: run for run in plan.runs}
    folder = write_run(place, toy, runs["pgan_parts=2"])
    folder.rename(folder.with_name("pgan_parts=2_boxes=shifted-seed0"))
    with pytest.raises(UserError, match=r"parts\.control"):
        place.standing(runs["pgan_parts=2_boxes=shifted"])
    assert place.boxes_of(runs["pgan_parts=2_boxes=random"]).fingerprint["control"] == {"boxes": "random", "seed": 0}
