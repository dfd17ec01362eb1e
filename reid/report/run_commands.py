"""The commands that make a run, its scores and its page again, from what the run tells of itself."""

import json
import shlex
from collections.abc import Sequence

from data_cache.datasets.catalogue import KNOWN
from reid.evaluation.scoring import RERANKED
from reid.recipes import PRESETS
from reid.report.evaluated_run import ShownRun
from reid.runs import ABLATION


def commands_of(run: ShownRun, others: Sequence[ShownRun]) -> list[str]:
    """Return the commands that make this page again."""
    metrics = run.metrics
    trained = metrics["scores"]["trained"]
    dataset, test = [*_named(run), *_data_root(run), *_runs(run)], ["--split", metrics["split"]]
    chosen = [*dataset, "--recipe", _recipe_option(run)]
    drawn = trained["seed"] is not None
    draws = ["--draws", str(trained["trials"]), "--seed", str(trained["seed"])] if drawn else []
    flags = ["--untrained"] if "untrained" in metrics["scores"] else []
    flags += ["--ap", trained["precision"]] if trained["precision"] != "step" else []
    flags += ["--rerank"] if any(RERANKED in row for row in metrics["scores"]) else []
    expand = metrics.get("protocol", {}).get("expand")
    flags += ["--expand", str(expand)] if expand else []
    compared = [word for other in others for word in ("--compare", _recipe_option(other))]
    steps = [
        ["detect", *dataset],
        *_making(run, dataset),
        ["evaluate", *chosen, *test, *draws, *flags],
        ["report", *chosen, *test, *compared],
    ]
    return [shlex.join(["python", "cli.py", *step]) for step in steps]


def _named(run: ShownRun) -> list[str]:
    """Return `--dataset`; a list of one's own is known by its name alone, not by its place."""
    name = run.dataset.name
    return ["--dataset", name if name in (*KNOWN, "folder") else f"{name}.csv"]


def _data_root(run: ShownRun) -> list[str]:
    root = run.dataset.root.parent if run.dataset.name in KNOWN else run.dataset.root
    return [] if str(root) == "data" else ["--data-root", str(root)]


def _runs(run: ShownRun) -> list[str]:
    runs = run.folder.parents[2 if run.folder.parent.name == ABLATION else 1]
    return [] if str(runs) == "runs" else ["--runs", str(runs)]


def _recipe_option(run: ShownRun) -> str:
    return f"{ABLATION}/{run.name}" if run.folder.parent.name == ABLATION else run.name


def _making(run: ShownRun, dataset: list[str]) -> list[list[str]]:
    """Return the command that makes a checkpoint: one with a source was imported; of the ablation, its tables tell."""
    if run.folder.parent.name == ABLATION:
        return []
    if "source" not in run.metrics.get("checkpoint", {}):
        return [["train", *dataset, "--recipe", *_settings(run)]]
    depth = str(run.metrics["recipe"]["parts"])
    place = [*_named(run), *_runs(run), "--name", run.name, "--parts-depth", depth]
    return [["import-weights", "--official", "model_best.pth", *place]]


def _settings(run: ShownRun) -> list[str]:
    """Return the recipe that a run was trained by, as its options: a preset with changes, or a file of its name."""
    if run.name not in PRESETS:
        return [f"{run.name}.yaml"]
    preset, made = PRESETS[run.name].model_dump(mode="json"), run.metrics.get("recipe", {})
    changed = [
        f"{name}={json.dumps(made.get(name, value))}"
        for name, value in preset.items()
        if made.get(name, value) != value
    ]
    return [run.name, *(word for option in changed for word in ("--set", option))]
