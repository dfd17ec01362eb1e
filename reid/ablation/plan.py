"""From rows to runs: one recipe per variant and seed, named by what differs; rows that are equal share a run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from data_cache.base.config import option_names
from data_cache.base.errors import UserError
from reid.ablation.boxes import BoxKind
from reid.ablation.tables import Row, Table, Variant
from reid.recipes import PRESETS, ReidRecipe, dataset_options, recipe_for

Scale = Literal["small", "paper"]
SUFFIX: Mapping[Scale, str] = {"small": "_small", "paper": ""}
NAMED_OPTIONS = ("features", "parts", "triplets", "lambda")  # set by rows of some table; part of the names


@dataclass(frozen=True)
class Run:
    """One training: its name without the seed, its recipe, and the kind of boxes."""

    name: str
    recipe: ReidRecipe
    boxes: BoxKind

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.name}-seed{self.recipe.seed}"

    @property
    def title(self) -> str:
        """Name and seed for messages: "grid, seed 1"."""
        return f"{self.name}, seed {self.recipe.seed}"


@dataclass(frozen=True)
class Plan:
    """Tables on one data set and their runs in order: all rows with the first seed, then with the next."""

    tables: tuple[Table, ...]
    scale: Scale
    dataset: str
    overrides: tuple[str, ...]
    runs: tuple[Run, ...]

    def name_of(self, row: Row) -> str:
        """Return the common name of a row's runs."""
        return variant_name(row.variant, self.scale, self.dataset, self.overrides)

    def runs_of(self, row: Row) -> list[Run]:
        """Return the runs of a row, by seed."""
        name = self.name_of(row)
        return [run for run in self.runs if run.name == name]


def plan_runs(
    tables: Sequence[Table], scale: Scale, dataset: str, overrides: Sequence[str], seeds: Sequence[int]
) -> Plan:
    """Return the runs that the tables need on a data set; `overrides` (key=value) change the recipe of every row.

    Overrides of NAMED_OPTIONS become part of the names of tables and runs. A note tells the data set's own options
    (`reid.recipes.dataset_options`) that no override sets. Raises UserError for an override that the
    rows of a table set, and as `resolve_recipe`.
    """
    _require_free_options(tables, overrides)
    runs: dict[str, Run] = {}
    for seed in seeds:
        for variant in (row.variant for table in tables for row in table.rows):
            recipe = _recipe(variant, scale, dataset, [*overrides, f"seed={seed}"])
            run = Run(variant_name(variant, scale, dataset, overrides), recipe, variant.boxes)
            runs.setdefault(run.folder, run)
    settings = dict.fromkeys(
        setting
        for variant in (Variant(), *(row.variant for table in tables for row in table.rows))
        for setting in _differing(_recipe(variant, scale, dataset, overrides), _recipe(variant, scale, dataset, []))
    )
    given = option_names(overrides)
    notes = [
        f"{option} = {value:g} unless a row says otherwise, the authors' setting on this data set."
        for option, value in dataset_options(dataset).items()
        if option not in given
    ]
    renamed = tuple(table.with_settings(tuple(settings)).with_notes(notes) for table in tables)
    return Plan(renamed, scale, dataset, tuple(overrides), tuple(runs.values()))


def variant_name(variant: Variant, scale: Scale, dataset: str, overrides: Sequence[str] = ()) -> str:
    """Return the preset and the named options that differ from it, so that equal runs share one name.

    >>> pgan = Variant("pgan", {"features": 256})
    >>> variant_name(pgan, "small", "veri"), variant_name(Variant("pgan", {"features": 512}), "small", "veri")
    ('pgan_features=256', 'pgan')
    >>> [variant_name(Variant(preset), "small", "veri", ["parts=16"]) for preset in ("pgan", "grid")]
    ['pgan_parts=16', 'grid']
    >>> variant_name(Variant("pgan"), "small", "vehicleid")
    'pgan_lambda=1'
    """
    boxes = [] if variant.boxes == "detector" else [f"boxes={variant.boxes}"]
    preset = PRESETS[variant.preset + SUFFIX[scale]]
    return "_".join([variant.preset, *_differing(_recipe(variant, scale, dataset, overrides), preset), *boxes])


def _recipe(variant: Variant, scale: Scale, dataset: str, overrides: Sequence[str]) -> ReidRecipe:
    """Return a variant's recipe on a data set; where it uses no parts, their number stays the preset's."""
    preset = variant.preset + SUFFIX[scale]
    changes = [f"{option}={json.dumps(value)}" for option, value in variant.changes.items()]
    recipe = recipe_for(dataset, preset, [*overrides, *changes])
    if recipe.attention in ("parts", "equal") or recipe.part_crops:
        return recipe
    return recipe.model_copy(update={"parts": PRESETS[preset].parts})


def _differing(recipe: ReidRecipe, other: ReidRecipe) -> list[str]:
    """Return the named options of a recipe that differ from another's, as "lambda=4"."""
    found, usual = recipe.model_dump(mode="json"), other.model_dump(mode="json")
    return [f"{option}={_text(found[option])}" for option in NAMED_OPTIONS if found[option] != usual[option]]


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else str(value)


def _require_free_options(tables: Sequence[Table], overrides: Sequence[str]) -> None:
    for override, option in zip(overrides, option_names(overrides), strict=True):
        if option == "seed":
            raise UserError(f"--set {override}: use --seeds for the seeds")
        for table in tables:
            if option in table.options():
                raise UserError(f"--set {override}: the rows of {table.name} differ in {option}; leave it out")
