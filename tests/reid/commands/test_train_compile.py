"""`train --compile`: the same run as without it, in which only the speed differs."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.places.reid import Place
from helpers.toy.vehicles import TINY_OPTIONS, assert_same_run, interrupted
from reid.training import loop

pytestmark = pytest.mark.usefixtures("tiny", "no_pictures")


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[torch.fx.GraphModule]]:
    """Compile to PyTorch's own kernels, which leave every bit as it is; the graphs that are compiled are listed."""
    found, compile_network = list[torch.fx.GraphModule](), torch.compile

    def eager(graph: torch.fx.GraphModule, _: object) -> Any:
        found.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(compile_network, backend=eager))
    yield found
    torch.compiler.reset()


def folder_of(place: Place, recipe: str, name: str, *options: str) -> Path:
    result = place("train", *TINY_OPTIONS, "--recipe", recipe, "--name", name, *options)
    assert result.exit_code == 0, result.output
    return Path(result.stdout.strip()).parent


@pytest.mark.parametrize("recipe", ["pgan_small", "pgan_plus_small"])
def test_a_compiled_run_is_the_same_and_resumes_without_compiling(
    place: Place, graphs: list[torch.fx.GraphModule], recipe: str
) -> None:
    plain = folder_of(place, recipe, "plain")
    assert not graphs
    assert_same_run(folder_of(place, recipe, "compiled", "--compile"), plain)
    assert graphs
    with interrupted(loop, "training_step", lambda state, *_: state.epoch == 1):
        stopped = place("train", *TINY_OPTIONS, "--recipe", recipe, "--name", "stopped", "--compile")
    assert stopped.exit_code == 1 and "Aborted" in stopped.output
    count = len(graphs)
    assert_same_run(folder_of(place, recipe, "stopped"), plain)
    assert len(graphs) == count
