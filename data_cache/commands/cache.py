"""The commands `cache verify | stats | merge`; `cache export | import` are in `cache_exchange`."""

import json
from pathlib import Path

import click

from data_cache.base.options import FILE, FOLDER, data_root_option, json_option
from data_cache.commands.cache_exchange import cache_export, cache_import


@click.group("cache")
def cache() -> None:
    """Inspect, merge and convert part caches."""


cache.add_command(cache_export)
cache.add_command(cache_import)


@cache.command("verify")
@click.argument("paths", type=FILE, nargs=-1, required=True, metavar="FILE [FILE ...]")
@click.option("--dataset", default=None, help="Also compare names and image sizes with this data set.")
@data_root_option
@json_option
def cache_verify(paths: tuple[Path, ...], dataset: str | None, data_root: Path, as_json: bool) -> None:
    """Verify the hash, arrays and fingerprint of part caches, and count their images and parts.

    With --dataset, an image that is missing in the cache or now has another size is an error; images that only the
    cache has are noted.

    \b
    Examples:
      python cli.py cache verify runs/synthetic/parts.h5 --dataset synthetic
      python cli.py cache verify runs/*/parts.h5 --json
    """
    from data_cache.base.errors import UserError
    from data_cache.datasets.catalogue import load_dataset
    from data_cache.parts.verification import verify_cache

    loaded = None if dataset is None else load_dataset(dataset, data_root)
    results = [verify_cache(path, loaded) for path in paths]
    invalid = [result for result in results if not result.valid]
    if as_json:
        click.echo(json.dumps([result.to_dict() for result in results]))
    elif len(results) > 1 or not invalid:
        click.echo("\n".join(result.line() for result in results))
    if invalid:
        many = f"{len(invalid)} of {len(results)} part caches are invalid"
        raise UserError(invalid[0].line() if len(results) == 1 else many)


@cache.command("stats")
@click.argument("path", type=FILE, metavar="FILE")
@click.option("--output", type=FOLDER, default=None, help="Folder for stats.json and stats.png.")
@json_option
def cache_stats(path: Path, output: Path | None, as_json: bool) -> None:
    """Show statistics of a part cache: images, parts, scores and sizes.

    \b
    Examples:
      python cli.py cache stats runs/veri/parts.h5
      python cli.py cache stats runs/veri/parts.h5 --output runs/veri/parts
    """
    from data_cache.base.progress import print_tables
    from data_cache.parts.cache import read_parts
    from data_cache.parts.statistics import cache_statistics, statistics_table, write_statistics

    statistics = cache_statistics(read_parts(path))
    if as_json:
        click.echo(json.dumps(statistics.to_dict()))
    else:
        print_tables(statistics_table(statistics, str(path)))
    if output is not None:
        for written in write_statistics(statistics, output):
            click.echo(written, err=as_json)


@cache.command("merge")
@click.argument("output", type=FILE, metavar="OUT")
@click.argument("inputs", nargs=-1, required=True, metavar="[PREFIX=]IN ...")
@click.option("--dataset", default=None, help="Data set of the result; default: the one that all inputs share.")
@json_option
def cache_merge(output: Path, inputs: tuple[str, ...], dataset: str | None, as_json: bool) -> None:
    """Merge part caches of the same detector, from several folders or machines, into the cache OUT.

    The fingerprints of the inputs may differ only in their images. If two of them have the same image, its boxes must
    be equal. PREFIX=IN adds PREFIX/ to the names of IN, for folders with equal file names.

    \b
    Examples:
      python cli.py cache merge runs/veri/parts.h5 first/parts.h5 second/parts.h5
      python cli.py cache merge all/parts.h5 east=east/parts.h5 west=west/parts.h5 --dataset both.csv
    """
    from data_cache.datasets.catalogue import dataset_label
    from data_cache.parts.merging import merge_caches, parse_source
    from data_cache.parts.packing import write_cache

    merged = merge_caches([parse_source(text) for text in inputs], None if dataset is None else dataset_label(dataset))
    write_cache(output, merged, "delete it, or choose another OUT")
    counts = {"images": len(merged.names), "parts": int((merged.labels >= 0).sum())}
    if as_json:
        click.echo(json.dumps({"output": str(output), "inputs": len(inputs), **counts}))
    else:
        click.echo(f"{output}: {counts['images']} images, {counts['parts']} parts from {len(inputs)} caches")
