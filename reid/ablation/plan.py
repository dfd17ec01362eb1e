"""From rows to runs: the recipe of each, under a name that tells what differs; what several rows share is run once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from data_cache.base.config import resolve_recipe
from data_cache.base.errors import UserError
from reid.ablation.boxes import BoxKind
from reid.ablation.tables import Row, Sheet, Variant
from reid.recipes import PRESETS, ReidRecipe

Scale = Literal["small", "paper"]
SUFFIX: Mapping[Scale, str] = {"small": "_small", "paper": ""}
NAMED = ("features", "parts", "triplets", "lambda")  # options that rows of some sheet choose: names tell of them


@dataclass(frozen=True)
class Run:
    """One training: its name without the seed, the whole recipe, and whose boxes it looks at."""

    name: str
    recipe: ReidRecipe
    boxes: BoxKind

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.name}-seed{self.recipe.seed}"

    @property
    def title(self) -> str:
        """What the user is told: "grid, seed 1"."""
        return f"{self.name}, seed {self.recipe.seed}"


@dataclass(frozen=True)
class Plan:
    """The runs of some sheets on one data set, in the order of running: all rows by the first seed, then the next."""

    sheets: tuple[Sheet, ...]
    scale: Scale
    overrides: tuple[str, ...]
    runs: tuple[Run, ...]

    def name_of(self, row: Row) -> str:
        """Return the name that the runs of a row share."""
        return run_name(row.variant, self.scale, self.overrides)

    def runs_of(self, row: Row) -> list[Run]:
        """Return the runs of a row, by seed."""
        name = self.name_of(row)
        return [run for run in self.runs if run.name == name]


def planned(sheets: Sequence[Sheet], scale: Scale, overrides: Sequence[str], seeds: Sequence[int]) -> Plan:
    """Return the runs that the sheets' rows need; `overrides` (key=value) change the recipe of every row.

    Those that rows of some sheet choose are told by the names of sheets and runs, so that none takes another's place.
    Raises UserError for an override that a row would undo, and as `resolve_recipe` does.
    """
    _refuse_what_rows_choose(sheets, overrides)
    runs: dict[str, Run] = {}
    for seed in seeds:
        for variant in (row.variant for sheet in sheets for row in sheet.rows):
            recipe = _recipe(variant, scale, [*overrides, f"seed={seed}"])
            run = Run(run_name(variant, scale, overrides), recipe, variant.boxes)
            runs.setdefault(run.folder, run)
    told = _told(Variant(), scale, overrides)
    return Plan(tuple(sheet.with_settings(told) for sheet in sheets), scale, tuple(overrides), tuple(runs.values()))


def _recipe(variant: Variant, scale: Scale, overrides: Sequence[str]) -> ReidRecipe:
    """Return a variant's recipe; where it looks at no parts, their number is the preset's, whatever the others have."""
    preset = variant.preset + SUFFIX[scale]
    changes = [f"{option}={json.dumps(value)}" for option, value in variant.changes.items()]
    recipe = resolve_recipe(ReidRecipe, PRESETS, preset, [*overrides, *changes])
    looks = recipe.attention in ("parts", "equal")
    return recipe if looks else recipe.model_copy(update={"parts": PRESETS[preset].parts})


def run_name(variant: Variant, scale: Scale, overrides: Sequence[str] = ()) -> str:
    """Return the preset and what rows choose that differs from it; so runs that are equal share one name.

    >>> run_name(Variant("pgan", {"features": 256}), "small"), run_name(Variant("pgan", {"features": 512}), "small")
    ('pgan_features=256', 'pgan')
    >>> run_name(Variant("pgan"), "small", ["parts=16"]), run_name(Variant("grid"), "small", ["parts=16"])
    ('pgan_parts=16', 'grid')
    """
    boxes = [] if variant.boxes == "detector" else [f"boxes={variant.boxes}"]
    return "_".join([variant.preset, *_told(variant, scale, overrides), *boxes])


def _told(variant: Variant, scale: Scale, overrides: Sequence[str]) -> list[str]:
    """Return the options that names tell of, "lambda=4", where they differ from the preset's."""
    usual = PRESETS[variant.preset + SUFFIX[scale]].model_dump(mode="json")
    found = _recipe(variant, scale, overrides).model_dump(mode="json")
    return [f"{option}={_text(found[option])}" for option in NAMED if found[option] != usual[option]]


def _text(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else str(value)


def _refuse_what_rows_choose(sheets: Sequence[Sheet], overrides: Sequence[str]) -> None:
    for override in overrides:
        option = override.partition("=")[0].strip()
        if option == "seed":
            raise UserError(f"--set {override}: the seeds are chosen by --seeds")
        for sheet in sheets:
            if option in sheet.options():
                raise UserError(f"--set {override}: the rows of {sheet.name} differ in {option}; leave it out")
