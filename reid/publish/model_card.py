"""A trained network for publication: its weights, its recipe as YAML, and a model card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from data_cache.base.export import FOLDER, Exported
from data_cache.base.files import remove_temporary_files, sha256_of_file, write_atomically
from data_cache.base.locks import run_lock
from data_cache.base.options import command_file, read_command
from data_cache.base.tensors import save_tensors
from data_cache.datasets.catalogue import KNOWN
from reid.evaluation.metrics_file import environment, read_metrics
from reid.evaluation.score_table import HEADINGS, describe_counts, percent
from reid.model.checkpoint import PREFIX, Checkpoint
from reid.publish.program import NAME
from reid.runs import METRICS, commands_for_parts, commands_for_training, dataset_folder

TEMPLATE = Path(__file__).with_name("model-card.md.jinja")
WEIGHTS, RECIPE, CARD = f"{NAME}.safetensors", "recipe.yaml", "model-card.md"
NETWORKS = {
    "parts": "PGAN, the network",
    "equal": "PGAN without its attention (all parts weigh the same)",
    "grid": "the grid attention",
    "none": "the baseline, without parts,",
    "slots": "PGAN+ (with crops of the parts, which is not in the paper) on the baseline",
}


def export_weights(checkpoint: Checkpoint) -> Exported:
    """Write weights, recipe and model card into the folder `export` beside a checkpoint, the card last.

    The weights file has the checkpoint's content, so it can replace the checkpoint in a run. Raises UserError if a file
    cannot be written, if another run is writing there, or if scores beside the checkpoint are damaged.
    """
    folder = checkpoint.path.parent / FOLDER
    recipe = recipe_yaml(checkpoint)
    tests = metrics_of_checkpoint(checkpoint)
    paths = tuple(folder / name for name in (WEIGHTS, RECIPE, CARD))
    with run_lock(folder):
        remove_temporary_files(*paths)
        save_tensors(folder / WEIGHTS, checkpoint.tensors, checkpoint.metadata)
        write_atomically(folder / RECIPE, recipe.encode())
        files = {name: sha256_of_file(folder / name) for name in (WEIGHTS, RECIPE)}
        write_atomically(folder / CARD, model_card(checkpoint, tests, files).encode())
    return Exported(paths, checkpoint.sha256)


def recipe_yaml(checkpoint: Checkpoint) -> str:
    """Return the recipe as YAML for `train --recipe`."""
    return str(yaml.safe_dump(checkpoint.recipe.model_dump(mode="json"), sort_keys=False, default_flow_style=None))


def metrics_of_checkpoint(checkpoint: Checkpoint) -> list[Mapping[str, Any]]:
    """Return the metrics.json of every test on which this checkpoint was scored. Raises UserError if one is damaged."""
    found = [read_metrics(path) for path in sorted(checkpoint.path.parent.glob(f"*/{METRICS}"))]
    return [metrics for metrics in found if metrics.get("checkpoint", {}).get("sha256") == checkpoint.sha256]


def model_card(checkpoint: Checkpoint, tests: list[Mapping[str, Any]], files: Mapping[str, str]) -> str:
    """Return the model card as Markdown; `tests` are its metrics.json, `files` maps published files to SHA-256."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    metadata, recipe = checkpoint.metadata, checkpoint.recipe
    templates = Environment(
        loader=FileSystemLoader(TEMPLATE.parent),
        undefined=StrictUndefined,
        autoescape=False,  # Markdown, also read as plain text
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template(TEMPLATE.name).render(
        name=checkpoint.path.parent.name,
        commands=_commands(checkpoint),
        network=NETWORKS[recipe.weighing],
        recipe=recipe,
        recipe_text=recipe_yaml(checkpoint),
        dataset=metadata["dataset"],
        given_as=metadata["dataset"] if metadata["dataset"] in KNOWN else f"{metadata['dataset']}.csv",
        rendered=metadata["dataset"] == "synthetic" or any(metrics.get("rendered") for metrics in tests),
        vehicles=metadata["vehicles"],
        numbers=sum(value.numel() for name, value in checkpoint.tensors.items() if name.startswith(PREFIX)),
        epoch=metadata["epoch"],
        source=metadata.get("source"),
        boxes_by=metadata.get("parts", {}).get("weights_sha256"),  # unknown for imported weights or boxes
        tests=[_test_section(metrics) for metrics in tests],
        headings=list(HEADINGS.values()),
        files=files,
        weights=WEIGHTS,
        content=checkpoint.sha256,
        made_with=environment("cpu"),
    )


def _commands(checkpoint: Checkpoint) -> list[str]:
    """Return the commands that made the network, from the detector on, as far as they were stored."""
    folder = checkpoint.path.parent
    parts = read_command(command_file(folder)).get("options", {}).get("--parts")
    boxes_by = checkpoint.metadata.get("parts", {}).get("weights_sha256")
    boxes = commands_for_parts(boxes_by, dataset_folder(folder), parts) if checkpoint.recipe.reads_boxes else []
    return [*boxes, *commands_for_training(folder)]


def _test_section(metrics: Mapping[str, Any]) -> dict[str, Any]:
    rows = metrics["scores"]
    return {
        "split": metrics["split"],
        "counted": list(dict.fromkeys(describe_counts(scores) for scores in rows.values())),
        "rows": {name: [percent(scores, metric) for metric in HEADINGS] for name, scores in rows.items()},
    }
