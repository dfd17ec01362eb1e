"""Two processes of torchrun agree with one on losses, gradients and weights; an error is printed once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from data_cache.base.files import read_json_lines
from data_cache.parts.cache import write_parts
from helpers.paths import ROOT, TESTS
from helpers.toy.vehicles import TINY, Toy, tiny_scale
from reid.distributed import first_rank_first, from_first, gathered, joined_ranks, own_rank, rank_count
from reid.model.checkpoint import read_checkpoint
from reid.recipes import ReidRecipe
from reid.runs import BEST, LAST

RECIPE = TINY.model_copy(update={"holdout": 0.25, "seed": 3})
START = """
import os, signal, sys
from contextlib import nullcontext
from pathlib import Path
import torch
from torch import nn
from safetensors.torch import save_file
from data_cache.base.progress import show_messages
from data_cache.datasets.catalogue import load_dataset
from data_cache.parts.cache import read_parts
from reid.distributed import joined_ranks, own_rank
from reid.recipes import ReidRecipe
from reid.training import loop
from reid.training.train import train
from helpers.toy.vehicles import tiny_scale
show_messages()
root, folder, recipe = Path(sys.argv[1]), Path(sys.argv[2]), ReidRecipe.model_validate_json(sys.argv[3])
dataset, parts = load_dataset("folder", root), read_parts(root / "parts.h5")
"""
TRAIN = """
with tiny_scale(), joined_ranks("cpu"):
    train(recipe, dataset, parts, folder, device="cpu", workers=0)
"""
# in float32 and with frozen statistics of batch norm, which each process would take from its own share
STEPS = """
step, numbers = loop.training_step, []
def recorded(state, batch, vehicle, device):
    for module in state.network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    terms = step(state, batch, vehicle, device)
    number = len(numbers)
    numbers.append(number)
    found = {f"{number}.{name}": value.detach() for name, value in terms.items()}
    for name, parameter in state.network.named_parameters():
        if parameter.grad is not None:
            found[f"{number}.gradient.{name}"] = parameter.grad.clone().contiguous()
    save_file(found, folder / f"{own_rank()}-{number}.safetensors")
    return terms
loop.training_step, torch.autocast = recorded, lambda *_, **__: nullcontext()
"""
KILLED = """
step, calls = loop.training_step, []
def killing(state, *arguments):
    calls.append(1)
    if own_rank() == 1 and len(calls) > 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(state, *arguments)
loop.training_step = killing
"""
NAN = """
step = loop.training_step
def broken(state, batch, vehicle, device):
    state.objective = lambda *_: {"loss": torch.tensor(float("nan"), requires_grad=True)}
    return step(state, batch, vehicle, device)
loop.training_step = broken
"""


def run(code: str, toy: Toy, folder: Path, ranks: int, recipe: ReidRecipe = RECIPE) -> subprocess.CompletedProcess[str]:
    """Run code on the toy set in one process, or in `ranks` processes under torchrun."""
    write_parts(toy.dataset.root / "parts.h5", toy.parts)
    folder.mkdir(exist_ok=True)
    script = folder.parent / "script.py"
    script.write_text(START + code)
    command = [sys.executable, str(script), str(toy.dataset.root), str(folder), recipe.model_dump_json()]
    if ranks > 1:
        command[1:1] = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)


@pytest.mark.parametrize(
    ("changes", "tolerance"),
    [
        ({}, 1e-5),
        ({"triplets": ("fusion",)}, 1e-5),
        # the first class weights are short, so that the gradients by their direction are large
        ({"attention": "none", "part_crops": 32, "slot_features": 8}, 1e-4),
        ({"metric_loss": "circle", "identity_loss": "arcface", "label_smoothing": 0.1, "average": 0.9}, 1e-4),
    ],
)
def test_two_processes_have_the_losses_and_gradients_of_one(
    toy: Toy, tmp_path: Path, changes: dict[str, Any], tolerance: float
) -> None:
    recipe = RECIPE.model_copy(update={**changes, "epochs": 1})
    for ranks in (1, 2):
        done = run(STEPS + TRAIN, toy, tmp_path / str(ranks), ranks, recipe)
        assert done.returncode == 0, done.stderr
    steps = sorted((tmp_path / "1").glob("0-*"))
    assert len(steps) == 3
    for path in steps:
        one = load_file(path)
        assert any("gradient" in name and "refine_fusion" in name for name in one)
        for rank in (0, 1):
            other = load_file(tmp_path / "2" / path.name.replace("0-", f"{rank}-", 1))
            for name, value in one.items():
                torch.testing.assert_close(
                    other[name], value, rtol=tolerance, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
                )
            assert not any(other[name].any() for name in set(other) - set(one))


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_two_processes_resume_after_one_was_killed_and_print_messages_once(
    toy: Toy, tmp_path: Path, average: float
) -> None:
    recipe = RECIPE.model_copy(update={"average": average})
    whole = run(TRAIN, toy, tmp_path / "whole", 2, recipe)
    assert whole.returncode == 0, whole.stderr
    assert whole.stderr.count("training on 24 images of 6 vehicles") == 1 and "2 processes" in whole.stderr
    assert [line["epoch"] for line in read_json_lines(tmp_path / "whole/log.jsonl")] == [1, 2, 3]
    killed = run(KILLED + TRAIN, toy, tmp_path / "killed", 2, recipe)
    assert killed.returncode != 0
    assert read_checkpoint(tmp_path / "killed" / LAST).metadata["epoch"] == 1
    again = run(TRAIN, toy, tmp_path / "killed", 2, recipe)
    assert again.returncode == 0 and again.stderr.count("resuming after epoch 1 of 3") == 1, again.stderr
    for name in (LAST, BEST):
        assert read_checkpoint(tmp_path / "killed" / name).sha256 == read_checkpoint(tmp_path / "whole" / name).sha256


def test_an_error_of_all_processes_is_printed_once(toy: Toy, tmp_path: Path) -> None:
    done = run(TRAIN, toy, tmp_path / "shared", 2, RECIPE.model_copy(update={"vehicles_per_batch": 5}))
    assert done.returncode != 0 and done.stderr.count("UserError: 2 processes cannot share 5 vehicles a batch") == 1
    done = run(NAN + TRAIN, toy, tmp_path / "nan", 2)
    assert done.returncode != 0 and done.stderr.count("UserError: the loss is nan in epoch 1") == 1
    assert not list((tmp_path / "nan").glob("*.safetensors"))


def test_a_single_process_joins_nothing() -> None:
    values = torch.randn(3, 2, requires_grad=True)
    with joined_ranks("cpu"), first_rank_first(), tiny_scale():
        assert (own_rank(), rank_count(), from_first(0.25)) == (0, 1, 0.25)
        assert gathered(values) is values
