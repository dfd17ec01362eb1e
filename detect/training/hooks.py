"""Hooks of detector training: progress with checks of the loss, and measurement with choice of the best epoch."""

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from torch import nn

from data_cache.base.errors import UserError
from data_cache.base.files import append_json_line
from data_cache.base.progress import SECONDS_BETWEEN_LINES
from data_cache.base.tensors import non_finite_names
from data_cache.images.plots import draw_curves
from detect.evaluation.metrics import DetectorMetrics
from detect.model.weights import write_weights
from detect.recipes import DetectorRecipe
from detect.training.runner import QuietRunner
from detect.training.runs import CURVES, LOG, WEIGHTS

log = logging.getLogger(__name__)

LOSSES = {"loss": "all", "loss_cls": "classes", "loss_bbox": "boxes"}
SCORES = {"ap": "AP", "ap50": "AP50", "recall": "recall@8"}


class ProgressHook(Hook):  # type: ignore[misc]
    """Shows loss, speed and time left, stops if loss or weights are not finite, and logs one line of JSON per epoch."""

    def __init__(self, folder: Path, batch_size: int) -> None:
        self.folder, self.batch_size = folder, batch_size
        self.first_step = 0
        self.started = self.last_shown = 0.0
        self.losses: list[dict[str, Any]] = []  # of the steps of this epoch

    def before_train(self, runner: QuietRunner) -> None:
        """Start the clock."""
        self.started = self.last_shown = time.monotonic()
        self.first_step = runner.iter

    def after_train_iter(
        self, runner: QuietRunner, batch_idx: int, data_batch: object = None, outputs: Any = None
    ) -> None:
        """Check the loss of the step. Raises UserError if it is not finite."""
        loss = float(outputs["loss"])
        if not math.isfinite(loss):
            raise UserError(
                f"the loss became {loss} in epoch {runner.epoch + 1}, step {batch_idx + 1}; {self._remedy()}"
            )
        self.losses.append({name: value.detach() for name, value in outputs.items()})
        if time.monotonic() - self.last_shown >= SECONDS_BETWEEN_LINES:
            self._show(runner, runner.iter + 1, loss)

    def after_train_epoch(self, runner: QuietRunner) -> None:
        """Log the mean losses. Raises UserError if the last step left weights that are not finite."""
        if broken := non_finite_names(runner.model.state_dict()):
            raise UserError(f"{broken[0]} is not finite after epoch {runner.epoch + 1}; {self._remedy()}")
        means = {name: float(sum(step[name] for step in self.losses)) / len(self.losses) for name in self.losses[0]}
        rate = runner.optim_wrapper.get_lr()["lr"][0]
        line = {"epoch": runner.epoch + 1, "step": runner.iter, "learning_rate": rate, **means}
        append_json_line(self.folder / LOG, line)
        self._show(runner, runner.iter, means["loss"])
        self.losses = []

    def _show(self, runner: QuietRunner, step: int, loss: float) -> None:
        self.last_shown = time.monotonic()
        speed = max(step - self.first_step, 1) / (self.last_shown - self.started)
        log.info(
            f"epoch {runner.epoch + 1}/{runner.max_epochs}, step {step}/{runner.max_iters}: loss {loss:.3f}, "
            f"{speed * self.batch_size:.0f} images/s, {(runner.max_iters - step) / speed:.0f} s left"
        )

    def _remedy(self) -> str:
        return (
            f"the last good epoch is kept; to train with a lower learning_rate delete {self.folder}, "
            "or choose another --runs folder"
        )


class BestEpochHook(Hook):  # type: ignore[misc]
    """Measures the network every few epochs and after the last, and keeps the weights with the highest AP.

    Metrics are logged, and the curves redrawn. The best epoch is part of the runner's state, so that a resumed training
    chooses like an uninterrupted one.
    """

    priority = "LOW"  # after the epoch's line in the log, before the checkpoint

    def __init__(self, measure: Callable[[nn.Module], DetectorMetrics], recipe: DetectorRecipe, folder: Path) -> None:
        self.measure, self.recipe, self.folder = measure, recipe, folder

    def after_train_epoch(self, runner: QuietRunner) -> None:
        """Measure, and keep the weights if the AP is the highest so far."""
        epoch = runner.epoch + 1
        if epoch % self.recipe.validate_every and epoch != runner.max_epochs:
            return
        metrics = self.measure(runner.model)
        append_json_line(self.folder / LOG, {"epoch": epoch} | {name: getattr(metrics, name) for name in SCORES})
        log.info(f"epoch {epoch}/{runner.max_epochs}: AP {metrics.ap:.3f}, AP50 {metrics.ap50:.3f} on held-out images")
        if not runner.best or metrics.ap > runner.best["metrics"]["ap"]:
            write_weights(self.folder / WEIGHTS, runner.model, self.recipe)
            runner.best = {"epoch": epoch, "metrics": metrics.to_dict()}
        draw_curves(self.folder / LOG, self.folder / CURVES, {"loss": LOSSES, "held-out images": SCORES})
