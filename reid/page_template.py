"""Filling the templates of HTML pages, whose texts come from data sets and are never trusted."""

from pathlib import Path
from typing import Any

from data_cache.lettering import visible


def render_page(template: Path, **content: Any) -> str:
    """Return the page of a template, which may include others of its folder.

    File names and ids come from data sets: everything is escaped unless it is marked safe in the template.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_readable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(**content)


def _readable(value: Any) -> Any:
    """Return a text without characters that a reader cannot see; what is marked safe is ours, and stays."""
    return visible(value) if type(value) is str else value
