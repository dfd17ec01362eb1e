"""Commands on data, as typed: results, one clear line for a mistake, and the right exit code."""

from collections.abc import Callable
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner, Result

from cli import main
from data_cache.base.devices import choose_device, describe_device
from data_cache.base.errors import UserError

Run = Callable[..., Result]


@pytest.fixture
def run(clean_folder: Path) -> Run:
    """Runs commands in an empty folder without the user's environment variables."""

    def invoke(*words: str | Path, **variables: str) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], env=variables)

    return invoke


def mistake(result: Result, code: int = 1) -> str:
    """Return the one line of error of a command that ended with `code`."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert code == 2 or result.stderr.splitlines() == [line]
    return line


@pytest.mark.parametrize("name", ["veri", "vehicleid", "vric", "veriwild"])
def test_missing_dataset_is_reported_with_its_place_its_source_and_an_alternative(run: Run, name: str) -> None:
    message = mistake(run("check", "--dataset", name))
    assert f"data set {name} not found: looked for data/" in message
    assert "https://" in message
    assert "DATASET=synthetic needs no data" in message


def test_default_dataset_is_vehicleid_and_synthetic_has_its_command(run: Run) -> None:
    assert "data set vehicleid not found: looked for data/VehicleID_V1.0 or" in mistake(run("check"))
    assert "python cli.py synth" in mistake(run("check", "--dataset", "synthetic"))


@pytest.mark.parametrize("dataset", ["verri", "nothing.csv", "folder"])
def test_unknown_dataset_is_one_line_of_error(run: Run, dataset: str) -> None:
    mistake(run("check", "--dataset", dataset))


@pytest.mark.parametrize(
    "words",
    [
        ("check", "--datset", "veri"), ("check", "more"), ("check", "--dataset"), ("chekc",), ("cache", "verfy"),
        ("cache", "verify"), ("cache", "verify", "."), ("synth", "--vehicles", "0"), ("synth", "--seed", "-1"),
        ("synth", "--workers", "many"), ("synth", "--cameras", "1"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_2(run: Run, words: tuple[str, ...]) -> None:
    mistake(run(*words), code=2)


def test_data_root_that_is_a_file_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file" in mistake(run("check", "--data-root", "file"), code=2)


def test_every_command_and_option_has_help(run: Run) -> None:
    def check(command: click.Command, words: list[str]) -> None:
        result = run(*words, "--help")
        assert result.exit_code == 0 and command.help
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        assert [option.name for option in options if not option.help] == []
        for name in getattr(command, "commands", {}):
            check(command.commands[name], [*words, name])  # type: ignore[attr-defined]

    check(main, [])


def test_help_lists_the_datasets(run: Run) -> None:
    text = " ".join(run("check", "--help").stdout.split())
    assert "veri, vehicleid, vric, veriwild, synthetic" in text and "FILE.csv" in text


def test_auto_device_is_the_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [choose_device(name) for name in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [choose_device(name) for name in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(UserError, match="torch finds no GPU; use --device cpu"):
        choose_device("cuda")
    assert describe_device("cpu").startswith("CPU, ")


def test_options_of_synth_have_the_defaults_of_its_settings() -> None:
    from data_cache.commands.synth import synth
    from data_cache.synthetic import SyntheticSettings

    settings = vars(SyntheticSettings())
    shared = {option.name: option.default for option in synth.params if option.name in settings}
    assert len(shared) == 9
    assert shared == {name: settings[name] for name in shared}


def test_every_fixed_set_can_be_named() -> None:
    from data_cache.commands.synth import synth
    from data_cache.synthetic import FIXED

    assert {option.name: option for option in synth.params}["fixed"].type.choices == tuple(FIXED)


def test_fixed_set_accepts_no_size(run: Run, tmp_path: Path) -> None:
    line = mistake(run("synth", "--fixed", "fleets480", "--fleet-size", "4"), 2)
    assert "--fixed fleets480 and --fleet-size cannot be combined" in line
    assert list(tmp_path.iterdir()) == []
