"""The command `solve`: from frames and tables of boxes to files and pages, by a trained network or the shipped one."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cli import main
from data_cache.base.files import read_json
from helpers.browser.html_page import Page
from helpers.places.api import ToyRun, shipping_network, small_networks
from helpers.places.detect import shipping
from helpers.places.reid import assert_error
from helpers.toy.vehicles import HEIGHT, TINY_OPTIONS, WIDTH, draw
from reid.evaluation.calibration import FILE, CalibratedRun
from reid.model.checkpoint import read_checkpoint
from reid.retrieval.open_set import Calibration
from reid.runs import BEST

Run = Callable[..., Result]
MODEL = Calibration(
    (0.5, 0.1, 0.1, -1.0, 3.0), (0.2,) * 5, (-9.0,) * 5, (9.0,) * 5, (1.0, 0.5, -0.2, 0.3, 0.1), 0.2, 0.6
)
CHANGES = [*TINY_OPTIONS, "--set", "trunk=resnet18", "--set", "hide=[]", "--set", "holdout=0.4", "--set", "epochs=1"]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """Frames with two vehicles each, and tables of 24 vehicles to learn from, and of eight others without ids."""
    random, tables = np.random.default_rng(0), {"train": [], "query": [], "gallery": []}
    (tmp_path / "frames").mkdir()
    for vehicle in range(0, 32, 2):
        for shot in range(4):
            canvas, name = Image.new("RGB", (2 * WIDTH + 30, HEIGHT + 20)), f"{vehicle:02d}_{shot}"
            for side in range(2):
                pixels, _ = draw(vehicle + side, shot % 2, random)
                x = 10 + side * (WIDTH + 10)
                canvas.paste(Image.fromarray(pixels), (x, 10))
                table = "train" if vehicle < 24 else "query" if shot == 0 else "gallery"
                row = [name, x, 10, WIDTH, HEIGHT, f"north {shot % 2}"]
                tables[table].append([*row, vehicle + side] if table == "train" else row)
            canvas.save(tmp_path / "frames" / f"{name}.png")
    for table, rows in tables.items():
        header = ["image_id", "x", "y", "w", "h", "camera_id", *(["vehicle_id"] if table == "train" else [])]
        pd.DataFrame(rows, columns=header).to_csv(tmp_path / f"{table}.csv", index=False)
    return tmp_path


def tell_vehicles(task: Path) -> None:
    """Add the vehicles of queries and gallery to their tables."""
    for path in (task / "query.csv", task / "gallery.csv"):
        table = pd.read_csv(path, dtype={"image_id": str})
        vehicles = table["image_id"].str[:2].astype(int) + (table["x"] > 10)
        table.assign(vehicle_id=vehicles).to_csv(path, index=False)


@pytest.fixture
def run(toy_run: ToyRun, task: Path) -> Iterator[Run]:
    def invoke(*words: str) -> Result:
        tables = ["--query", str(task / "query.csv"), "--gallery", str(task / "gallery.csv")]
        shared = ["--images", str(task / "frames"), *tables, "--output", str(task / "answer"), "--device", "cpu"]
        result = CliRunner().invoke(main, ["solve", *shared, "--workers", "0", *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    package = task / "package/network.safetensors"
    package.parent.mkdir()
    package.write_bytes((toy_run.folder / BEST).read_bytes())
    CalibratedRun(MODEL, read_checkpoint(package).sha256, "f1", 9, {}).write(package.parent)
    assert (package.parent / FILE).exists()
    with small_networks(), shipping_network(package), shipping(toy_run.model().weights()):
        yield invoke


def assert_answered(task: Path, top: int = 10) -> None:
    submission = pd.read_csv(task / "answer/submission.csv")
    candidates = pd.read_csv(task / "answer/candidates.csv")
    query, gallery = (pd.read_csv(task / f"{name}.csv") for name in ("query", "gallery"))
    assert submission.groupby("query").size().tolist() == [top] * len(query)
    assert submission["candidate"].between(0, len(gallery) - 1).all()
    assert candidates["query"].tolist() == list(range(len(query)))
    for table, name in ((query, "query"), (gallery, "candidate")):
        wanted = table["image_id"].iloc[submission[name]].tolist()
        assert [Path(image).stem for image in submission[f"{name}_image"]] == wanted
    embeddings = np.load(task / "answer/embeddings.npy", allow_pickle=False)
    assert len(embeddings) == len(query) + len(gallery)
    scores = embeddings[submission["query"]] * embeddings[len(query) + submission["candidate"]]
    np.testing.assert_allclose(scores.sum(axis=1), submission["score"], atol=1e-4)
    page = Page((task / "answer/answer.html").read_text(encoding="utf-8"))
    refused = int(candidates["candidate"].isna().sum())
    assert f"{len(query) - refused} accepted, {refused} not in the gallery" in page.text
    titles = [image["title"] for image in page.attributes("img")]
    shown = candidates.sort_values("confidence", ascending=False)["query_image"].tolist()
    assert titles[:: top + 1] == shown and "camera north 0" in page.text


def test_a_task_is_solved_without_training_and_again_at_once(task: Path, run: Run) -> None:
    result = run("--no-train")
    assert result.exit_code == 0, result.output
    steps = [line.split()[2] for line in result.stderr.splitlines() if line.startswith("python cli.py ")]
    assert steps == ["crop", "detect", "import-weights", "features", "rank"]
    assert_answered(task)
    assert "so there are no scores" in result.stderr and not list(task.glob("answer/**/metrics.json"))
    before = {path: path.stat().st_mtime_ns for path in (task / "answer/crops/crops").rglob("*.jpg")}
    again = run("--no-train", "--top", "3")
    assert again.exit_code == 0 and "features are up to date" in again.stderr
    assert before == {path: path.stat().st_mtime_ns for path in (task / "answer/crops/crops").rglob("*.jpg")}
    assert_answered(task, top=3)


def test_where_vehicles_are_known_it_is_scored_too(task: Path, run: Run) -> None:
    tell_vehicles(task)
    result = run("--no-train")
    assert result.exit_code == 0, result.output
    steps = [line.split()[2] for line in result.stderr.splitlines() if line.startswith("python cli.py ")]
    assert steps == ["crop", "detect", "import-weights", "features", "rank", "evaluate", "report"]
    assert_answered(task)
    folder = task / "answer/runs/images/shipped/test"
    assert result.stdout.splitlines()[-1] == str(folder / "report.html") and (folder / "report.html").exists()
    metrics = read_json(folder / "metrics.json")
    assert metrics["open_set"]["queries"] == 8 and "trained, across cameras" in metrics["scores"]
    assert "no scores" not in result.stderr
    again = run("--no-train")
    assert again.exit_code == 0 and "features are up to date" in again.stderr


def test_a_task_is_solved_by_a_network_trained_on_it(task: Path, run: Run) -> None:
    result = run("--train", str(task / "train.csv"), "--recipe", "baseline_small", *CHANGES)
    assert result.exit_code == 0, result.output
    steps = [line.split()[2] for line in result.stderr.splitlines() if line.startswith("python cli.py ")]
    assert steps == ["crop", "detect", "train", "calibrate", "features", "rank"]
    (trained,) = (line for line in result.stderr.splitlines() if line.startswith("python cli.py train "))
    assert "hide=[plate]" in trained and "start=shipped" not in trained  # another recipe keeps its own values
    assert_answered(task)
    assert (task / "answer/runs/images/answer/calibration.json").exists()


def test_where_there_is_too_little_to_calibrate_with_the_lists_are_written_all_the_same(task: Path, run: Run) -> None:
    tell_vehicles(task)
    few = [*CHANGES, "--set", "holdout=0.2"]
    result = run("--train", str(task / "train.csv"), "--recipe", "baseline_small", *few)
    assert result.exit_code == 0, result.output
    assert "8 are needed" in result.stderr and "so there are no decisions and no candidates.csv" in result.stderr
    assert (task / "answer/submission.csv").exists() and not (task / "answer/candidates.csv").exists()
    assert "open_set" not in read_json(task / "answer/runs/images/answer/test/metrics.json")


def test_an_aim_that_is_none_is_refused_before_the_work(task: Path, run: Run) -> None:
    assert_error(run("--no-train", "--aim", "fpir=5"), 1, "--aim fpir=5: not f1")
    assert not (task / "answer").exists()


def test_without_anything_to_learn_from_it_says_so(run: Run) -> None:
    assert_error(run(), 2, "give --train, or use the network that ships with --no-train")
