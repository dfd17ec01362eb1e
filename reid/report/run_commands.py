"""The commands that reproduce a report, from the options that `evaluate` stores in metrics.json."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reid.recipes import PRESETS
from reid.report.evaluated_run import EvaluatedRun
from reid.runs import in_ablation, run_name

LOCATION = ("--dataset", "--data-root", "--runs")
Options = Mapping[str, Any]  # by name; True for a flag, a list for a repeated option


def reproduction_commands(run: EvaluatedRun, others: Sequence[EvaluatedRun]) -> list[str]:
    """Return the commands that make the run, its scores and its report.

    Return none if metrics.json has no options: `ablate` and earlier versions store none.
    """
    options = run.metrics.get("arguments")
    if options is None:
        return []
    location = {name: options[name] for name in LOCATION if name in options}
    parts = {"--parts": options["--parts"]} if "--parts" in options else {}
    test = {"--recipe": run_name(run.folder), "--split": run.metrics["split"]}
    compared = {"--compare": [run_name(other.folder) for other in others]}
    return [
        command_line("detect", location),
        *_training_commands(run, {**location, **parts}),
        command_line("evaluate", {**options, **test}),
        command_line("report", {**location, **parts, **test, **compared}),
    ]


def command_line(command: str, options: Options) -> str:
    """Return a command, such as "gallery build", with its options, quoted for a shell.

    >>> command_line("rank", {"--query": ["a b.jpg", "c.jpg"], "--heatmaps": True, "--top": 5})
    "python cli.py rank --query 'a b.jpg' --query c.jpg --heatmaps --top 5"
    """
    return shlex.join(["python", "cli.py", *command.split(), *_words(options)])


def _words(options: Options) -> Iterator[str]:
    for name, value in options.items():
        if value is True:
            yield name
            continue
        for one in value if isinstance(value, list) else [value]:
            yield from (name, str(one))


def _training_commands(run: EvaluatedRun, options: Options) -> list[str]:
    """Return the command that made the checkpoint; none for a run of `ablate`, whose tables name it."""
    if in_ablation(run.folder):
        return []
    if "source" in run.metrics.get("checkpoint", {}):  # imported weights
        location = {name: options[name] for name in ("--dataset", "--runs") if name in options}
        network = {"--name": run.name, "--parts-depth": run.metrics["recipe"]["parts"]}
        return [command_line("import-weights", {"--official": "model_best.pth", **location, **network})]
    return [command_line("train", {**options, **_recipe_options(run)})]


def _recipe_options(run: EvaluatedRun) -> Options:
    """Return the recipe as options of `train`: a preset with its changes, or the run's YAML file."""
    if run.name not in PRESETS:
        return {"--recipe": f"{run.name}.yaml"}
    recipe = run.metrics.get("recipe", {})
    preset = PRESETS[run.name].model_dump(mode="json")
    changed = [name for name, value in recipe.items() if value != preset.get(name)]
    return {"--recipe": run.name, "--set": [f"{name}={json.dumps(recipe[name])}" for name in changed]}
