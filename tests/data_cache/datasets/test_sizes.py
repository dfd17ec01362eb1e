"""The known sizes of the benchmarks hang together."""

import pytest

from data_cache.datasets.sizes import PAPER, RELEASED, Size


@pytest.mark.parametrize("name", RELEASED)
def test_queries_and_gallery_make_the_test_and_tests_and_training_make_all(name: str) -> None:
    sizes = RELEASED[name]
    tests = [split for split in ("test", "small", "medium", "large") if split in sizes]
    for split in tests:
        assert (sizes[f"{split} query"].images or 0) + (sizes[f"{split} gallery"].images or 0) == sizes[split].images
    for known in (sizes, PAPER[name]):
        if known.get("all", Size()).images is not None and tests:
            largest = known[tests[-1]]
            assert known["all"].images == (known["train"].images or 0) + (largest.images or 0)
            assert known["all"].vehicles == (known["train"].vehicles or 0) + (largest.vehicles or 0)


def test_of_vehicleid_one_image_a_vehicle_is_the_gallery() -> None:
    for split in ("small", "medium", "large"):
        whole, gallery = (RELEASED["vehicleid"][part] for part in (split, f"{split} gallery"))
        assert gallery.images == gallery.vehicles == whole.vehicles


def test_of_veri_every_query_is_a_copy() -> None:
    sizes = RELEASED["veri"]
    parts = [sizes[part].images or 0 for part in ("train", "test query", "test gallery")]
    assert (sum(parts), parts[0] + parts[2]) == (sizes["all"].images, 49_357)


def test_the_paper_tells_of_parts_that_the_lists_have() -> None:
    assert list(PAPER) == list(RELEASED)
    for name, parts in PAPER.items():
        assert set(parts) <= set(RELEASED[name])
    differing = {(name, part) for name, parts in PAPER.items() for part in parts if parts[part] != RELEASED[name][part]}
    sources = {("vehicleid", part) for part in ("train", "small", "medium", "large")} | {("veriwild", "small")}
    assert sources <= differing
    assert {name for name, _ in differing - sources} == {"veri"}  # where the paper leaves counts out
