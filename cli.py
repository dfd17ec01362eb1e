"""The command line: every command parses options, calls one function and prints."""

import os
import sys

import click

from data_cache.base.errors import UserError, out_of_memory_as_user_error, printable
from data_cache.base.progress import is_first_rank, show_messages
from data_cache.base.signals import Terminated, sigterm_raises
from data_cache.commands.cache import cache
from data_cache.commands.check import check
from data_cache.commands.synth import synth
from detect.commands.detect import detect
from detect.commands.doctor import doctor
from detect.commands.parts import parts
from reid.commands.ablate import ablate_command
from reid.commands.evaluate import evaluate_command, features_command
from reid.commands.import_weights import import_weights
from reid.commands.pictures import heatmaps_command, rank_command
from reid.commands.report import report_command
from reid.commands.train import train_command
from vehicle_reid.commands.export import export_command
from vehicle_reid.commands.gallery import gallery
from vehicle_reid.commands.serve import serve_command


class Group(click.Group):
    """A group whose commands end with one line on standard error and exit code 1 after a UserError or SIGTERM."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the chosen command."""
        show_messages()
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


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="pgan-vehicle-reid")
def main() -> None:
    """Vehicle re-identification by parts (PGAN): detect the parts once, then learn which of them matter.

    \b
    The whole job, in order:
      python cli.py synth                          render vehicles, or put a data set into data/
      python cli.py parts train --dataset synthetic
      python cli.py detect --dataset synthetic     part boxes of every image, into runs/synthetic/parts.h5
      python cli.py train --dataset synthetic
      python cli.py evaluate --dataset synthetic
      python cli.py report --dataset synthetic
      python cli.py serve --dataset synthetic      search in the browser
    """
    # torch reads this on import: waiting threads sleep, because loader workers need the cores. Spinning would take
    # 0.8 of the time on an idle machine, but many times as long on a busy one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


for command in (
    doctor,
    synth,
    check,
    cache,
    parts,
    detect,
    train_command,
    features_command,
    evaluate_command,
    rank_command,
    heatmaps_command,
    report_command,
    ablate_command,
    import_weights,
    gallery,
    export_command,
    serve_command,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
