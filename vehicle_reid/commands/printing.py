"""What the commands on galleries print: what a gallery is now, and what was found in it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import pandas as pd

    from vehicle_reid.gallery.gallery import Gallery


def tell(path: Path, found: "Gallery", as_json: bool, **more: float) -> None:
    """Print what a gallery is now."""
    if as_json:
        click.echo(json.dumps({"gallery": str(path), "images": len(found), "index": found.index, **more}))
        return
    recall = "".join(f", recall@10 {value:.3f} against exact search" for value in more.values())
    click.echo(f"{path}: {len(found):,} images, index {found.index}{recall}")


def _records(matches: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return matches as plain JSON values."""
    arrays = {name: [cell.tolist() for cell in matches[name]] for name in ("boxes", "attention")}
    return [{str(key): value for key, value in row.items()} for row in matches.assign(**arrays).to_dict("records")]


def show(matches: "pd.DataFrame", as_json: bool) -> None:
    """Print matches, as a table each with the part that weighs most."""
    if as_json:
        click.echo(json.dumps(_records(matches), indent=2))
        return
    from rich.markup import escape
    from rich.table import Table

    from data_cache.base.progress import print_tables

    table = Table()
    for heading in ("query", "rank", "image", "score", "camera", "weighs most"):
        table.add_column(heading, overflow="fold")  # a name that is cut short names nothing
    for found in matches.to_dict("records"):
        camera = "" if found["camera"] < 0 else str(found["camera"])
        table.add_row(
            escape(found["query"]),
            str(found["rank"]),
            escape(found["name"]),
            f"{found['score']:.3f}",
            camera,
            _part(found),
        )
    print_tables(table)


def _part(found: "Mapping[Hashable, Any]") -> str:
    """Return the part of a match that weighs most, with its weight; nothing where it has none."""
    weights = found["attention"]
    return f"{found['parts'][weights.argmax()]} {weights.max():.2f}" if found["parts"] else ""
