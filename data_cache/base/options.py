"""Command-line options that several commands share, and the commands that messages name as remedies."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from data_cache.base.errors import UserError, program_name
from data_cache.base.files import path_exists, read_json
from data_cache.base.remote.addresses import SCHEME, Address, parse_location, require_uploads

Command = TypeVar("Command", bound=Callable[..., Any])
Options = Mapping[str, Any]  # by name, such as --top; True for a flag, a list for a repeated option
LOCATION = ("--dataset", "--data-root", "--runs")  # options of most commands: where data and results lie
OTHER_LOCATION: Mapping[str, tuple[str, ...]] = {
    "check": ("--dataset", "--data-root"),
    "detect": ("--dataset", "--data-root", "--images", "--runs"),
    "doctor": (),
    "runs": ("--runs",),
    "parts check": (),
    "parts preview": ("--dataset", "--data-root", "--images", "--runs"),
    "synth": ("--data-root",),
}

READ_ADDRESSES = ("detect", "features", "evaluate", "gallery build", "gallery add")  # commands

_elsewhere: ContextVar[Options | None] = ContextVar("options of the command that this process works for", default=None)


class LocalPath(click.Path):
    """A path on this machine; an address is refused, without showing it, because it may hold a password."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path. Raises BadParameter for an address."""
        if SCHEME in str(value):
            self.fail("an address is not read here: copy it to this machine and give the path", param, ctx)
        return super().convert(value, param, ctx)


FOLDER = LocalPath(path_type=Path, file_okay=False)
FILE = LocalPath(path_type=Path, dir_okay=False)


class LocationType(click.Path):
    """A path on this machine or an address, as `parse_location` reads them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a Path or an Address. Raises BadParameter for an address that cannot be used."""
        try:
            location = value if isinstance(value, Address) else parse_location(str(value))
            if isinstance(location, Address):
                self.require(location, ctx)
                return location
        except UserError as error:
            self.fail(str(error), param, ctx)
        return super().convert(location, param, ctx)

    def require(self, address: Address, ctx: click.Context | None) -> None:
        """Raise UserError if the address cannot be used for this option."""


class DataRoot(LocationType):
    """The folder of the data sets; in READ_ADDRESSES it may be an address."""

    def require(self, address: Address, ctx: click.Context | None) -> None:
        """Raise UserError in other commands."""
        if ctx is not None and _command_name(ctx) not in READ_ADDRESSES:
            commands = f"{', '.join(READ_ADDRESSES[:-1])} and {READ_ADDRESSES[-1]}"
            raise UserError(f"{address}: only {commands} read images at an address; copy them, and give their folder")


class OutputFile(LocationType):
    """A file to write, which may be at an address."""

    def require(self, address: Address, ctx: click.Context | None) -> None:
        """Raise UserError if nothing can be written there."""
        require_uploads(address)


OUTPUT_FILE = OutputFile(path_type=Path, dir_okay=False)

DEFAULT_DATASET = "vehicleid"
DATASETS = "veri, vehicleid, vric, veriwild, synthetic; your own images: folder (uses images.csv) or FILE.csv."

