"""The command line of the whole system: every command parses, calls one function, and prints."""

import sys

import click

from data_cache.errors import UserError


class Group(click.Group):
    """A click group in which a user's mistake is one line on standard error and exit code 1, never a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(1)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="pgan-vehicle-reid")
def main() -> None:
    """Vehicle re-identification by parts: detect them once, then learn which of them matter (PGAN)."""


if __name__ == "__main__":
    main()
