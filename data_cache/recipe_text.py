"""A recipe as text: a YAML file that tells of every option what it means and may be, to be changed and given back."""

import json
from collections.abc import Mapping
from typing import Any

from data_cache.recipes import Recipe

_LIMITS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
    "multipleOf": "a multiple of",
}


def recipe_text(recipe: Recipe, name: str) -> str:
    """Return the recipe as YAML, an option a line with a comment; `resolve_recipe` reads it back as the same recipe."""
    told = type(recipe).model_json_schema()["properties"]
    lines = [f"# {name}. Change what you like, and give the file's name as --recipe."]
    for option, value in recipe.model_dump(mode="json").items():
        meaning = [told[option].get("description", ""), _may_be(told[option])]
        comment = "; ".join(filter(None, meaning))
        lines.append(f"{option}: {json.dumps(value)}" + (f"  # {comment}" if comment else ""))
    return "\n".join(lines) + "\n"


def _may_be(schema: Mapping[str, Any]) -> str:
    """Return what a JSON schema allows: "at least 0, less than 0.5", or the words to choose from."""
    for choices in (schema.get("enum"), schema.get("items", {}).get("enum")):
        if choices:
            return ", ".join(choices)
    return ", ".join(f"{words} {schema[key]:g}" for key, words in _LIMITS.items() if key in schema)
