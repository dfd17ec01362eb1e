"""What a training tells of its epochs: the lines, the picture, and what TensorBoard reads back."""

from pathlib import Path

import pytest
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.base.files import read_json_lines
from reid.training import log as training_log
from reid.training.log import CURVES, LOG, TENSORBOARD, keep_until, log_epoch, require_tensorboard


def lines(count: int) -> list[dict[str, float]]:
    """Lines of epochs; every second one is scored."""
    made = [{"epoch": epoch, "loss": 10.0 / epoch, "part": 0.5} for epoch in range(1, count + 1)]
    return [line | ({"validation_mAP": 0.1 * line["epoch"]} if line["epoch"] % 2 == 0 else {}) for line in made]


def test_the_log_has_a_line_an_epoch_and_the_curves_are_a_picture(tmp_path: Path) -> None:
    shapes = []
    for line in lines(4):
        log_epoch(tmp_path, line, tensorboard=False)
        shapes.append(Image.open(tmp_path / CURVES).size)
    assert read_json_lines(tmp_path / LOG) == lines(4)
    assert len(set(shapes)) == 1 and shapes[0][0] > shapes[0][1] > 300
    assert sorted(path.name for path in tmp_path.iterdir()) == [CURVES, LOG]


def test_lines_after_the_last_checkpoint_are_dropped(tmp_path: Path) -> None:
    keep_until(tmp_path, 0)
    assert read_json_lines(tmp_path / LOG) == []
    for line in lines(4):
        log_epoch(tmp_path, line, tensorboard=False)
    keep_until(tmp_path, 3)
    assert read_json_lines(tmp_path / LOG) == lines(3)


def test_tensorboard_reads_every_epoch_once_also_after_a_stop(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for line in [*lines(3), {"epoch": 3, "loss": 7.0}, {"epoch": 4, "loss": 6.0}]:
        log_epoch(tmp_path, line, tensorboard=True)
    events = accumulator.EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "part", "validation_mAP"}
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 10), (2, 5), (3, 7), (4, 6)]


def test_where_tensorboard_is_not_installed_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_log, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--tensorboard: .*pip install '\.\[tensorboard\]'"):
        require_tensorboard()
