"""The commands that make a report again, as the steps before it stored them."""

from collections.abc import Sequence

from data_cache.base.options import LOCATION, Options, command_line
from reid.evaluation.calibration import read_calibration
from reid.report.evaluated_run import EvaluatedRun
from reid.runs import commands_for_parts, commands_for_training, dataset_folder, run_name


def reproduction_commands(run: EvaluatedRun, others: Sequence[EvaluatedRun], shown: Options) -> list[str]:
    """Return the commands that make the detector, the boxes, the run, its scores and its report, as far as known.

    `shown` are the options of `report` that say how much the page shows, as far as they were given.

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
    report = command_line("report", {**location, **parts, **test, **compared, **shown})
    if not run.has_network:
        return [command_line("evaluate", {**options, "--split": run.metrics["split"]}), report]
    boxes_by, folder = run.parts.fingerprint.get("weights_sha256"), dataset_folder(run.folder)
    reads_boxes = bool(run.parts.fingerprint)  # the cache of a network without boxes is empty, made by nothing
    return [
        *(commands_for_parts(boxes_by, folder, parts.get("--parts")) if reads_boxes else []),
        *commands_for_training(run.folder),
        *_calibration(run),
        command_line("evaluate", {"--run": run_name(run.folder), **options, "--split": run.metrics["split"]}),
        report,
    ]


def _calibration(run: EvaluatedRun) -> list[str]:
    calibrated = None if run.checkpoint_hash is None else read_calibration(run.folder, run.checkpoint_hash)
    return [command_line("calibrate", calibrated.arguments)] if calibrated is not None and calibrated.arguments else []
