"""The CSVs that `rank` writes instead of pictures: candidates of every query, and those that are accepted."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from data_cache.base.devices import Compute
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.csv_file import write_csv
from reid.evaluation.answers import candidates, find_answers, submission
from reid.evaluation.calibration import require_calibration
from reid.evaluation.trained_run import features_of_run, find_run, mean_of_runs, whitening
from reid.retrieval.scoring import AfterNetwork


def write_answers(
    output: Path | None,
    decided: Path | None,
    top: int,
    wide: bool,
    junk: str,
    compute: Compute,
    after: Mapping[str, Any],
    *,
    dataset: str,
    data_root: Path,
    runs: Path,
    run: str | None,
    split: str | None,
    parts_file: Path | None,
    compare: tuple[str, ...],
) -> list[str]:
    """Write the lists of a run to `output` and its decisions to `decided`, and return the paths that were written.

    `after` are the options AFTER_NETWORK; what they change is the lists, not the decisions. The arguments after it are
    those of `evaluated_runs_options`. Raises UsageError for --compare, and for --with and --whiten together.
    """
    if compare:
        raise click.UsageError("--compare is for pictures; write the CSV of each run by itself")
    beside, whiten = after["beside"], after["whiten"]
    if beside and whiten:
        raise click.UsageError("--with and --whiten cannot be combined: a whitening is learnt for one run")
    loaded = load_dataset(dataset, data_root)
    found = find_run(loaded, runs, run, None, parts_file)
    others = [find_run(loaded, runs, other, None, None) for other in beside]
    calibration = require_calibration(found) if decided is not None else None
    test = split or loaded.default_split()
    _, features = features_of_run(found, [test], compute)
    protocol = loaded.protocol(test, draws=1)
    if junk == "camera":
        protocol = replace(protocol, cameras="other")
    if output is not None:
        changed = mean_of_runs(features, others, [test], compute) if others else features
        if whiten:
            changed = replace(features, matrix=whitening(found, compute)(features.matrix))
        own = {name: after[name] for name in ("rerank", "expand", "database", "camera_means")}
        answers = find_answers(changed, loaded, protocol, top, AfterNetwork(**own))
        write_csv(output, submission(loaded, answers, top, wide=wide))
    if decided is not None and calibration is not None:
        write_csv(decided, candidates(loaded, find_answers(features, loaded, protocol, top), calibration))
    return [str(path) for path in (output, decided) if path is not None]
