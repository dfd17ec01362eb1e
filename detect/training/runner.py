"""MMEngine's Runner, made quiet and resumable: a checkpoint with a checksum after every epoch."""

import io
import logging
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import nn

from data_cache.base.errors import UserError
from data_cache.base.files import read_regular, sha256_of_bytes, write_atomically
from data_cache.base.tensors import LOAD_ERRORS
from detect.model.ssd import quiet

log = logging.getLogger(__name__)


class QuietRunner(Runner):  # type: ignore[misc]
    """A Runner that writes no log folder or configuration, does not move the network, and resumes from `state_file`.

    Raises UserError if its folder cannot be created.
    """

    def __init__(self, *, state_file: Path, **options: Any) -> None:
        self.state_file = state_file
        self.best: dict[str, Any] = {}  # the best epoch so far and its metrics
        try:
            with quiet():
                super().__init__(**options)
        except OSError as error:  # its log folder
            raise UserError(f"{options['work_dir']}: cannot be written ({error.strerror or error})") from error

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Skip the report of the environment: collecting it starts compilers, and `doctor` has its own."""

    def dump_config(self) -> None:
        """Skip the configuration: recipe.json replaces it."""

    def build_visualizer(self, visualizer: object = None) -> Visualizer:
        """Return a visualizer that stores nothing."""
        return Visualizer(name=self.experiment_name)

    def wrap_model(self, model_wrapper_cfg: object, model: nn.Module) -> nn.Module:
        """Keep the network on its device."""
        return model

    def _init_model_weights(self) -> None:
        """Keep the weights: the network is already initialised."""

    def load_or_resume(self) -> None:
        """Resume after the last finished epoch, if there is one. Raises UserError if the checkpoint is damaged."""
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
        except LOAD_ERRORS as error:
            raise UserError(
                f"{self.state_file}: damaged checkpoint ({type(error).__name__}); delete it to train anew"
            ) from error
        log.info(f"resuming after epoch {state['epoch']}")


class StateHook(Hook):  # type: ignore[misc]
    """Writes the checkpoint after every epoch, atomically."""

    priority = "VERY_LOW"  # after the schedules have stepped

    def after_train_epoch(self, runner: QuietRunner) -> None:
        """Write the state from which the next epoch starts."""
        state = {
            "network": runner.model.state_dict(),
            "optimizer": runner.optim_wrapper.state_dict(),
            "schedules": [_loadable(scheduler.state_dict()) for scheduler in runner.param_schedulers],
            "epoch": runner.epoch + 1,
            "step": runner.iter,
            "best": runner.best,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_atomically(runner.state_file, buffer.getvalue() + _seal(buffer.getvalue()))


def _loadable(state: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of a scheduler's state that `weights_only` loading accepts."""
    return {key: value for key, value in state.items() if isinstance(value, int | float | str | list | bool | None)}


def _seal(content: bytes) -> bytes:
    """Return the checksum line that follows the checkpoint: torch does not notice a flipped bit in a tensor."""
    return f"\nsha256 of the above: {sha256_of_bytes(content)}\n".encode()


def _unsealed(path: Path) -> bytes:
    """Return a checkpoint without its checksum. Raises ValueError if it does not match, OSError if unreadable."""
    data = read_regular(path)
    content = data[: -len(_seal(b""))]
    if _seal(content) != data[len(content) :]:
        raise ValueError("its content has changed since it was written")
    return content
