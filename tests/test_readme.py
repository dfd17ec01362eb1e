"""The README's commands exist, with the options that it names, and its make targets are there."""

import re
import shlex
from pathlib import Path

import click
import pytest

from cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
LINES = [line.partition("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
COMMANDS = [line.removeprefix("python cli.py ") for line in LINES if line.startswith("python cli.py ")]
TARGETS = [line.removeprefix("make ").split()[0] for line in LINES if line.startswith("make ")]


def parse(group: click.Group, words: list[str]) -> click.Context:
    """Parse a command line without running it, down to the last subcommand. Raises click.UsageError."""
    command = group.commands[words[0]]
    if isinstance(command, click.Group):
        return parse(command, words[1:])
    return command.make_context(words[0], words[1:])


def test_the_readme_has_commands() -> None:
    assert {"synth", "parts", "detect", "train", "evaluate", "report"} == {line.split()[0] for line in COMMANDS}
    assert {"demo", "test", "detect", "train"} == set(TARGETS)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_readme_can_be_parsed(line: str) -> None:
    assert parse(main, shlex.split(line)).command is not None


def test_a_wrong_option_would_be_found() -> None:
    with pytest.raises(click.UsageError, match="No such option"):
        parse(main, ["synth", "--picture"])


@pytest.mark.parametrize("target", TARGETS)
def test_a_make_target_of_the_readme_is_in_the_makefile(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_the_files_that_the_readme_links_to_are_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith("http")]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
