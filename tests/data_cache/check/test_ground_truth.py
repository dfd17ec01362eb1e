"""VeRi-776's answer files compared with answers of a small data set worked out by hand."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from data_cache.check.ground_truth import GroundTruth, compare_ground_truth
from data_cache.datasets.catalogue import load_dataset
from helpers.toy.lists import FORMS, VERI, VERI_ANSWERS, Form, write_lists

Lists = dict[str, Sequence[str]]
FILES = ("gt_index.txt", "jk_index.txt")
FIRST, SECOND = (f"image_query/{name}" for name in VERI["name_query.txt"])


def compared(root: Path, answers: Lists) -> GroundTruth | None:
    write_lists(root / "VeRi", VERI | answers)
    return compare_ground_truth(load_dataset("veri", root))


def test_answers_by_hand_agree(tmp_path: Path) -> None:
    assert compared(tmp_path, dict(VERI_ANSWERS)) == GroundTruth(FILES, queries=2, agreeing=2)


def test_no_answer_files_give_none(tmp_path: Path) -> None:
    assert compared(tmp_path, {}) is None


@pytest.mark.parametrize("form", [FORMS[name] for name in ("plain", "CRLF", "no last newline", "BOM")])
def test_format_and_order_of_answers_do_not_matter(tmp_path: Path, form: Form) -> None:
    write_lists(tmp_path / "VeRi", VERI)
    write_lists(tmp_path / "VeRi", {"gt_index.txt": ["3 ", " 6\t04"], "jk_index.txt": ["5  2", "1"]}, form)
    assert compare_ground_truth(load_dataset("veri", tmp_path)) == GroundTruth(FILES, 2, 2)


def test_alternative_file_names_and_image_names_agree(tmp_path: Path) -> None:
    names = VERI["name_test.txt"]
    by_name = [" ".join(names[int(position) - 1] for position in line.split()) for line in VERI_ANSWERS["jk_index.txt"]]
    found = compared(tmp_path, {"gt_image.txt": VERI_ANSWERS["gt_index.txt"], "jk_image.txt": by_name})
    assert found == GroundTruth(("gt_image.txt", "jk_image.txt"), 2, 2)


def test_one_file_is_enough(tmp_path: Path) -> None:
    for name in FILES:
        found = compared(tmp_path / name, {name: VERI_ANSWERS[name]})
        assert found == GroundTruth((name,), 2, 2)


@pytest.mark.parametrize(
    ("changed", "agreeing", "first"),
    [
        ({"gt_index.txt": ["3", "4"]}, 1, SECOND),  # one is missing
        ({"gt_index.txt": ["3 1", "4 6"]}, 1, FIRST),  # one too many
        ({"gt_index.txt": ["2", "3 5"]}, 0, FIRST),  # counted from 0
        ({"gt_index.txt": ["2 3 5", "1 4 6"], "jk_index.txt": ["", ""]}, 0, FIRST),  # without junk
        ({"jk_index.txt": ["2 5", ""]}, 1, SECOND),
        ({"jk_index.txt": ["2 5", "1 7"]}, 1, SECOND),  # beyond the gallery
        ({"jk_index.txt": ["2 5 x", "1"]}, 1, FIRST),
        ({"jk_index.txt": ["2 5 0999_c001_00000000_0.jpg", "1"]}, 1, FIRST),
    ],
)
def test_difference_names_the_first_query(tmp_path: Path, changed: Lists, agreeing: int, first: str) -> None:
    found = compared(tmp_path, VERI_ANSWERS | changed)
    line = f"{2 - agreeing} of 2 queries have other answers in gt_index.txt, jk_index.txt, first {first}"
    assert found == GroundTruth(FILES, 2, agreeing, (line,))


def test_empty_line_is_a_query_without_answers(tmp_path: Path) -> None:
    """The query's vehicle is not in the gallery; more empty lines may follow at the end."""
    lists: Lists = {
        "name_query.txt": ["0003_c001_00000000_0.jpg", *VERI["name_query.txt"]],
        "gt_index.txt": ["", *VERI_ANSWERS["gt_index.txt"], "", ""],
        "jk_index.txt": ["", *VERI_ANSWERS["jk_index.txt"]],
    }
    assert compared(tmp_path, lists) == GroundTruth(FILES, 3, 3)


@pytest.mark.parametrize(
    ("lines", "agreeing", "count"), [(["3"], 1, 1), (["3", "4 6", "1"], 2, 3), ([], 0, 1), (["4 6", "3"], 0, 2)]
)
def test_wrong_number_of_lines_is_an_error(tmp_path: Path, lines: list[str], agreeing: int, count: int) -> None:
    found = compared(tmp_path, {"gt_index.txt": lines})
    assert found is not None and found.agreeing == agreeing
    assert (f"gt_index.txt has {count} lines, not 2" in found.errors) == (count != 2)
    assert any("queries have other answers" in error for error in found.errors) == (agreeing != 2)


def test_binary_file_is_refused(tmp_path: Path) -> None:
    write_lists(tmp_path / "VeRi", VERI)
    (tmp_path / "VeRi" / "gt_index.txt").write_bytes(b"\xff\xfe3")
    with pytest.raises(UserError, match=r"gt_index\.txt: list file cannot be read"):
        compare_ground_truth(load_dataset("veri", tmp_path))
