"""The command `ablate` refuses to mix runs, and reports mistakes in one line before anything runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from data_cache.parts.cache import write_parts
from helpers.places.reid import Place, assert_error
from helpers.toy.ablation import BASELINE, ONE_EPOCH, WITHOUT_PAM, ablation_folder_of, write_times
from helpers.toy.vehicles import Toy
from reid.runs import LAST

pytestmark = pytest.mark.usefixtures("tiny", "no_pictures")


def test_another_recipe_in_the_same_folder_is_refused_before_anything_runs(place: Place) -> None:
    place("ablate", "--table", "3", *ONE_EPOCH)
    before = write_times(place)
    result = place("ablate", "--table", "3", *ONE_EPOCH, "--set", "margin=0.7")
    assert_error(result, 1, f"{BASELINE}, seed 0", LAST, "recipe.margin = 0.3, this run needs 0.7", "--runs")
    assert write_times(place) == before


def test_other_boxes_in_the_same_folder_are_refused(place: Place, toy: Toy, tmp_path: Path) -> None:
    place("ablate", "--table", "3", *ONE_EPOCH)
    write_parts(tmp_path / "other.h5", replace(toy.parts, fingerprint={"detector": "better"}))
    result = place("ablate", "--table", "3", *ONE_EPOCH, "--parts", str(tmp_path / "other.h5"))
    assert_error(result, 1, f"{WITHOUT_PAM}, seed 0", "parts.detector = painted, this run needs better")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ([], 2, ["--table", "--figure"]),
        (["--table", "1", "--set", "triplets=[fusion]"], 1, ["table-1", "triplets"]),
        (["--table", "1", "--set", "seed=3"], 1, ["--seeds"]),
        (["--table", "1", "--set", "epoch=3"], 1, ["unknown option epoch; did you mean epochs?"]),
        (["--table", "1", "--split", "tests"], 1, ["unknown split of folder tests; did you mean test?"]),
        (["--table", "1", "--parts", "absent.h5"], 1, ["absent.h5: no such part cache"]),
        (["--table", "5"], 1, ["pgan_parts=4, seed 0", "the part cache holds 3", "lower parts"]),
        (["--table", "1", "--set", "vehicles_per_batch=9"], 1, ["baseline, seed 0", "lower vehicles_per_batch"]),
        (["--table", "1", "--boxes", "rarest"], 1, ["--boxes rarest", "lacks parts_train.json"]),
        (["--table", "oracle", "--boxes", "random"], 1, ["--boxes random", "table oracle"]),
        (["--table", "plus", "--boxes", "shifted"], 1, ["--boxes shifted", "table plus"]),
        (["--table", "1", "--dataset", "veri"], 1, ["data set veri not found"]),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    place: Place, options: list[str], code: int, words: list[str]
) -> None:
    parts = [] if "5" in options else ["--set", "parts=2"]  # the rows of table 5 set it
    result = place(
        "ablate", "--recipe", "small", *parts, "--set", "vehicles_per_batch=4", "--set", "holdout=0", *options
    )
    assert_error(result, code, *words)
    assert not ablation_folder_of(place).exists()
