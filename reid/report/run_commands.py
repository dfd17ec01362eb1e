"""The commands that make a report again, as the steps before it stored them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_cache.base.options import LOCATION, command_file, command_line, read_command
from reid.report.evaluated_run import EvaluatedRun
from reid.runs import in_ablation, parts_path, run_name


def reproduction_commands(run: EvaluatedRun, others: Sequence[EvaluatedRun]) -> list[str]:
    """Return the commands that make the detector, the boxes, the run, its scores and its report, as far as known.

    Return none if metrics.json has no options: `ablate` and earlier versions store none. What an earlier version made
    without storing its command is a comment.
    """
    options = run.metrics.get("arguments")
    if options is None:
        return []
    location = {name: options[name] for name in LOCATION if name in options}
    parts = {"--parts": options["--parts"]} if "--parts" in options else {}
    test = {"--run": run_name(run.folder), "--split": run.metrics["split"]}
    compared = {"--compare": [run_name(other.folder) for other in others]}
    report = command_line("report", {**location, **parts, **test, **compared})
    if not run.has_network:
        return [command_line("evaluate", {**options, "--split": run.metrics["split"]}), report]
    return [
        *_part_commands(run, Path(options.get("--runs", "runs")), parts.get("--parts")),
        *_training_commands(run),
        command_line("evaluate", {"--run": run_name(run.folder), **options, "--split": run.metrics["split"]}),
        report,
    ]


def _part_commands(run: EvaluatedRun, runs: Path, parts_file: str | None) -> Iterator[str]:
    """Yield the commands that trained the detector, if it was trained here, and that made the part cache."""
    cache = parts_path(runs, run.dataset.name) if parts_file is None else Path(parts_file)
    command = read_command(command_file(cache))
    if not command or command.get("weights_sha256") != run.parts.fingerprint.get("weights_sha256"):
        yield f"# {cache}: made by a command that is not known"
        return
    yield from _stored(runs / "detector" / str(command["options"].get("--detector")))
    yield command_line(command["command"], command["options"])


def _training_commands(run: EvaluatedRun) -> list[str]:
    """Return the command that made the checkpoint; none for a run of `ablate`, whose tables name it."""
    if in_ablation(run.folder):
        return []
    return _stored(run.folder) or [f"# {run.folder}: made by a command that is not known"]


def _stored(folder: Path) -> list[str]:
    command: dict[str, Any] = read_command(command_file(folder))
    return [command_line(command["command"], command["options"])] if command else []
