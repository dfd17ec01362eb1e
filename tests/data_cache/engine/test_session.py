"""When `--engine ray` is refused, before any work."""

import socket
import sys
from collections.abc import Sequence

import pytest
from click.testing import CliRunner

from cli import main
from data_cache.base.errors import UserError
from data_cache.engine.session import ray_session

DETECT = ("detect", "--images", ".", "--engine", "ray")
FEATURES = ("features", "--dataset", "folder", "--engine", "ray")


def error_of(command: Sequence[str]) -> str:
    """Return the only line that a failing command prints."""
    result = CliRunner().invoke(main, command)
    (line,) = result.stderr.splitlines()
    assert result.exit_code == 1
    return line


@pytest.mark.usefixtures("clean_folder")
@pytest.mark.parametrize("command", [DETECT, FEATURES])
def test_without_ray_the_remedy_is_an_extra(command: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert error_of(command) == "Error: --engine ray: Ray is not installed; run `pip install '.[ray]'`"


@pytest.mark.usefixtures("clean_folder")
@pytest.mark.parametrize("command", [DETECT, FEATURES])
def test_under_torchrun_it_is_refused_once(command: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "start the command without torchrun" in error_of(command)
    monkeypatch.setenv("RANK", "1")
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1 and not result.stderr


def test_an_address_without_a_cluster_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=f"no Ray at RAY_ADDRESS={address} .*refused"), ray_session(1):
        pass
