"""Recipes: all settings of a run in one frozen, validated value, from a preset or a YAML file, plus overrides."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from data_cache.base.errors import UserError, printable, short_repr
from data_cache.base.files import read_regular

MAX_RECIPE_BYTES = 64 * 1024
SUFFIXES = (".yaml", ".yml", ".json")
# Exceptions that PyYAML passes on for a malformed value: the date 2020-13-45, `!!bool maybe`, `!!int ""`.
_YAML_VALUE_ERRORS = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


class Recipe(BaseModel):
    """Base of all recipes: frozen; unknown options, NaN and infinity are refused. An alias replaces the field name."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, serialize_by_alias=True)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_fit(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse integers of more than 63 bits, and booleans unless the option is one."""
        if info.field_name is not None and cls.model_fields[info.field_name].annotation is bool:
            return value
        numbers = list(_whole_numbers(value))
        if any(isinstance(number, bool) for number in numbers):  # YAML reads on, off, yes, no, true, false
            raise ValueError("yes or no is not a valid value")
        if any(number.bit_length() > 63 for number in numbers):
            raise ValueError("the number is too large")
        return value


def _whole_numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _whole_numbers(part)


RecipeKind = TypeVar("RecipeKind", bound=Recipe)


def resolve_recipe(
    kind: type[RecipeKind],
    presets: Mapping[str, RecipeKind],
    name_or_path: str,
    overrides: Sequence[str] = (),
    *,
    defaults: Mapping[str, Any] | None = None,
) -> RecipeKind:
    """Return a preset by name, or the recipe of a YAML file, with `key=value` overrides applied.

    `defaults` are values of options that a file leaves out, where they are not those of `kind`. Raises UserError for an
    unknown preset or option (suggesting the nearest) and for a value out of range.
    """
    options = {**(defaults or {}), **_preset_options(kind, presets, name_or_path)}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise UserError(f"--set {override}: write it as key=value")
        options[key.strip()] = _yaml_value(text, f"--set {override}")
    return _validated(kind, options, name_or_path)


def option_names(overrides: Iterable[str]) -> list[str]:
    """Return the options that overrides `key=value` set.

    >>> option_names(["trunk = resnet50", "holdout=0"])
    ['trunk', 'holdout']
    """
    return [override.partition("=")[0].strip() for override in overrides]


def recipe_label(name_or_path: str) -> str:
    """Return the name of a recipe's output folder: the preset, or the file name without its suffix.

    >>> recipe_label("recipes/wide.v2.yaml"), recipe_label("wide.v2")
    ('wide.v2', 'wide.v2')
    """
    path = Path(name_or_path)
    return path.stem if path.suffix in SUFFIXES else path.name


def unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for an unknown name, with the nearest known one."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
    return UserError(f"unknown {what} {printable(name)[:80]}{hint}")


def _preset_options(kind: type[RecipeKind], presets: Mapping[str, RecipeKind], name_or_path: str) -> dict[str, Any]:
    if name_or_path in presets:
        return presets[name_or_path].model_dump()
    path = Path(name_or_path)
    if path.suffix not in SUFFIXES:
        raise unknown("recipe", name_or_path, presets)
    try:
        data = read_regular(path, MAX_RECIPE_BYTES + 1)
        if len(data) > MAX_RECIPE_BYTES:
            raise UserError(f"{path}: larger than {MAX_RECIPE_BYTES // 1024} KiB, not a recipe")
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a recipe ({error})") from error
    options = _yaml_value(text, str(path))
    if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
        raise UserError(f"{path}: a recipe consists of `option: value` lines")
    _refuse_unknown(kind, options, f"{path}: ")
    return options


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without anchors and aliases: they can expand without bound, and no recipe needs them."""

    def fetch_anchor(self) -> NoReturn:
        raise UserError("anchors (&) and aliases (*) are not allowed")

    fetch_alias = fetch_anchor


def _yaml_value(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    except (yaml.YAMLError, *_YAML_VALUE_ERRORS) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{source}: not valid YAML ({printable(reason)[:200]})") from error


def _refuse_unknown(kind: type[Recipe], options: Iterable[str], where: str = "") -> None:
    known = [field.alias or name for name, field in kind.model_fields.items()]
    for key in options:
        if key not in known:
            raise UserError(f"{where}{unknown('option', key, known)}")


def _validated(kind: type[RecipeKind], options: Mapping[str, Any], source: str) -> RecipeKind:
    _refuse_unknown(kind, options)
    try:
        return kind(**options)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "recipe"
        raise UserError(f"{source}: {name}: {first['msg']} (given: {short_repr(first['input'])})") from error


_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
    "multipleOf": "a multiple of",
}


def recipe_text(recipe: Recipe, name: str) -> str:
    """Return the recipe as YAML, one commented line per option; `resolve_recipe` reads the same recipe back."""
    schema = type(recipe).model_json_schema()["properties"]
    lines = [f"# {name}. Edit and pass as --recipe FILE.yaml."]
    values = recipe.model_dump(mode="json")
    for option in schema:
        value = values.get(option, schema[option].get("default"))  # a recipe may leave out options that are not used
        comment = "; ".join(filter(None, [schema[option].get("description", ""), _allowed(schema[option])]))
        lines.append(f"{option}: {json.dumps(value)}" + (f"  # {comment}" if comment else ""))
    return "\n".join(lines) + "\n"


def _allowed(schema: Mapping[str, Any]) -> str:
    """Return the values that a JSON schema allows: "at least 0, less than 0.5", or a list of choices."""
    for choices in (schema.get("enum"), schema.get("items", {}).get("enum")):
        if choices:
            return ", ".join(choices)
    return ", ".join(f"{words} {schema[key]:g}" for key, words in _LIMITS.items() if key in schema)
