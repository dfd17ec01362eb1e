"""The commands of the data, as a user meets them: results, one clear line for a mistake, and the right exit code."""

from collections.abc import Callable
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner, Result

from cli import main
from data_cache.base.devices import choose_device, describe_device
from data_cache.base.errors import UserError
from data_cache.parts.cache import write_parts
from helpers.parts import MakeParts

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A runner of the command line in an empty folder, without the user's environment."""
    monkeypatch.chdir(tmp_path)
    for variable in ("DATASET", "VEHICLE_DATA", "RANK"):
        monkeypatch.delenv(variable, raising=False)

    def invoke(*words: str | Path, **variables: str) -> Result:
        return CliRunner().invoke(main, [str(word) for word in words], env=variables)

    return invoke


def mistake(result: Result, code: int = 1) -> str:
    """Return the error of a command that ended with `code`, one line for the user and no traceback."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert code == 2 or result.stderr.splitlines() == [line]
    return line


@pytest.mark.parametrize("name", ["veri", "vehicleid", "vric", "veriwild"])
def test_a_missing_data_set_tells_where_and_how_and_what_instead(run: Run, name: str) -> None:
    message = mistake(run("check", "--dataset", name))
    assert f"data set {name} not found: looked for data/" in message
    assert "https://" in message
    assert "DATASET=synthetic needs no data" in message


def test_the_default_is_vehicleid_and_synthetic_is_made_by_one_command(run: Run) -> None:
    assert "data set vehicleid not found: looked for data/VehicleID_V1.0 or" in mistake(run("check"))
    assert "python cli.py synth" in mistake(run("check", "--dataset", "synthetic"))


@pytest.mark.parametrize("dataset", ["verri", "nothing.csv", "folder"])
def test_mistaken_data_sets_are_one_line(run: Run, dataset: str) -> None:
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


def test_a_data_root_that_is_a_file_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file" in mistake(run("check", "--data-root", "file"), code=2)


def test_cache_verify_counts_a_sound_cache(run: Run, make_parts: MakeParts) -> None:
    write_parts(Path("parts.h5"), make_parts(8, 3))  # 0 failed, 1 + 2 + 3 parts, none, 1 + 2 + 3 parts
    result = run("cache", "verify", "parts.h5")
    assert result.exit_code == 0
    assert result.stdout == "parts.h5: valid; 8 images, 12 parts, 1 empty, 1 failed\n"


def test_cache_verify_names_a_damaged_or_missing_cache(run: Run, make_parts: MakeParts) -> None:
    path = Path("parts.h5")
    assert "parts.h5: no such part cache" in mistake(run("cache", "verify", path))
    write_parts(path, make_parts())
    path.write_bytes(path.read_bytes()[:-100])
    assert "parts.h5: damaged part cache" in mistake(run("cache", "verify", path))


def test_every_command_has_help_with_every_option_explained(run: Run) -> None:
    def look(command: click.Command, words: list[str]) -> None:
        result = run(*words, "--help")
        assert result.exit_code == 0 and command.help
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        assert [option.name for option in options if not option.help] == []
        for name in getattr(command, "commands", {}):
            look(command.commands[name], [*words, name])  # type: ignore[attr-defined]

    look(main, [])


def test_help_names_the_data_sets_as_they_are_given(run: Run) -> None:
    text = " ".join(run("check", "--help").stdout.split())
    assert (
        "veri, vehicleid, vric, veriwild, synthetic; pictures of your own: folder (its images.csv) or FILE.csv" in text
    )


def test_the_device_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [choose_device(name) for name in ("auto", "cpu", "cuda")] == ["cuda", "cpu", "cuda"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [choose_device(name) for name in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(UserError, match="torch sees no GPU here; use --device cpu"):
        choose_device("cuda")
    assert describe_device("cpu").startswith("CPU, ")


def test_the_options_of_synth_have_the_defaults_of_its_settings() -> None:
    from data_cache.commands.synth import synth
    from data_cache.synthetic import SyntheticSettings

    settings = vars(SyntheticSettings())
    shared = {option.name: option.default for option in synth.params if option.name in settings}
    assert len(shared) == 7
    assert shared == {name: settings[name] for name in shared}


def test_a_fixed_set_chooses_its_sizes_and_seed_itself(run: Run, tmp_path: Path) -> None:
    from data_cache.commands.synth import synth
    from data_cache.synthetic import FIXED

    (fixed,) = (option.type for option in synth.params if option.name == "fixed")
    assert list(fixed.choices) == list(FIXED)
    told = mistake(run("synth", "--fixed", "fleets480", "--fleet-size", "4"), 2)
    assert "--fixed fleets480 and --fleet-size cannot be combined" in told
    assert list(tmp_path.iterdir()) == []
