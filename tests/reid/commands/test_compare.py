"""`compare`, and `evaluate --features` with what follows it: rank, report, --compare."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from cli import main
from data_cache.base.files import read_json, sha256_of_file, write_json
from data_cache.base.options import command_file
from data_cache.base.tensors import load_tensors, save_tensors
from helpers.browser.html_page import Page
from helpers.places.reid import Place, assert_error
from helpers.toy.vehicles import Toy, tiny_scale
from reid.evaluation.metrics_file import QUERIES
from reid.features.file import read_features
from reid.runs import BEST, METRICS

RECIPES = ("pgan_small", "grid_small")


@pytest.fixture(scope="module")
def place(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Two evaluated runs of one epoch, and the features of a third system, given as a file that is gone later."""
    with tiny_scale():
        place = Place(toy, tmp_path_factory.mktemp("runs"))
        for recipe in RECIPES:
            place.train("--recipe", recipe)
            assert place("evaluate", "--run", recipe).exit_code == 0
        names = sorted(toy.dataset.table["name"])
        matrix = np.random.default_rng(0).standard_normal((len(names), 7))
        theirs = place.runs.parent / "osnet_x1.0.npz"
        np.savez(theirs, names=np.array(names), features=matrix)
        for name in (), ("--name", "theirs"):
            result = place("evaluate", "--features", str(theirs), *name)
            assert result.exit_code == 0, result.output
        theirs.unlink()
        yield place


def folder_of(place: Place, name: str) -> Path:
    return place.runs / "folder" / name


