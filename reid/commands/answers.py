"""What `rank` writes instead of pictures: candidates of every query, those that are accepted, and a page of both."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from data_cache.base.devices import Compute
from data_cache.base.options import remedy_command
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.csv_file import write_csv
from reid.evaluation.answers import candidates, find_answers, submission
from reid.evaluation.calibration import read_calibration, require_calibration
from reid.evaluation.trained_run import features_of_run, find_run, mean_of_runs, whitening
from reid.report.answers_page import write_answers_page
from reid.retrieval.scoring import PLAIN, AfterNetwork


@dataclass(frozen=True)
class AnswerFiles:
    """The files to write: the lists, in a row a query if `wide`, the decisions, and the page of `count` queries."""

    output: Path | None
    decided: Path | None
    page: Path | None
    wide: bool
    count: int


def write_answers(
    files: AnswerFiles,
    top: int,
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
    """Write the first `top` candidates of each query by a run, and its decisions; return the paths that were written.

    `after` are the options AFTER_NETWORK; what they change is the lists, not the decisions. The arguments after it are
    those of `evaluated_runs_options`. Raises UsageError for --compare, and for --with and --whiten together.
    """
    if compare:
        raise click.UsageError("--compare is for pictures; write the files of each run by itself")
    beside, whiten = after["beside"], after["whiten"]
    if beside and whiten:
        raise click.UsageError("--with and --whiten cannot be combined: a whitening is learnt for one run")
    loaded = load_dataset(dataset, data_root)
    found = find_run(loaded, runs, run, None, parts_file)
    others = [find_run(loaded, runs, other, None, None) for other in beside]
    calibration = require_calibration(found) if files.decided is not None else None
    calibrated = read_calibration(found.folder, found.checkpoint.sha256) if files.page is not None else None
    test = split or loaded.default_split()
    _, features = features_of_run(found, [test], compute)
    protocol = loaded.protocol(test, draws=1)
    if junk == "camera":
        protocol = replace(protocol, cameras="other")
    plain = find_answers(features, loaded, protocol, top)
    changed = mean_of_runs(features, others, [test], compute) if others else features
    if whiten:
        changed = replace(features, matrix=whitening(found, compute)(features.matrix))
    own = AfterNetwork(**{name: after[name] for name in ("rerank", "expand", "database", "camera_means")})
    same = changed is features and own == PLAIN
    lists = plain if same else find_answers(changed, loaded, protocol, top, own)
    if files.output is not None:
        write_csv(files.output, submission(loaded, lists, top, wide=files.wide))
    if files.decided is not None and calibration is not None:
        write_csv(files.decided, candidates(loaded, plain, calibration))
    if files.page is not None:
        write_answers_page(
            files.page,
            loaded,
            protocol,
            lists,
            plain,
            calibrated,
            run=found.folder.name,
            remedy=remedy_command("calibrate", {} if run is None else {"--run": run}),
            count=files.count,
            top_k=top,
            turned=found.parts.turned,
        )
    return [str(path) for path in (files.output, files.decided, files.page) if path is not None]
