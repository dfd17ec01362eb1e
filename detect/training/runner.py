"""Training on MMEngine's Runner: what it needs to run on a CPU, to be quiet, to be safe and to go on after a stop.

Imported only when a detector is trained; the one other module than `adapter` that meets the mm packages at its top.
"""

import io
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn

from data_cache.base.devices import autocast
from data_cache.base.errors import UserError
from data_cache.base.files import append_json_line, read_regular, sha256_of_bytes, write_atomically
from data_cache.base.tensors import NO_STATE, not_finite
from detect.model.ssd import quiet

log = logging.getLogger(__name__)


class AutocastOptimWrapper(OptimWrapper):  # type: ignore[misc]
    """Computes the loss as `autocast` of data_cache/base/devices.py; MMEngine's AmpOptimWrapper refuses a CPU."""

    def __init__(self, device: str, **options: Any) -> None:
        super().__init__(**options)
        self.device = device

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enter autocast around forward pass and loss."""
        with super().optim_context(model), autocast(self.device):
            yield


class QuietRunner(Runner):  # type: ignore[misc]
    """A Runner that writes no banner, log folder or configuration, keeps the device, and resumes from our own file.

    Raises UserError where its folder cannot be made.
    """

    def __init__(self, *, state_file: Path, **options: Any) -> None:
        self.state_file = state_file
        self.best: dict[str, Any] = {}  # the best epoch so far and its metrics
        try:
            with quiet():
                super().__init__(**options)
        except OSError as error:  # of the folder for its log
            raise UserError(f"{options['work_dir']}: cannot be written ({error.strerror or error})") from error

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Say nothing about the environment: `doctor` does, and collecting it starts compilers."""

    def dump_config(self) -> None:
        """Write no configuration: the recipe stands in recipe.json."""

    def build_visualizer(self, visualizer: object = None) -> Visualizer:
        """Return a visualizer that keeps nothing."""
        return Visualizer(name=self.experiment_name)

    def wrap_model(self, model_wrapper_cfg: object, model: nn.Module) -> nn.Module:
        """Leave the network on the device where it was put."""
        return model

    def _init_model_weights(self) -> None:
        """Keep the weights: the network arrives initialised, with its ImageNet trunk."""

    def load_or_resume(self) -> None:
        """Go on after the last finished epoch, where there is one. Raises UserError where its file is damaged."""
        if not self.state_file.exists():
            return
        try:
            state = torch.load(io.BytesIO(_unsealed(self.state_file)), map_location="cpu", weights_only=True)
            self.model.load_state_dict(state["network"])
            self.optim_wrapper.load_state_dict(state["optimizer"])
            for scheduler, saved in zip(self.param_schedulers, state["schedules"], strict=True):
                scheduler.load_state_dict(saved)
            self.train_loop._epoch, self.train_loop._iter = state["epoch"], state["step"]
            self.best = state["best"]
        except NO_STATE as error:
            raise UserError(
                f"{self.state_file}: damaged checkpoint ({type(error).__name__}); delete it to train anew"
            ) from error
        log.info(f"going on after epoch {state['epoch']}")


class StateHook(Hook):  # type: ignore[misc]
    """Writes everything that a stopped training needs to go on, after every epoch, as a whole or not at all."""

    priority = "VERY_LOW"  # after the schedules have stepped

    def after_train_epoch(self, runner: QuietRunner) -> None:
        """Write the state as it is before the next epoch."""
        state = {
            "network": runner.model.state_dict(),
            "optimizer": runner.optim_wrapper.state_dict(),
            "schedules": [_plain(scheduler.state_dict()) for scheduler in runner.param_schedulers],
            "epoch": runner.epoch + 1,
            "step": runner.iter,
            "best": runner.best,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(runner.state_file, buffer.getvalue() + _seal(buffer.getvalue()))


class ProgressHook(Hook):  # type: ignore[misc]
    """Tells loss, rate and time left; stops at a loss that is not finite; keeps one line of JSON an epoch."""

    def __init__(self, log: Path, batch_size: int, seconds_between_lines: float = 15.0) -> None:
        self.log, self.batch_size, self.pause = log, batch_size, seconds_between_lines
        self.first_step = 0
        self.started = self.told = time.monotonic()
        self.losses: list[dict[str, torch.Tensor]] = []

    def before_train(self, runner: QuietRunner) -> None:
        """Start the clock."""
        self.started = self.told = time.monotonic()
        self.first_step = runner.iter

    def after_train_iter(
        self, runner: QuietRunner, batch_idx: int, data_batch: object = None, outputs: Any = None
    ) -> None:
        """Check the loss of the step. Raises UserError where it is not finite."""
        if not math.isfinite(float(outputs["loss"])):
            raise UserError(
                f"the loss became {float(outputs['loss'])} in epoch {runner.epoch + 1}, step {batch_idx + 1}; "
                + self._remedy()
            )
        self.losses.append({name: value.detach() for name, value in outputs.items()})
        if time.monotonic() - self.told >= self.pause:
            self._tell(runner, runner.iter + 1)

    def _remedy(self) -> str:
        return (
            f"the last good epoch is kept; to train with a lower learning_rate delete {self.log.parent}, "
            "or choose another --runs folder"
        )

    def after_train_epoch(self, runner: QuietRunner) -> None:
        """Write the epoch's line. Raises UserError where the last step's gradient left weights that are not finite."""
        if broken := not_finite(runner.model.state_dict()):
            raise UserError(f"{broken[0]} is not finite after epoch {runner.epoch + 1}; {self._remedy()}")
        means = {name: float(sum(step[name] for step in self.losses)) / len(self.losses) for name in self.losses[0]}
        rate = runner.optim_wrapper.get_lr()["lr"][0]
        append_json_line(self.log, {"epoch": runner.epoch + 1, "step": runner.iter, "learning_rate": rate, **means})
        self._tell(runner, runner.iter, mean=means["loss"])
        self.losses = []

    def _tell(self, runner: QuietRunner, step: int, mean: float | None = None) -> None:
        self.told = time.monotonic()
        rate = max(step - self.first_step, 1) / (self.told - self.started)
        loss = float(self.losses[-1]["loss"]) if mean is None else mean
        log.info(
            f"epoch {runner.epoch + 1}/{runner.max_epochs}, step {step}/{runner.max_iters}: loss {loss:.3f}, "
            f"{rate * self.batch_size:.0f} images/s, {(runner.max_iters - step) / rate:.0f} s left"
        )


def _seal(content: bytes) -> bytes:
    """Return what stands behind the state: torch does not see a bit that has changed in a tensor."""
    return f"\nsha256 of the above: {sha256_of_bytes(content)}\n".encode()


def _unsealed(path: Path) -> bytes:
    """Return a state without its seal. Raises ValueError where its content has changed, OSError where it is no file."""
    data = read_regular(path)
    content = data[: -len(_seal(b""))]
    if _seal(content) != data[len(content) :]:
        raise ValueError("its content has changed since it was written")
    return content


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if isinstance(value, int | float | str | list | bool | None)}
