"""Commands, options, make targets and links in the README and the guides exist."""

import re
import shlex

import click
import pytest

from data_cache.base.remote import addresses
from data_cache.datasets.sizes import PAPER, RELEASED
from helpers.command_lines import parsed
from helpers.paths import ROOT

DATASETS = ("README", "veri", "vehicleid", "vric", "veriwild", "own-pictures", "frames", "roundabouthd", "carla")
PAGES = (
    "README.md",
    "docs/python-api.md",
    *(
        f"docs/{page}.md"
        for page in (
            "deploy",
            "install",
            "stage-one",
            "stage-two",
            "features",
            "export",
            "scale",
            "part-cache",
            "decisions",
            "results/job",
        )
    ),
    *(f"docs/datasets/{page}.md" for page in DATASETS),
)


def lines_of(page: str) -> list[str]:
    """Return the lines of the page's code blocks, without comments."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]


def commands_of(page: str) -> list[str]:
    """Return the command lines of `cli.py` on the page."""
    ours = (line for line in lines_of(page) if re.match(r"([A-Z_]+=\S+ )*(python|torchrun .*) ?cli\.py ", line))
    return [line.partition("cli.py ")[2] for line in ours]


TARGETS = [line.removeprefix("make ").split()[0] for line in lines_of("README.md") if line.startswith("make ")]


def test_readme_shows_the_main_commands() -> None:
    assert {line.split()[0] for line in commands_of("README.md")} >= {"synth", "check", "detect", "train", "evaluate"}
    assert {"demo", "test", "detect", "train"} <= set(TARGETS)


def test_guide_leads_from_annotations_to_a_verified_cache() -> None:
    steps = [" ".join(line.split()[:2]) for line in commands_of("docs/stage-one.md")]
    wanted = ["parts convert", "parts check", "parts train", "parts eval", "detect --images", "cache verify"]
    positions = [steps.index(step) for step in wanted]
    assert positions == sorted(positions)


@pytest.mark.parametrize("line", [line for page in PAGES for line in commands_of(page)])
def test_command_can_be_parsed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "file_system", lambda address: None)  # packages of stores are the user's choice
    assert parsed(shlex.split(line)).command is not None


@pytest.mark.parametrize("name", RELEASED)
def test_page_of_a_dataset_gives_the_sizes_that_check_expects(name: str) -> None:
    text = (ROOT / f"docs/datasets/{name}.md").read_text(encoding="utf-8")
    sizes = [*RELEASED[name].values(), *PAPER[name].values()]
    counts = {count for size in sizes for count in (size.images, size.vehicles, size.cameras) if count is not None}
    given = set(re.findall(r"[0-9]{1,3}(?:,[0-9]{3})*", text))
    assert {f"{count:,}" for count in counts} - given == set()


@pytest.mark.parametrize("name", RELEASED)
def test_page_of_a_dataset_can_be_tried_on_rendered_images(name: str) -> None:
    lines = [line for line in commands_of(f"docs/datasets/{name}.md") if "--data-root try" in line]
    steps = {line.split()[0] for line in lines if f"--dataset {name} " in line or f"--layout {name} " in line}
    assert steps >= {"synth", "check", "detect", "train", "evaluate"}


def test_wrong_option_would_be_found() -> None:
    with pytest.raises(click.UsageError, match="No such option"):
        parsed(["synth", "--picture"])


@pytest.mark.parametrize("target", TARGETS)
def test_make_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_linked_files_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) if not link.startswith("http")]
    assert links
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []
