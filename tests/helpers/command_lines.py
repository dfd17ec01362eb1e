"""Command lines that are parsed and not run."""

import click

from cli import main


def parsed(words: list[str]) -> click.Context:
    """Parse the words after the program's name, down to the last subcommand. Raises click.UsageError."""
    group, context = main, click.Context(main, info_name="cli")
    while isinstance(command := group.commands[words[0]], click.Group):
        group, context, words = command, click.Context(command, info_name=words[0], parent=context), words[1:]
    return command.make_context(words[0], words[1:], parent=context)
