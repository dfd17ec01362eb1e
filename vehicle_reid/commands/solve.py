"""The command `solve`: from frames and tables of boxes to the answer, by the other commands."""

import logging
from pathlib import Path

import click

from data_cache.base.options import FOLDER, command_line, device_option, set_option, workers_option
from data_cache.commands.crop import TABLES

log = logging.getLogger(__name__)

CROPS, RUNS, RUN = "crops", "runs", "answer"  # folders below the output, and the name of the run
CANDIDATES = "candidates.csv"
NO_DECISIONS = f"so there are no decisions and no {CANDIDATES}"
DATASET = "images"  # the label of crops/images.csv
RECIPE = "strong_small"
HIDE = "hide=[plate]"
CHANGES = (  # of RECIPE; with as many features as the shipped network all of that is a start
    *("start=shipped", "trunk=mobilenet_v2", "features=256"),
    *("holdout=0.15", "epochs=20"),
)


@click.command("solve")
@click.option("--images", type=FOLDER, required=True, help="Folder of the frames.")
@click.option("--train", type=TABLES, default=None, help="Table of the objects to learn from; see `crop`.")
@click.option("--query", type=TABLES, required=True, help="Table of the objects to look for.")
@click.option("--gallery", type=TABLES, required=True, help="Table of the objects to find them among.")
@click.option("--output", type=FOLDER, required=True, help="Folder for everything.")
@click.option("--no-train", is_flag=True, help="Use the network that ships, without training.")
@click.option(
    "--recipe",
    default=RECIPE,
    show_default=True,
    help="Preset or YAML file of the training; the default starts from the network that ships, for 20 epochs.",
)
@set_option
@click.option("--aim", default="f1", show_default=True, help="Of the decisions; see `calibrate`.")
@click.option("--top", type=click.IntRange(1, 50), default=10, show_default=True, help="Candidates of each query.")
@click.option("--margin", type=click.FloatRange(0, 2), default=0.0, show_default=True, help="Of the crops; see `crop`.")
@device_option
@workers_option
@click.pass_context
def solve_command(
    context: click.Context,
    images: Path,
    train: Path | None,
    query: Path,
    gallery: Path,
    output: Path,
    no_train: bool,
    recipe: str,
    overrides: tuple[str, ...],
    aim: str,
    top: int,
    margin: float,
    device: str,
    workers: int,
) -> None:
    """Find which objects of a gallery show the vehicle of each query, if any, from frames and tables of boxes.

    Runs crop, detect, train, calibrate, features and rank, each of which is named before it starts and resumes if it
    was interrupted. Writes OUTPUT/embeddings.npy, submission.csv, candidates.csv and answer.html, a page of them. If
    there are too few vehicles to calibrate with, it says so and writes no candidates.csv. If the vehicles of the test
    are known, evaluate and report follow. Plates are covered in every image, so that the network cannot read them.

    \b
    Examples:
      python cli.py solve --images frames --train train.csv --query query.csv --gallery gallery.csv --output answer
      python cli.py solve --images frames --query query.csv --gallery gallery.csv --output answer --no-train
    """
    from data_cache.base.errors import UserError
    from reid.evaluation.calibration import fpir_of

    if train is None and not no_train:
        raise click.UsageError("give --train, or use the network that ships with --no-train")
    fpir_of(aim)  # raises before the work
    tables = {"--train": train, "--query": query, "--gallery": gallery}
    given = [word for name, path in tables.items() if path is not None for word in (name, str(path))]
    where = ["--dataset", str(output / CROPS / "images.csv"), "--data-root", str(output / CROPS)]
    where += ["--runs", str(output / RUNS)]
    computed = ["--device", device, "--workers", str(workers)]
    crop = ["crop", "--images", str(images), *given, "--output", str(output / CROPS), "--margin", str(margin)]
    _run(context, [*crop, "--workers", str(workers)])
    _run(context, ["detect", *where, *computed])
    run = "shipped" if no_train else RUN
    if no_train:
        _run(context, ["import-weights", "--shipped", *where[:2], *where[4:]])
    else:
        own = (HIDE, *CHANGES) if recipe == RECIPE else (HIDE,)
        changes = [word for change in (*own, *overrides) for word in ("--set", change)]
        _run(context, ["train", *where, "--recipe", recipe, "--name", run, *changes, *computed])
    decides = no_train
    if train is not None:
        try:
            _run(context, ["calibrate", *where, "--run", run, "--aim", aim, *computed])
            decides = True
        except UserError as error:  # the training was long, and the lists do not need it
            log.warning(f"{error}; {'the decisions are those of the network that ships' if no_train else NO_DECISIONS}")
    _run(context, ["features", *where, "--run", run, "--output", str(output / "embeddings.npy"), *computed])
    answers = ["--output", str(output / "submission.csv"), "--page", str(output / "answer.html")]
    answers += ["--candidates", str(output / CANDIDATES)] if decides else []
    _run(context, ["rank", *where, "--run", run, "--top", str(top), *answers, *computed])
    if _can_be_scored(output / CROPS):
        open_set = ["--open-set"] if decides else []
        _run(context, ["evaluate", *where, "--run", run, "--cameras", *open_set, *computed])
        _run(context, ["report", *where, "--run", run, *computed[:2]])
    else:
        log.info(f"{query}: no vehicle that is known to be in {gallery}, so there are no scores")


def _can_be_scored(crops: Path) -> bool:
    """Return whether a query is known to have a match in the gallery."""
    from data_cache.datasets.catalogue import load_dataset
    from data_cache.datasets.problems import has_match

    dataset = load_dataset(str(crops / "images.csv"), crops)
    return has_match(dataset, dataset.default_split())


def _run(context: click.Context, words: list[str]) -> None:
    """Run a command of this program, after a line that names it."""
    root = context.find_root()
    log.info(command_line(words[0], {}, words[1:]))
    command = root.command.get_command(root, words[0])  # type: ignore[attr-defined]
    with command.make_context(words[0], words[1:], parent=root) as step:
        command.invoke(step)
