"""Recipes: presets, files and overrides give frozen values; every mistake is one line with its remedy."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, ValidationError

from data_cache.base.config import MAX_RECIPE_BYTES, Recipe, resolve_recipe
from data_cache.base.errors import UserError


class Toy(Recipe):
    """A recipe with a field of each kind."""

    lambda_: float = Field(2.0, ge=0)
    rate: float = Field(1e-3, gt=0)
    epochs: int = Field(10, ge=1)
    trunk: Literal["small", "large"] = "small"
    weights: str | None = None
    sizes: tuple[int, ...] = (1, 2)


PRESETS = {"toy": Toy(), "long": Toy(epochs=100, trunk="large")}


def resolve(name: str, *overrides: str) -> Toy:
    return resolve_recipe(Toy, PRESETS, name, overrides)


def refusal(name: str, *overrides: str) -> str:
    """Return the error message, which is one line."""
    with pytest.raises(UserError) as caught:
        resolve(name, *overrides)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_a_preset_is_returned_unchanged() -> None:
    for name, preset in PRESETS.items():
        assert resolve(name) == preset


def test_overrides_change_only_the_named_options() -> None:
    found = resolve("long", "rate=1e-4", "weights=a=b.pth", " epochs = 7", "sizes=[3, 4, 5]")
    assert found == Toy(epochs=7, trunk="large", rate=1e-4, weights="a=b.pth", sizes=(3, 4, 5))
    assert PRESETS["long"] == Toy(epochs=100, trunk="large")


@pytest.mark.parametrize("override", ["epochs=on", "rate=yes", "sizes=[1, true]"])
def test_booleans_are_refused_as_numbers(override: str) -> None:
    assert override.partition("=")[0] in refusal("toy", override)


def test_null_and_an_empty_value_are_none() -> None:
    assert resolve("toy", "weights=null").weights is None
    assert resolve("toy", "weights=").weights is None


@pytest.mark.parametrize(
    "text",
    ["epochs: 7\ntrunk: large", "\ufeffepochs: 7\r\ntrunk: large\r\n", '{"epochs": 7, "trunk": "large"}'],
    ids=["yaml", "yaml with BOM and CRLF", "json"],
)
def test_a_recipe_is_read_from_yaml_and_json(tmp_path: Path, text: str) -> None:
    for suffix in (".yaml", ".yml", ".json"):
        path = tmp_path / f"mine{suffix}"
        path.write_bytes(text.encode())
        assert resolve(str(path)) == Toy(epochs=7, trunk="large")
        assert resolve(str(path), "epochs=8") == Toy(epochs=8, trunk="large")


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PRESETS["toy"].epochs = 3


def test_a_recipe_made_in_code_refuses_unknown_options_too() -> None:
    with pytest.raises(ValidationError, match="lamda"):
        Toy.model_validate({"lamda": 1})


def test_misspelt_names_get_the_nearest_suggestion(tmp_path: Path) -> None:
    assert refusal("toy", "lamda_=1") == "unknown option lamda_; did you mean lambda_?"
    assert refusal("toy", "epoch=1") == "unknown option epoch; did you mean epochs?"
    assert refusal("lnog") == "unknown recipe lnog; did you mean long?"
    assert refusal("toy", "qqqq=1").endswith("known: lambda_, rate, epochs, trunk, weights, sizes")
    assert refusal("zzz") == "unknown recipe zzz; known: toy, long"
    (tmp_path / "r.yaml").write_text("lamda_: 1")
    assert refusal(str(tmp_path / "r.yaml")) == f"{tmp_path / 'r.yaml'}: unknown option lamda_; did you mean lambda_?"


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("epochs=0", "greater than or equal to 1 (given: 0)"),
        ("epochs=1.5", "integer"),
        ("epochs=", "integer"),
        ("epochs=many", "integer"),
        ("epochs=0x" + "f" * 5000, "the number is too large"),
        ("sizes=[1, 9223372036854775808]", "the number is too large"),
        ("rate=0", "greater than 0"),
        ("rate=-1", "greater than 0"),
        ("rate=.nan", "rate"),
        ("rate=.inf", "finite"),
        ("lambda_=.inf", "finite"),
        ("lambda_=1e999", "finite"),
        ("trunk=medium", "'small' or 'large'"),
        ("sizes=3", "tuple"),
        ("sizes=[1, two]", "sizes.1"),
        ("weights=3", "string"),
    ],
)
def test_invalid_values_are_refused_with_option_and_reason(override: str, reason: str) -> None:
    message = refusal("toy", override)
    assert message.startswith(f"toy: {override.partition('=')[0]}")
    assert reason in message


@pytest.mark.parametrize("override", ["epochs", "", "epochs:3"])
def test_an_override_without_equals_is_refused(override: str) -> None:
    assert "key=value" in refusal("toy", override)


def test_ampersands_and_asterisks_in_values_are_text(tmp_path: Path) -> None:
    for value in ("/data/R&D/r50.pth", "runs/*.pth"):
        (tmp_path / "r.yaml").write_text(f"weights: {value}  # R&D's *own*\n")
        assert resolve(str(tmp_path / "r.yaml")).weights == resolve("toy", f"weights={value}").weights == value
        assert resolve("toy", f"weights='&{value}'").weights == f"&{value}"


@pytest.mark.parametrize("text", ["epochs: &a 3", "a: &x [1]\nb: *x", "<<: *base", "&a [*a]"])
def test_anchors_and_aliases_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    assert "anchors (&) and aliases (*) are not allowed" in refusal(str(tmp_path / "r.yaml"))
    assert "not allowed" in refusal("toy", f"weights={text.splitlines()[-1]}")


@pytest.mark.parametrize(
    "text",
    [
        "epochs: [1", "epochs: 3\n\tseed: 4", "a: b: c", "--- {}\n--- {}", "\0", "when: 2020-13-45", "2020-13-45: 1",
        "epochs: !!int three", "epochs: !!python/object/apply:os.getpid []", "[" * 5_000, "epochs: !!bool maybe",
        "epochs: !!int ''", "epochs: !!timestamp soon", "\x1b[2J",
    ],
)  # fmt: skip
def test_invalid_yaml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    assert refusal(str(path)).startswith(f"{path}: not valid YAML")


@pytest.mark.parametrize("text", ["", "# nothing", "7", "[epochs, 7]", "7: epochs", "null: 3"])
def test_a_file_without_options_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    assert "option: value" in refusal(str(tmp_path / "r.yaml"))


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "large.yaml").write_text("#" * (MAX_RECIPE_BYTES + 1))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\0")
    (tmp_path / "folder.yaml").mkdir()
    for name, reason in {
        "large": "not a recipe",
        "bytes": "utf-8",
        "folder": "cannot be read",
        "no": "No such",
    }.items():
        assert reason in refusal(str(tmp_path / f"{name}.yaml"))
