"""The known sizes of the benchmarks are consistent."""

import pytest

from data_cache.datasets.sizes import PAPER, RELEASED, Size


@pytest.mark.parametrize("name", RELEASED)
def test_sums_of_subsets(name: str) -> None:
    sizes = RELEASED[name]
    tests = [split for split in ("test", "small", "medium", "large") if split in sizes]
    for split in tests:
        assert (sizes[f"{split} query"].images or 0) + (sizes[f"{split} gallery"].images or 0) == sizes[split].images
    for known in (sizes, PAPER[name]):
        if known.get("all", Size()).images is not None and tests:
            largest = known[tests[-1]]
            assert known["all"].images == (known["train"].images or 0) + (largest.images or 0)
            assert known["all"].vehicles == (known["train"].vehicles or 0) + (largest.vehicles or 0)


def test_vehicleid_galleries_have_one_image_per_vehicle() -> None:
    for split in ("small", "medium", "large"):
        whole, gallery = (RELEASED["vehicleid"][part] for part in (split, f"{split} gallery"))
        assert gallery.images == gallery.vehicles == whole.vehicles


def test_veri_queries_are_copies_of_gallery_images() -> None:
    sizes = RELEASED["veri"]
    parts = [sizes[part].images or 0 for part in ("train", "test query", "test gallery")]
    assert (sum(parts), parts[0] + parts[2]) == (sizes["all"].images, 49_357)


def test_paper_and_lists_differ_only_where_known() -> None:
    assert list(PAPER) == list(RELEASED)
    for name, parts in PAPER.items():
        assert set(parts) <= set(RELEASED[name])
    differing = {(name, part) for name, parts in PAPER.items() for part in parts if parts[part] != RELEASED[name][part]}
    sources = {("vehicleid", part) for part in ("train", "small", "medium", "large")} | {("veriwild", "small")}
    assert sources <= differing
    assert {name for name, _ in differing - sources} == {"veri"}  # the paper leaves counts out
