"""Commands of part caches: `cache verify`."""

from pathlib import Path

import click

from data_cache.options import FILE


@click.group("cache")
def cache() -> None:
    """Look after part caches."""


@cache.command("verify")
@click.argument("path", type=FILE)
def cache_verify(path: Path) -> None:
    """Read a part cache, checksums and ranges included, and count what it holds.

    \b
    Example:
      python cli.py cache verify runs/synthetic/parts.h5
    """
    from data_cache.parts import STATUS_EMPTY, STATUS_FAILED, read_parts

    parts = read_parts(path)
    empty, failed = ((parts.status == status).sum() for status in (STATUS_EMPTY, STATUS_FAILED))
    click.echo(
        f"{path}: sound; {len(parts.names)} images, {(parts.labels >= 0).sum()} parts, {empty} empty, {failed} failed"
    )
