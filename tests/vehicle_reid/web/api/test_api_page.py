"""The page on the HTTP API: its examples run with curl as printed, and its tables are those of the code."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from helpers.browser.window import query_photo
from helpers.paths import ROOT
from helpers.places.api import ToyRun
from helpers.places.serve import served
from helpers.places.service import ServicePlace
from vehicle_reid import Gallery
from vehicle_reid.web.api.access import LEAST_CHARACTERS, Tokens
from vehicle_reid.web.api.answers import LISTED_BY, SEARCHED_BY, Match, SearchAnswer
from vehicle_reid.web.api.endpoints import MAX_PAGE, PROBLEMS
from vehicle_reid.web.api.model_queue import BATCH
from vehicle_reid.web.app import MAX_MATCHES
from vehicle_reid.web.bodies import GRACE_SECONDS, LEAST_RATE, MOST_BODIES
from vehicle_reid.web.connection import HEADER_SECONDS
from vehicle_reid.web.page import MEGABYTE, PageInfo
from vehicle_reid.web.server import MAX_REQUESTS, SHUTDOWN_SECONDS
from vehicle_reid.web.site import Settings

TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
WALK, REFERENCE = TEXT.split("## The addresses")
COMMANDS = re.findall("^curl .*", REFERENCE, re.MULTILINE)
TOKEN = "gate-0123456789abcdef"
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def first_cells(heading: str) -> list[str]:
    """Return the first column of the table with that heading."""
    lines = iter(TEXT.splitlines())
    next(line for line in lines if line.startswith(f"| {heading} |"))
    next(lines)
    cells = []
    for line in lines:
        if not line.startswith("|"):
            return cells
        cells.append(line.split("|")[1].strip())
    raise AssertionError(heading)


@needs_curl
def test_the_walk_from_nothing_finds_what_was_enrolled_also_after_a_restart(toy_run: ToyRun, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for photo in toy_run.photos()[:4]:
        shutil.copy(photo, photos)
    wanted = sorted(photo.name for photo in photos.iterdir())
    shutil.copy(photos / wanted[2], tmp_path / "car.jpg")
    first, second = re.findall("^```bash\n(.*?)^```", WALK, re.DOTALL | re.MULTILINE)
    place = ServicePlace(tmp_path, toy_run)
    assert (
        shlex.split(first.replace("cars", str(place.gallery)))
        == [
            *("python", "cli.py", "serve", "--run", "shipped"),  # here it is the toy run that serves
            *place.words()[1:4],
        ]
    )
    found = []
    for commands in (second, second.splitlines()[-1]):
        with place.serving() as server:
            here = commands.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
            done = subprocess.run(["bash", "-ec", here], cwd=tmp_path, capture_output=True, timeout=120, text=True)
            assert done.returncode == 0, done.stderr
            *enrolled, answer = json_documents(done.stdout)
            found.append(answer["matches"])
            if commands == second:
                assert [one["name"] for part in enrolled for one in part["vehicles"]] == wanted
            ended = server.stop()
            assert ended.code == 0 and "Error" not in ended.output and "are not in" not in ended.output, ended.output
    assert found[0] == found[1] and len(found[0]) == 3
    assert found[0][0]["name"] == wanted[2] and found[0][0]["score"] == pytest.approx(1, abs=1e-4)


def json_documents(text: str) -> list[Any]:
    """Return the JSON documents that follow each other in a text."""
    decoder, found = json.JSONDecoder(), []
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


@needs_curl
def test_the_examples_answer_as_the_page_says(toy_run: ToyRun, stored: Gallery, tmp_path: Path) -> None:
    Image.open(query_photo(toy_run)).save(tmp_path / "car.jpg", quality=95)
    shutil.copy(toy_run.photos()[0], tmp_path / "other.jpg")
    wanted = stored.search(tmp_path / "car.jpg", k=5, without_cameras=[1])
    (tmp_path / "tokens.txt").write_text(f"gate {TOKEN}\n", encoding="utf-8")
    answers, before = [], len(stored)
    with served(stored, toy_run.root, Settings(tokens=Tokens.read(tmp_path / "tokens.txt"))) as page:
        for command in COMMANDS:
            words = shlex.split(command.replace("127.0.0.1:8000", f"127.0.0.1:{page.port}").replace("$TOKEN", TOKEN))
            assert words[0] == "curl"
            output = subprocess.run([*words, "--fail-with-body"], cwd=tmp_path, capture_output=True, timeout=60)
            assert output.returncode == 0, (command, output.stdout)
            answers.append(output.stdout)
    metrics = answers.pop(-2).decode()
    search, cropped, by_name, one, two, listed, removed, compared, same, health, described = (
        json.loads(answer) if answer else None for answer in answers
    )
    assert [match["name"] for match in search["matches"]] == list(wanted["name"])
    assert set(search) == set(SearchAnswer.model_fields) == {cell.strip("`") for cell in first_cells("field")}
    assert f"`{'`, `'.join(search['matches'][0])}`" in TEXT and set(search["matches"][0]) == set(Match.model_fields)
    assert len(cropped["matches"]) == 10
    assert len(by_name["matches"]) == 3 and "images/09-3.jpg" not in [match["name"] for match in by_name["matches"]]
    assert same["score"] == pytest.approx(1, abs=1e-6) and same["first"] == same["second"]
    (vehicle,) = one["vehicles"]
    assert (vehicle["name"], vehicle["details"]) == ("gate/17.jpg", {"lane": "left"})
    assert [vehicle["name"] for vehicle in two["vehicles"]] == ["car.jpg", "other.jpg"]
    assert listed == {"total": 1, "vehicles": [vehicle]} and removed is None
    assert set(compared) == {"score", "first", "second"} and health == {"status": "ok"}
    assert len(Gallery.load(stored.store.address, toy_run.model())) == before + 2
    for metric in first_cells("metric"):
        assert f"# HELP {metric.strip('`')} " in metrics
    requests = {tuple(cell.strip("`").split()) for cell in first_cells("request")} - {("GET", "/openapi.json")}
    operations = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert {(method, path.replace("{name}", "NAME")) for method, path in operations} == requests


def test_its_numbers_are_those_of_the_code() -> None:
    settings = Settings()
    for phrase in (
        f"number of matches, at most {MAX_MATCHES};",
        f"`count` (at most {MAX_PAGE})",
        f"`--max-upload` ({PageInfo.upload_limit // MEGABYTE} MB)",
        f"(`--queue`, {settings.queue})",
        f"more than {MAX_REQUESTS} connections",
        f"take longer than {HEADER_SECONDS} seconds",
        f"At most {MOST_BODIES} bodies",
        f"less than {LEAST_RATE // 1000} kB a second, after the first {GRACE_SECONDS} seconds",
        f"together, at most {BATCH}.",
        f"for at most {SHUTDOWN_SECONDS} seconds",
        f"at least {LEAST_CHARACTERS} characters",
    ):
        assert phrase in " ".join(TEXT.split()), phrase


def test_its_parameters_and_statuses_are_those_of_the_code() -> None:
    parameters = {name for cell in first_cells("parameter") for name in re.findall("`(.+?)`", cell)}
    assert parameters == set(SEARCHED_BY)
    assert all(f"`{name}`" in TEXT for name in LISTED_BY)
    assert set(PROBLEMS) < {int(status) for status in first_cells("status")}
