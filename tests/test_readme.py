"""The commands of README and guide exist, with the options that they name; make targets and linked files are there."""

import re
import shlex
from pathlib import Path

import click
import pytest

from cli import main

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/stage-one.md", "docs/stage-two.md")


def lines_of(page: str) -> list[str]:
    """Return the lines of the page's code blocks, without comments."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]


def commands_of(page: str) -> list[str]:
    """Return the command lines of `cli.py` on the page."""
    ours = (line for line in lines_of(page) if re.match(r"(python|torchrun .*) ?cli\.py ", line))
    return [line.partition("cli.py ")[2] for line in ours]


TARGETS = [line.removeprefix("make ").split()[0] for line in lines_of("README.md") if line.startswith("make ")]


def parse(group: click.Group, words: list[str]) -> click.Context:
    """Parse a command line without running it, down to the last subcommand. Raises click.UsageError."""
    command = group.commands[words[0]]
    if isinstance(command, click.Group):
        return parse(command, words[1:])
    return command.make_context(words[0], words[1:])


def test_the_readme_has_commands() -> None:
    named = {line.split()[0] for line in commands_of("README.md")}
    assert named == {"synth", "parts", "detect", "cache", "train", "evaluate", "report"}
    assert {"demo", "test", "detect", "train"} == set(TARGETS)


def test_the_guide_goes_from_annotations_to_a_verified_cache() -> None:
    steps = [" ".join(line.split()[:2]) for line in commands_of("docs/stage-one.md")]
    wanted = ["parts convert", "parts check", "parts train", "parts eval", "detect --images", "cache verify"]
    places = [steps.index(step) for step in wanted]
    assert places == sorted(places)


@pytest.mark.parametrize("line", [line for page in PAGES for line in commands_of(page)])
def test_a_command_can_be_parsed(line: str) -> None:
    assert parse(main, shlex.split(line)).command is not None


def test_a_wrong_option_would_be_found() -> None:
    with pytest.raises(click.UsageError, match="No such option"):
        parse(main, ["synth", "--picture"])


@pytest.mark.parametrize("target", TARGETS)
def test_a_make_target_of_the_readme_is_in_the_makefile(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_a_page_links_to_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) if not link.startswith("http")]
    assert links
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
