"""What a file lacks or has too much is counted and named, in one line."""

import pytest
import torch

from reid.model.backbones import weight_differences

WANTED = {f"{name}.weight": torch.zeros(2, 3) for name in "abcde"} | {"a.num_batches_tracked": torch.tensor(0)}


def test_what_agrees_is_none_whatever_the_values_the_order_and_the_counters() -> None:
    assert weight_differences(WANTED, WANTED) is None
    found = {name: value + 1 for name, value in reversed(WANTED.items()) if not name.endswith("tracked")}
    assert weight_differences(found, WANTED) is None


def test_each_kind_is_counted_and_its_first_three_are_named() -> None:
    found = {
        "x.weight": torch.zeros(1),
        "e.weight": torch.zeros(3, 2),
        "a.num_batches_tracked": torch.zeros(1),
    }
    assert weight_differences(found, WANTED) == (
        "4 missing, first a.weight, b.weight, c.weight; 1 unexpected, first x.weight; "
        "2 of another shape, first e.weight (3, 2) for (2, 3), a.num_batches_tracked (1,) for ()"
    )


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "x" * 5000, "a\u2028b"])
def test_a_strange_name_keeps_the_line(name: str) -> None:
    told = weight_differences({**WANTED, name: torch.zeros(1)}, WANTED)
    assert told is not None and told.startswith("1 unexpected, first ")
    assert told.isprintable() and len(told.splitlines()) == 1 and len(told) < 200
