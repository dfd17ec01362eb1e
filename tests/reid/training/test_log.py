"""The training log: its lines, its curves, and TensorBoard's files."""

from pathlib import Path

import pytest
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.base.files import read_json_lines
from reid.training import log as training_log
from reid.training.log import CURVES, LOG, TENSORBOARD, keep_until, log_epoch, require_tensorboard


def lines(count: int) -> list[dict[str, float]]:
    """Lines of epochs; every second one has a validation."""
    plain = [{"epoch": epoch, "loss": 10.0 / epoch, "part": 0.5} for epoch in range(1, count + 1)]
    return [line | ({"validation_mAP": 0.1 * line["epoch"]} if line["epoch"] % 2 == 0 else {}) for line in plain]


def test_every_epoch_adds_a_line_and_draws_the_curves(tmp_path: Path) -> None:
    for number, line in enumerate(lines(4), start=1):
        log_epoch(tmp_path, line, tensorboard=False)
        width, height = Image.open(tmp_path / CURVES).size
        assert read_json_lines(tmp_path / LOG) == lines(number) and width > height > 300
    assert sorted(path.name for path in tmp_path.iterdir()) == [CURVES, LOG]


def test_lines_after_the_last_checkpoint_are_dropped(tmp_path: Path) -> None:
    keep_until(tmp_path, 0)
    assert read_json_lines(tmp_path / LOG) == []
    for line in lines(4):
        log_epoch(tmp_path, line, tensorboard=False)
    keep_until(tmp_path, 3)
    assert read_json_lines(tmp_path / LOG) == lines(3)


def test_tensorboard_shows_every_epoch_once_even_after_a_resume(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for line in [*lines(3), {"epoch": 3, "loss": 7.0}, {"epoch": 4, "loss": 6.0}]:
        log_epoch(tmp_path, line, tensorboard=True)
    events = accumulator.EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "part", "validation_mAP"}
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 10), (2, 5), (3, 7), (4, 6)]


def test_missing_tensorboard_is_an_error_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_log, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--tensorboard: .*pip install '\.\[tensorboard\]'"):
        require_tensorboard()