def compare(place: Place, *words: str) -> Result:
    result = CliRunner().invoke(main, ["compare", "--runs", str(place.runs), *words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def picture(place: Place, command: str, *options: str) -> Result:
    words = [command, "--data-root", str(place.toy.dataset.root), "--runs", str(place.runs), "--device", "cpu"]
    result = CliRunner().invoke(main, [*words, *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_differences_are_those_of_the_scores_and_queries(place: Place) -> None:
    result = compare(place, *RECIPES, "--resamples", "200", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    scores = [read_json(folder_of(place, name) / "test" / METRICS)["scores"]["trained"] for name in RECIPES]
    for metric, one in found["metrics"].items():
        assert [one["first"], one["second"]] == pytest.approx([score[metric] for score in scores])
        assert one["difference"] == pytest.approx(one["second"] - one["first"], abs=1e-12)
        assert one["interval"][0] <= one["difference"] <= one["interval"][1]
        assert one["won"] + one["lost"] + one["equal"] == found["queries"] == 4
    assert (found["first"], found["second"], found["split"]) == (*RECIPES, "test")
    assert (found["resamples"], found["seed"], found["resampled"], found["level"]) == (200, 0, "query", 0.95)


def test_the_seed_decides_and_the_table_shows_the_same_numbers(place: Place) -> None:
    words = [*RECIPES, "--dataset", "folder", "--resamples", "200"]
    one, same, other = (compare(place, *words, "--json", "--seed", seed).stdout for seed in ("1", "1", "2"))
    assert one == same != other
    table = compare(place, *words, "--seed", "1").stdout
    found = json.loads(one)["metrics"]["mAP"]
    assert f"{100 * found['difference']:+.1f}" in table and f"{100 * found['interval'][1]:+.1f}" in table
    assert "first: pgan_small; second: grid_small" in table and "200 resamples of the queries, seed 1" in table


def test_vehicles_can_be_resampled_and_runs_given_by_path(place: Place, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(folder_of(place, "theirs"), tmp_path / "elsewhere" / "folder" / "theirs"))
    result = compare(place, "pgan_small", str(elsewhere), "--by", "vehicle", "--json", "--resamples", "100")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["resampled"] == "vehicle" and found["folders"][1] == str(elsewhere)
    theirs = folder_of(place, "theirs")
    copied = CliRunner().invoke(main, ["compare", str(elsewhere), str(theirs), "--resamples", "100"])
    assert copied.exit_code == 0, copied.output
    # runs of one name are called by their folders; the caption wraps long lines
    assert "".join(f"first:{elsewhere};second:{theirs}".split()) in "".join(copied.stdout.split())


def test_features_of_another_system_are_compared_with_a_run_without_the_data_set(place: Place) -> None:
    result = compare(place, "pgan_small", "osnet_x1.0", "--resamples", "100", "--split", "all", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    given = read_json(folder_of(place, "osnet_x1.0") / "test" / METRICS)["scores"]["given"]
    assert found["metrics"]["cmc5"]["second"] == pytest.approx(given["cmc5"])


def test_equal_results_do_not_differ(place: Place) -> None:
    found = json.loads(compare(place, "theirs", "osnet_x1.0", "--resamples", "100", "--json").stdout)
    for one in found["metrics"].values():
        assert (one["difference"], one["interval"], one["not_better"], one["equal"]) == (0, [0, 0], 1, 4)


@pytest.mark.parametrize("other", ["pgan_small", "PATH"])
def test_a_run_is_not_compared_with_itself(place: Place, other: str) -> None:
    name = other if other != "PATH" else str(folder_of(place, "pgan_small") / ".." / "pgan_small")
    assert_error(compare(place, "pgan_small", name), 1, "compared with itself")


def test_a_run_that_is_not_there_or_not_evaluated_is_named(place: Place) -> None:
    assert_error(compare(place, "pgan_small", "absent"), 1, "folder/absent", "pgan_small", "theirs")
    assert_error(compare(place, *RECIPES, "--split", "large"), 1, "not evaluated on large", "--split large")


def changed_copy(place: Place, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder_of(place, "theirs"), tmp_path / "folder" / "changed"))


def test_other_queries_and_other_protocols_are_refused(place: Place, tmp_path: Path) -> None:
    changed = changed_copy(place, tmp_path)
    queries = changed / "test" / QUERIES
    table = pd.read_csv(queries, dtype=str)
    table.loc[1, "name"] = "images/other.jpg"
    table.to_csv(queries, index=False)
    assert_error(compare(place, "pgan_small", str(changed)), 1, "different queries: 1 of 4", "images/other.jpg")
    table.iloc[:3].to_csv(queries, index=False)
    metrics = read_json(changed / "test" / METRICS)
    fewer = table.iloc[:3].astype({"average_precision": float, "first_hit_rank": int})
    metrics["scores"]["given"] |= {
        "mAP": fewer["average_precision"].mean(),
        "cmc1": float((fewer["first_hit_rank"] == 1).mean()),
    }
    write_json(changed / "test" / METRICS, metrics)
    assert_error(compare(place, "pgan_small", str(changed)), 1, "4 query results", "changed 3")
    metrics["protocol"]["precision"] = "trapezoid"
    write_json(changed / "test" / METRICS, metrics)
    assert_error(compare(place, "pgan_small", str(changed)), 1, "precision trapezoid", "with step")


def test_query_results_that_are_not_those_of_the_scores_are_refused(place: Place, tmp_path: Path) -> None:
    changed = changed_copy(place, tmp_path)
    queries = changed / "test" / QUERIES
    text = queries.read_text()
    for damaged, words in (
        (re.sub(r",(0\.\d+),", r",0.9\1,".replace("0.9\\1", "0.999"), text, count=1), "not those of metrics.json"),
        (text.replace("average_precision", "precision"), "of another version"),
        (text.replace("given,0,", "given,first,"), "damaged"),
        ("", "damaged"),
    ):
        queries.write_text(damaged)
        assert_error(compare(place, "pgan_small", str(changed)), 1, "queries.csv", words)
    queries.unlink()
    assert_error(compare(place, "pgan_small", str(changed)), 1, "queries.csv: missing", "evaluate")


def test_the_folder_of_another_system_tells_where_it_is_from(place: Place) -> None:
    folder = folder_of(place, "osnet_x1.0")
    metrics = read_json(folder / "test" / METRICS)
    assert metrics["system"]["name"] == "osnet_x1.0" and metrics["system"]["file"] == "osnet_x1.0.npz"
    assert read_features(folder / metrics["features"]).provenance["sha256"] == metrics["system"]["sha256"]
    assert read_json(command_file(folder))["options"]["--dataset"] == "folder"
    assert command_file(folder).parent == folder


def test_rank_and_report_show_another_system_without_boxes(place: Place) -> None:
    result = picture(place, "rank", "--run", "osnet_x1.0", "--compare", "pgan_small", "--json")
    assert result.exit_code == 0, result.output
    lists = json.loads(result.stdout)[0]["lists"]
    assert [one["run"] for one in lists] == ["osnet_x1.0", "pgan_small"]
    result = picture(place, "report", "--run", "osnet_x1.0")
    assert result.exit_code == 0, result.output
    page = Page(Path(result.stdout.strip()).read_text(encoding="utf-8"))
    assert "osnet_x1.0.npz" in page.text and "Recipe" not in page.text and "Heatmaps" not in page.text


def test_report_shows_the_interval_beside_compared_runs(place: Place) -> None:
    result = picture(place, "report", "--run", "pgan_small", "--compare", "theirs", "--heatmaps", "1")
    assert result.exit_code == 0, result.output
    page = Page(Path(result.stdout.strip()).read_text(encoding="utf-8"))
    found = json.loads(compare(place, "pgan_small", "theirs", "--json").stdout)["metrics"]
    for metric in found.values():
        low, high = (f"{100 * value:+.1f}" for value in metric["interval"])
        assert f"{100 * metric['difference']:+.1f}" in page.text and f"{low} to {high}" in page.text


def test_report_tells_why_runs_cannot_be_compared_query_by_query(place: Place, tmp_path: Path) -> None:
    changed = changed_copy(place, tmp_path)
    (changed / "test" / QUERIES).unlink()
    result = picture(place, "report", "--run", "pgan_small", "--compare", str(changed), "--heatmaps", "0")
    assert result.exit_code == 0, result.output
    page = Page(Path(result.stdout.strip()).read_text(encoding="utf-8"))
    assert "Not compared query by query" in page.text and "queries.csv: missing" in page.text


@pytest.mark.parametrize("command", ["features", "evaluate"])
def test_what_needs_a_network_says_that_there_is_none(place: Place, command: str) -> None:
    assert_error(place(command, "--run", "theirs"), 1, "theirs: holds scores", "no network")
    assert_error(place(command, "--run", str(folder_of(place, "theirs"))), 1, "theirs: holds scores", "no network")


@pytest.mark.parametrize("command", [["heatmaps"], ["rank", "--heatmaps"]])
def test_heatmaps_need_a_network(place: Place, command: list[str]) -> None:
    assert_error(picture(place, *command, "--run", "theirs"), 1, "theirs: features of another system", "no network")


def test_a_folder_of_an_earlier_version_is_read(place: Place, tmp_path: Path) -> None:
    """Version 0.3 wrote RUNS/DATASET/given-NAME without features, and the path of the scored file."""
    given, theirs = folder_of(place, "given-theirs"), tmp_path / "theirs.npz"
    shutil.copytree(folder_of(place, "theirs"), given)
    try:
        metrics = read_json(given / "test" / METRICS)
        features = read_features(given / metrics["features"])
        np.savez(theirs, names=np.array(features.names), features=features.matrix)
        (given / metrics["features"]).unlink()
        command_file(given).unlink()
        del metrics["system"]
        metrics["features"] = {"file": theirs.name, "sha256": sha256_of_file(theirs)}
        metrics["arguments"] = {"--dataset": "folder", "--features": str(theirs)}
        write_json(given / "test" / METRICS, metrics)
        assert compare(place, "pgan_small", "given-theirs", "--resamples", "100").exit_code == 0
        lists = [
            [one["lists"][0]["images"] for one in json.loads(picture(place, "rank", "--run", name, "--json").stdout)]
            for name in ("given-theirs", "theirs")
        ]
        assert lists[0] == lists[1]
        theirs.write_bytes(theirs.read_bytes() + b"changed")
        assert_error(picture(place, "rank", "--run", "given-theirs"), 1, "are gone", "evaluate", "--features")
    finally:
        shutil.rmtree(given)


def test_direct_transfer_is_shown_with_the_network_where_it_was_trained(place: Place, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(place.runs / "folder", runs / "elsewhere")
    best = runs / "elsewhere" / "pgan_small" / BEST
    tensors, metadata, _ = load_tensors(best, "train again")
    save_tensors(best, tensors, metadata | {"dataset": "elsewhere"})
    there = Place(place.toy, runs)
    assert there("evaluate", "--trained-on", "elsewhere", "--run", "pgan_small").exit_code == 0
    result = picture(there, "report", "--run", "from-elsewhere-pgan_small", "--heatmaps", "1")
    assert result.exit_code == 0, result.output
    shutil.move(runs / "elsewhere" / "pgan_small", tmp_path / "kept" / "elsewhere" / "mine")  # a run given by its path
    assert there("evaluate", "--run", str(tmp_path / "kept/elsewhere/mine")).exit_code == 0
    by_path = picture(there, "report", "--run", "from-elsewhere-mine", "--heatmaps", "1")
    assert by_path.exit_code == 0, by_path.output
    assert "pgan_small" in Page(Path(result.stdout.strip()).read_text(encoding="utf-8")).text


@pytest.mark.parametrize("name", ["..", "a/b", "", "ablation", "parts.h5", "mine.yaml"])
def test_names_that_cannot_be_chosen_later_are_refused(place: Place, name: str) -> None:
    assert_error(place("evaluate", "--features", "f.npz", "--name", name), 2, "--name")


def test_a_name_belongs_to_features(place: Place) -> None:
    assert_error(place("evaluate", "--name", "osnet"), 2, "--features")
    assert_error(place("evaluate", "--features", "ablation.npz"), 2, "--name")
