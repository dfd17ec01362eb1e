import re

import pytest

from data_cache.parts.names import PART_NAMES
from detect.evaluation.metrics import measure
from detect.evaluation.precision_recall import LARGE, SIZES, SMALL
from detect.evaluation.report import SHOWN_DEPTHS, SIZE_NAMES, show_metrics
from helpers.toy.answers import answer, image


def rows(text: str) -> list[list[str]]:
    """Return the cells of every row of the printed tables."""
    return [re.split(r"\s*│\s*", line.strip("│ ")) for line in text.splitlines() if line.startswith("│")]


def test_the_tables_hold_the_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve parts of one kind, of which six are found: eight boxes reach 8/12, six of twelve are 3/4 of that."""
    boxes = [[x, 0, x + 5, 6] for x in range(0, 60, 5)]
    show_metrics(measure([image("a", boxes, [3] * 12)], [answer(boxes[:6], [3] * 6, [0.9] * 6)]))
    text = capsys.readouterr().out
    found = rows(text)
    assert "12 true parts in 1 images" in text and "An image shows 12.0 parts" in text
    assert [row for row in found if row[0] == "8"] == [["8", "0.667", "0.500", "0.750", "0.500", "0.750"]]
    assert [row[0] for row in found if row[0].isdigit()] == [str(depth) for depth in SHOWN_DEPTHS]
    assert [row for row in found if row[0] == PART_NAMES[3]] == [[PART_NAMES[3], "0.505", "0.505", "12"]]
    assert [row[1:] for row in found if row[0] in ("AP50", "AP75")] == [["0.505", "12"]] * 2
    assert [row[1:] for row in found if row[0].startswith("AP medium")] == [["0.505", "12"]]
    assert not any(row[0].startswith(("AP small", "AP large")) for row in found)


def test_the_names_of_sizes_are_those_that_are_measured() -> None:
    assert set(SIZE_NAMES) == set(SIZES) - {"all"}
    assert (
        SIZE_NAMES["small"].startswith(f"under {100 * SMALL:g} %") and SIZE_NAMES["large"] == f"over {100 * LARGE:g} %"
    )
