"""The command line: every command parses options, calls one function and prints."""

import copy
import os
import sys
from typing import Any

import click

from data_cache.base.errors import (
    UserError,
    out_of_memory_as_user_error,
    printable,
    program_name,
    with_program_name,
)
from data_cache.base.progress import hide_library_warnings, is_first_rank, show_messages
from data_cache.base.signals import Terminated, sigterm_raises
from data_cache.commands.cache import cache
from data_cache.commands.check import check
from data_cache.commands.crop import crop
from data_cache.commands.synth import synth
from data_cache.commands.table import table
from detect.commands.detect import detect
from detect.commands.doctor import doctor
from detect.commands.parts import parts
from reid.commands.ablate import ablate_command
from reid.commands.calibrate import calibrate_command
from reid.commands.compare import compare_command
from reid.commands.evaluate import evaluate_command, features_command
from reid.commands.import_weights import import_weights
from reid.commands.pictures import heatmaps_command, rank_command
from reid.commands.report import report_command
from reid.commands.runs import clean_command, runs_command
from reid.commands.train import train_command
from vehicle_reid import __version__
from vehicle_reid.commands.export import export_command
from vehicle_reid.commands.gallery import gallery
from vehicle_reid.commands.serve import serve_command
from vehicle_reid.commands.solve import solve_command

# A new command goes to its stage, in the order in which users need them; `--help` shows them so.
STAGES: dict[str, tuple[click.Command, ...]] = {
    "Data": (synth, crop, table, check, cache),
    "Stage one, find the parts": (parts, detect),
    "Stage two, learn which parts matter": (
        train_command,
        evaluate_command,
        calibrate_command,
        features_command,
        compare_command,
        report_command,
        rank_command,
        heatmaps_command,
        ablate_command,
        import_weights,
    ),
    "Use": (solve_command, gallery, serve_command, export_command),
    "Maintenance": (runs_command, clean_command, doctor),
}


class Group(click.Group):
    """The program: help by stage, and one line on standard error and exit code 1 after a UserError or SIGTERM."""

    def main(self, *args: Any, **settings: Any) -> Any:
        """Run the program under the name by which the user started it, unless `prog_name` is given."""
        settings["prog_name"] = settings.get("prog_name") or program_name()
        return super().main(*args, **settings)

    def invoke(self, ctx: click.Context) -> object:
        """Run the chosen command."""
        show_messages()
        hide_library_warnings()
        try:
            with sigterm_raises(), out_of_memory_as_user_error():
                return super().invoke(ctx)
        except UserError as error:
            click.echo(f"Error: {printable(error)}", err=True)
            sys.exit(1)
        except Terminated:
            if is_first_rank():
                click.echo("Error: stopped by SIGTERM; finished work is kept, run it again to resume", err=True)
            raise

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; its help starts commands as the user started this one."""
        command = super().get_command(ctx, cmd_name)
        return None if command is None else as_started(command)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the description of the program."""
        click.Command.format_help_text(as_started(self), ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by stage, each with the first sentence of its help."""
        width = max(map(len, self.commands))
        for stage, commands in STAGES.items():
            with formatter.section(stage):
                formatter.write_dl([(f"{one.name:{width}}", str(as_started(one).short_help)) for one in commands])


def as_started(command: click.Command) -> click.Command:
    """Return a copy of a command whose help names the program as it was started; so do its subcommands."""
    shown = copy.copy(command)
    shown.help = with_program_name(command.help or "")
    shown.short_help = shown.get_short_help_str(limit=1000)  # a whole sentence, where click would cut it
    if isinstance(shown, click.Group):
        shown.commands = {name: as_started(one) for name, one in shown.commands.items()}
    return shown


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="PGAN vehicle re-identification")
def main() -> None:
    """Re-identify vehicles by their parts (PGAN): detect the parts once, then learn which of them matter.

    \b
    The whole job on rendered vehicles, in order:
      python cli.py synth                            render vehicles into data/synthetic
      python cli.py parts train --dataset synthetic  adapt the part detector that ships
      python cli.py detect --dataset synthetic       find the parts of every image, into runs/synthetic/parts.h5
      python cli.py train --dataset synthetic        train the network on these parts
      python cli.py evaluate --dataset synthetic     score it on vehicles that it has never seen
      python cli.py report --dataset synthetic       write the scores, curves and pictures as one page
      python cli.py serve --dataset synthetic        search in the browser

    `python cli.py COMMAND --help` shows the options of a command, with examples.
    """
    # torch reads this on import: waiting threads sleep, because loader workers need the cores. Spinning would take
    # 0.8 of the time on an idle machine, but many times as long on a busy one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


for stage_commands in STAGES.values():
    for stage_command in stage_commands:
        main.add_command(stage_command)

if __name__ == "__main__":
    main()