dataset_option = click.option(
    "--dataset", default=DEFAULT_DATASET, envvar="DATASET", show_default=True, show_envvar=True, help=DATASETS
)
data_root_option = click.option(
    "--data-root",
    type=DataRoot(path_type=Path, file_okay=False),
    default=Path("data"),
    envvar="VEHICLE_DATA",
    show_default=True,
    show_envvar=True,
    help="Folder of the data sets; for some commands, with FILE.csv, an address such as s3://BUCKET/FOLDER.",
)
runs_option = click.option(
    "--runs", type=FOLDER, default=Path("runs"), show_default=True, help="Folder for all output."
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one option of the recipe; repeatable."
)
show_recipe_option = click.option("--show-recipe", is_flag=True, help="Print the recipe as commented YAML and exit.")
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto uses a GPU if there is one.",
)
workers_option = click.option(
    "--workers", type=click.IntRange(0, 64), default=2, show_default=True, help="Processes that read images."
)
engine_option = click.option(
    "--engine",
    type=click.Choice(["process", "ray"]),
    default="process",
    show_default=True,
    help="ray: a queue for workers of Ray, on the cluster of RAY_ADDRESS or else --workers of them on this machine.",
)
seed_option = click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of all randomness."
)
recipe_seed_option = click.option(
    "--seed", type=click.IntRange(0), default=None, help="Seed of all randomness; default: the recipe's."
)
per_label_option = click.option(
    "--per-label",
    type=click.IntRange(1),
    default=None,
    help="At most so many boxes of a label, the best of each label first, as parts_per_label in stage two.",
)
first_option = click.option(
    "--first",
    type=click.Choice(["confident", "varying"]),
    default="confident",
    show_default=True,
    help="Boxes that go before others, as parts_first in stage two; varying: of parts that differ within a model.",
)
strict_option = click.option(
    "--strict",
    is_flag=True,
    help="Refuse boxes that leave their image, have no area or mark a crowd.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def recipe_option(default: str | None, help_text: str) -> Callable[[Command], Command]:
    """Return the option `--recipe`; with the default None the command chooses."""
    return click.option("--recipe", default=default, show_default=default is not None, help=help_text)


def add_options(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Return the decorator that adds these options to a command, in this order."""

    def decorated(command: Command) -> Command:
        return reduce(lambda inner, option: option(inner), reversed(options), command)

    return decorated


def remedy_command(command: str, options: Options | None = None) -> str:
    """Return a command with `options`, in backquotes, for a message: it works on the data of the running command.

    Data set, data root and runs folder are those that the user gave the running command, or that it wrote into the
    parameters of its click context; `options` go before them.
    """
    wanted = OTHER_LOCATION.get(command, LOCATION)
    given = {name: value for name, value in given_options().items() if name in wanted}
    return f"`{command_line(command, {**given, **(options or {})})}`"


def given_options() -> Options:
    """Return the options and arguments that the user gave the running command, by name."""
    context = click.get_current_context(silent=True)
    return (_elsewhere.get() or {}) if context is None else dict(_given(context))


@contextmanager
def remedies_with(given: Options) -> Iterator[None]:
    """Write remedies as in a command with these options, in a process that works for it and has no click context."""
    before = _elsewhere.set(given)
    try:
        yield
    finally:
        _elsewhere.reset(before)


def running_command(resolved: Options | None = None) -> dict[str, Any]:
    """Return the running command as plain JSON values, complete: {"command": "parts train", "options": {...}}.

    The options are where data and results lie, those that the user gave, and `resolved`: what the command chose itself.
    `command_line` makes a line of them.
    """
    context = click.get_current_context()
    known = {str(option.opts[0]): option for option in context.command.params if isinstance(option, click.Option)}
    location = {name: context.params.get(str(known[name].name)) for name in LOCATION if name in known}
    given = {name: value for name, value in _given(context) if name in known and name != "--json"}
    options = {**location, **given, **(resolved or {})}
    return {
        "command": _command_name(context),
        "options": {name: _plain(value) for name, value in options.items() if value is not None},
    }


def _command_name(context: click.Context) -> str:
    program = context.find_root().command_path  # `python cli.py` or `pgan`
    return context.command_path.removeprefix(program).strip() or program


def command_file(made: Path) -> Path:
    """Return the path of the JSON with the command (see `running_command`) that made a file, or a run's folder."""
    is_file = made.suffix and not made.is_dir()  # a run may be named wide.v2
    return made.with_name(f"{made.stem}-command.json") if is_file else made / "command.json"


def read_command(path: Path) -> dict[str, Any]:
    """Return a command as `running_command` does; empty if there is none: an earlier version or `ablate` made it.

    Raises UserError if the file is damaged.
    """
    if not path_exists(path):
        return {}
    command = read_json(path)
    if not isinstance(command, dict) or not isinstance(command.get("options"), dict):
        raise UserError(f"{path}: damaged, not a command and its options; delete it")
    return {"command": str(command.get("command")), **command}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [str(one) for one in value]
    return str(value) if isinstance(value, Path | Address) else value


def is_given(path: Path) -> bool:
    """Return whether an option or argument of the running command names this file."""
    context = click.get_current_context(silent=True)
    values = [] if context is None else [value for _, value in _given(context)]
    words = [str(one) for value in values for one in (value if isinstance(value, tuple) else [value])]
    return str(path) in words


def _given(context: click.Context) -> Iterator[tuple[str, Any]]:
    """Yield name and value of the options and arguments that the user gave, or that are not the defaults."""
    for option in context.command.params:
        value = context.params.get(str(option.name))
        by_default = context.get_parameter_source(str(option.name)) is ParameterSource.DEFAULT
        if value is not None and not (by_default and value == option.get_default(context)):
            yield option.opts[0], value


def command_line(command: str, options: Options, arguments: Sequence[object] = ()) -> str:
    """Return a command with its options and arguments, quoted for a shell.

    >>> command_line("rank", {"--query": ["a b.jpg", "c.jpg"], "--heatmaps": True, "--top": 5})
    "python cli.py rank --query 'a b.jpg' --query c.jpg --heatmaps --top 5"
    """
    return f"{program_name()} {shlex.join([*command.split(), *_words(options), *map(str, arguments)])}"


def _words(options: Options) -> Iterator[str]:
    for name, value in options.items():
        if value is True:
            yield name
            continue
        for one in value if isinstance(value, list | tuple) else [value]:
            yield from (name, str(one))
