"""The choice of the best epoch: measured on held-out images while training goes on; the weights of the highest AP."""

import logging
from collections.abc import Callable
from pathlib import Path

from mmengine.hooks import Hook
from torch import nn

from data_cache.base.files import append_json_line
from data_cache.images.plots import draw_curves
from detect.evaluation.metrics import DetectorMetrics
from detect.training.runner import QuietRunner

log = logging.getLogger(__name__)

LOSSES = {"loss": "all", "loss_cls": "classes", "loss_bbox": "boxes"}
SCORES = {"ap": "AP", "ap50": "AP50", "recall": "recall@8"}


class BestEpochHook(Hook):  # type: ignore[misc]
    """Measures the network after every `every` epochs and after the last, and keeps the weights of the highest AP.

    `measure` returns the metrics of a network, `keep` writes it down; the log gets a line, the curves are drawn anew.
    What was best is part of the runner's state, so that a resumed training chooses as an undisturbed one.
    """

    priority = "LOW"  # after the epoch's line in the log, before the state is written

    def __init__(
        self,
        measure: Callable[[nn.Module], DetectorMetrics],
        keep: Callable[[nn.Module], None],
        log: Path,
        curves: Path,
        every: int,
    ) -> None:
        self.measure, self.keep, self.log, self.curves, self.every = measure, keep, log, curves, every

    def after_train_epoch(self, runner: QuietRunner) -> None:
        """Measure; where the AP is the highest so far, keep the weights."""
        epoch = runner.epoch + 1
        if epoch % self.every and epoch != runner.max_epochs:
            return
        metrics = self.measure(runner.model)
        append_json_line(self.log, {"epoch": epoch} | {name: getattr(metrics, name) for name in SCORES})
        log.info(f"epoch {epoch}/{runner.max_epochs}: AP {metrics.ap:.3f}, AP50 {metrics.ap50:.3f} on held-out images")
        if not runner.best or metrics.ap > runner.best["metrics"]["ap"]:
            self.keep(runner.model)
            runner.best = {"epoch": epoch, "metrics": metrics.to_dict()}
        draw_curves(self.log, self.curves, {"loss": LOSSES, "held-out images": SCORES})
