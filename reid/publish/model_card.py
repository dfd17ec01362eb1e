"""A trained network to be passed on: its weights, its recipe as YAML, and a model card that tells what they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from data_cache.base.export import Exported
from data_cache.base.files import remove_strays, sha256_of_file, write_atomically
from data_cache.base.locks import run_lock
from data_cache.base.tensors import save_tensors
from reid.evaluation.metrics_file import METRICS, circumstances, read_metrics
from reid.evaluation.score_table import HEADINGS, counted, percent
from reid.model.checkpoint import PREFIX, Checkpoint
from reid.publish.program import FOLDER, NAME

TEMPLATE = Path(__file__).with_name("model-card.md.jinja")
WEIGHTS, RECIPE, CARD = f"{NAME}.safetensors", "recipe.yaml", "model-card.md"
NETWORKS = {
    "parts": "PGAN, the network",
    "equal": "PGAN without its attention (every part weighs the same)",
    "grid": "the grid attention",
    "none": "the baseline, without parts,",
}


def export_weights(checkpoint: Checkpoint) -> Exported:
    """Write weights, recipe and model card into the folder `export` beside a checkpoint, the card last.

    The weights are the checkpoint's content as it is, so that they can take the checkpoint's place in a run. Raises
    UserError where a file cannot be written, where another run writes there, and where scores beside the checkpoint are
    damaged.
    """
    folder = checkpoint.path.parent / FOLDER
    recipe = recipe_text(checkpoint)
    scores = scores_of_checkpoint(checkpoint)
    paths = tuple(folder / name for name in (WEIGHTS, RECIPE, CARD))
    with run_lock(folder):
        for path in paths:
            remove_strays(path)
        save_tensors(folder / WEIGHTS, checkpoint.tensors, checkpoint.metadata)
        write_atomically(folder / RECIPE, recipe.encode())
        files = {name: sha256_of_file(folder / name) for name in (WEIGHTS, RECIPE)}
        write_atomically(folder / CARD, model_card(checkpoint, scores, files).encode())
    return Exported(paths, checkpoint.sha256)


def recipe_text(checkpoint: Checkpoint) -> str:
    """Return the recipe as YAML, a line an option, which `train --recipe` reads."""
    return str(yaml.safe_dump(checkpoint.recipe.model_dump(mode="json"), sort_keys=False, default_flow_style=None))


def scores_of_checkpoint(checkpoint: Checkpoint) -> list[Mapping[str, Any]]:
    """Return the metrics.json of every test on which this very checkpoint was scored. Raises UserError for damage."""
    found = [read_metrics(path) for path in sorted(checkpoint.path.parent.glob(f"*/{METRICS}"))]
    return [metrics for metrics in found if metrics.get("checkpoint", {}).get("sha256") == checkpoint.sha256]


def model_card(checkpoint: Checkpoint, scores: list[Mapping[str, Any]], files: Mapping[str, str]) -> str:
    """Return the card in Markdown; `files` are those it goes with, and their SHA-256."""
    metadata, recipe = checkpoint.metadata, checkpoint.recipe
    return _render(
        name=checkpoint.path.parent.name,
        network=NETWORKS[recipe.attention],
        recipe=recipe,
        recipe_text=recipe_text(checkpoint),
        dataset=metadata["dataset"],
        rendered=metadata["dataset"] == "synthetic" or any(metrics.get("rendered") for metrics in scores),
        vehicles=metadata["vehicles"],
        numbers=sum(value.numel() for name, value in checkpoint.tensors.items() if name.startswith(PREFIX)),
        epoch=metadata["epoch"],
        source=metadata.get("source"),
        boxes_by=metadata.get("parts", {}).get("weights_sha256"),  # not known of imported weights or boxes
        tests=[_test(metrics) for metrics in scores],
        headings=list(HEADINGS.values()),
        files=files,
        weights=WEIGHTS,
        content=checkpoint.sha256,
        made_with=circumstances("cpu"),
    )


def _test(metrics: Mapping[str, Any]) -> dict[str, Any]:
    rows = metrics["scores"]
    return {
        "split": metrics["split"],
        "counted": list(dict.fromkeys(counted(scores) for scores in rows.values())),
        "rows": {name: [percent(scores, figure) for figure in HEADINGS] for name, scores in rows.items()},
    }


def _render(**content: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # Markdown, which is read as text too: nothing is escaped
        loader=FileSystemLoader(TEMPLATE.parent),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE.name).render(**content)
