"""Galleries: adding and removing equals building, images are embedded once, search ranks by the cosine of features."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data_cache.base.errors import UserError
from helpers.places.api import ToyRun
from helpers.toy.features import StopHere, batch_sizes, stop, stopping
from reid.features import embedding, extraction
from vehicle_reid import Gallery, VehicleReID
from vehicle_reid.gallery import gallery as module
from vehicle_reid.gallery.filters import Filter
from vehicle_reid.gallery.vectors import Vectors
from vehicle_reid.images import images_of_folder

Images = dict[str, Path]


@pytest.fixture(scope="module")
def images(toy_run: ToyRun) -> Images:
    return toy_run.images()


@pytest.fixture(scope="module")
def whole(toy_run: ToyRun, model: VehicleReID, images: Images) -> Gallery:
    """A gallery of all images."""
    return Gallery.build(model, images, cameras=toy_run.cameras)


@pytest.fixture(name="batch_sizes")
def sizes_of_batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that go through the network."""
    return batch_sizes(monkeypatch)


def some(images: Images, first: int, last: int | None) -> Images:
    return dict(list(images.items())[first:last])


def assert_same_matches(one: pd.DataFrame, other: pd.DataFrame) -> None:
    for column in ("query", "rank", "name", "camera", "parts"):
        assert one[column].tolist() == other[column].tolist()
    np.testing.assert_allclose(one["score"], other["score"], atol=1e-5)
    for column in ("boxes", "attention"):
        assert all(np.allclose(a, b, atol=1e-3) for a, b in zip(one[column], other[column], strict=True))


def test_search_ranks_by_the_cosine_of_the_features(whole: Gallery, model: VehicleReID, images: Images) -> None:
    embedded = model.embed(images)
    features = np.stack(embedded["feature"].tolist())
    found = whole.search(embedded.iloc[:5], k=7)
    for number, (query, matches) in enumerate(found.groupby("query", sort=False)):
        scores = pd.Series(features @ features[number], embedded["name"]).sort_values(ascending=False)
        assert query == embedded["name"][number] and matches["rank"].tolist() == list(range(1, 8))
        np.testing.assert_allclose(matches["score"], scores[:7], atol=1e-5)
        np.testing.assert_allclose(scores[matches["name"].tolist()], matches["score"], atol=1e-5)
    rows = embedded.set_index("name").loc[found["name"].tolist()]
    assert found["parts"].tolist() == rows["parts"].tolist()
    assert all(np.array_equal(a, b) for a, b in zip(found["boxes"], rows["boxes"], strict=True))


def test_a_query_is_images_or_their_embeddings(whole: Gallery, model: VehicleReID, images: Images) -> None:
    query = dict(reversed(some(images, 3, 7).items()))
    assert_same_matches(whole.search(query, k=3), whole.search(model.embed(query), k=3))
    assert whole.search(images[next(iter(images))], k=1)["name"].item() == next(iter(images))
    for wrong, words in (
        (pd.DataFrame({"name": ["a"]}), "the columns name and feature"),
        (pd.DataFrame({"name": ["a"], "feature": [np.ones(3)]}), "have 32 channels"),
    ):
        with pytest.raises(UserError, match=words):
            whole.search(wrong)


def test_adding_and_removing_equals_building(model: VehicleReID, images: Images) -> None:
    cameras = {name: number % 2 for number, name in enumerate(images)}
    names = list(images)
    built = Gallery.build(model, some(images, 0, -1), cameras=cameras)
    grown = Gallery.build(model, some(images, 10, 25), cameras=cameras)
    grown.add(some(images, 0, 10), cameras=cameras)
    grown.remove(names[5:15])
    grown.add(some(images, 5, 15), cameras=cameras)
    grown.add(some(images, 25, None), cameras=cameras)
    grown.remove(names[-1])
    assert sorted(grown.names) == sorted(built.names) == names[:-1]
    queries = model.embed({name: images[name] for name in names[::6]})
    assert_same_matches(grown.search(queries, k=9), built.search(queries, k=9))


def test_a_gallery_on_a_server_finds_what_one_in_memory_finds(
    model: VehicleReID, images: Images, whole: Gallery, milvus: str, toy_run: ToyRun
) -> None:
    address = f"{milvus}/cars"
    Gallery.build(model, some(images, 0, 9), cameras=toy_run.cameras, address=address)
    grown = Gallery.load(address, model)
    reader = Gallery.load(address, model)
    grown.add(some(images, 9, None), cameras=toy_run.cameras)
    queries = model.embed(some(images, 0, 3))
    assert_same_matches(reader.search(queries, k=9), whole.search(queries, k=9))
    assert_same_matches(reader.search(queries, cameras=[1]), whole.search(queries, cameras=[1]))
    assert grown.recall() == 1 and len(reader) == len(images)


def test_an_image_that_another_process_removes_during_a_search_is_left_out(
    model: VehicleReID, images: Images, milvus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, names = f"{milvus}/removed", list(images)[:5]
    gallery = Gallery.build(model, some(images, 0, 5), address=address)
    best = Vectors.best

    def while_another_removes(*given: Any) -> Any:
        Gallery.load(address, model).remove(names[2])
        return best(*given)

    monkeypatch.setattr(Vectors, "best", while_another_removes)
    found = gallery.search(images[names[2]], k=5)
    assert sorted(found["name"]) == sorted({*names} - {names[2]})
    assert found["score"].is_monotonic_decreasing


def test_only_new_images_are_embedded(model: VehicleReID, images: Images, batch_sizes: list[int]) -> None:
    gallery = Gallery.build(model, some(images, 0, 20))
    assert sum(batch_sizes) == 20
    gallery.add(some(images, 20, 23))
    assert sum(batch_sizes) == 23
    gallery.remove(list(images)[3:9])
    assert sum(batch_sizes) == 23 and len(gallery) == 17


def test_existing_and_missing_names_are_refused_without_a_change(
    model: VehicleReID, images: Images, batch_sizes: list[int]
) -> None:
    gallery, names = Gallery.build(model, some(images, 0, 6)), list(images)
    before = gallery.search(some(images, 0, 1), k=6)
    batch_sizes.clear()
    with pytest.raises(UserError, match=f"2 images are already in the gallery, first {names[4]}; remove them first"):
        gallery.add(some(images, 4, 9))
    with pytest.raises(UserError, match=r"1 of 2 names are not in it, first nobody.jpg"):
        gallery.remove([names[0], "nobody.jpg"])
    assert not batch_sizes and list(gallery.names) == names[:6]
    assert_same_matches(gallery.search(some(images, 0, 1), k=6), before)


def test_cameras_filter_the_matches(toy_run: ToyRun, whole: Gallery, images: Images) -> None:
    query = some(images, 0, 2)
    everything = whole.search(query, k=len(images))
    for options, cameras in (
        ({"cameras": [1]}, {1}),
        ({"without_cameras": [1]}, {0}),
        ({"cameras": [0, 1]}, {0, 1}),
        ({"cameras": [0, 1], "without_cameras": (0,)}, {1}),
        ({"cameras": []}, set()),
        ({"cameras": [7]}, set()),
    ):
        matches = whole.search(query, k=len(images), **options)  # type: ignore[arg-type]
        assert matches["name"].tolist() == everything[everything["camera"].isin(cameras)]["name"].tolist()
        assert [toy_run.cameras[name] for name in matches["name"]] == matches["camera"].tolist()
        assert matches.groupby("query")["rank"].apply(lambda rank: list(rank) == [*range(1, len(rank) + 1)]).all()


def test_an_empty_gallery_can_be_searched_saved_and_added_to(
    model: VehicleReID, images: Images, tmp_path: Path
) -> None:
    Gallery.build(model).save(tmp_path / "g")
    gallery = Gallery.load(tmp_path / "g", model)
    matches = gallery.search(some(images, 0, 2))
    assert len(gallery) == len(matches) == 0 and matches.dtypes["score"] == "float64"
    assert gallery.recall() == 1.0
    gallery.add(some(images, 0, 4))
    assert len(gallery.search(some(images, 0, 2), k=50)) == 8  # k may be larger than the gallery
    gallery.remove(gallery.names)
    assert len(gallery) == 0


@pytest.mark.parametrize("index", ["exact", "approximate"])
def test_a_saved_gallery_finds_the_same_and_can_be_changed(
    model: VehicleReID, images: Images, whole: Gallery, tmp_path: Path, index: str
) -> None:
    gallery = Gallery.build(model, some(images, 0, 40), index=index)
    query = model.embed(some(images, 3, 6))
    before = gallery.search(query, k=5)
    gallery.save(tmp_path / "g")
    loaded = Gallery.load(tmp_path / "g", model)
    assert_same_matches(loaded.search(query, k=5), before)
    version = loaded.store.version
    loaded.save(tmp_path / "g")  # it is there already
    assert loaded.store.version == version and loaded.index == index and loaded.recall() >= 0.95
    with pytest.raises(UserError, match="the gallery already exists"):
        Gallery.build(model, some(images, 0, 2)).save(tmp_path / "g")
    removed = list(images)[:3]
    loaded.add(some(images, 40, None))
    loaded.remove(removed)
    exact = whole.search(query, k=8)
    wanted = exact[~exact["name"].isin(removed)].groupby("query", sort=False).head(5)
    for one in (loaded, gallery, Gallery.load(tmp_path / "g", model)):  # what is added is there at once, for all
        assert one.search(query, k=5)["name"].tolist() == wanted["name"].tolist()
        assert len(one) == len(images) - 3


def test_a_gallery_can_be_built_where_it_is_kept(model: VehicleReID, images: Images, tmp_path: Path) -> None:
    built = Gallery.build(model, some(images, 0, 5), address=tmp_path / "g")
    assert Gallery.load(tmp_path / "g", model).names == built.names == tuple(list(images)[:5])
    with pytest.raises(UserError, match="the gallery already exists"):
        Gallery.build(model, some(images, 0, 1), address=tmp_path / "g")


def test_details_restrict_a_search(model: VehicleReID, images: Images, tmp_path: Path) -> None:
    names = list(images)
    details = pd.DataFrame(
        {"vehicle": [f"v{row // 4}" for row in range(12)], "time": [f"2026-11-{10 + row}T08:00" for row in range(12)],
         "lane": ["left", "right"] * 6}, index=names[:12]
    )  # fmt: skip
    gallery = Gallery.build(model, some(images, 0, 12), details=details)
    gallery.add(some(images, 12, 14))  # of unknown time
    everything = gallery.search(some(images, 0, 1), k=50)["name"].tolist()
    for options, wanted in (
        ({"equal": {"lane": "left"}}, names[:12:2]),
        ({"equal": {"vehicle": "v1"}}, names[4:8]),
        ({"since": "2026-11-15"}, names[5:12]),
        ({"since": "2026-11-12T09:00", "until": "2026-11-14"}, names[3:5]),
        ({"since": "2026-11-12", "equal": {"lane": "right"}, "without": (names[3],)}, names[5:12:2]),
    ):
        found = gallery.search(some(images, 0, 1), k=50, **options)["name"].tolist()  # type: ignore[arg-type]
        assert found == [name for name in everything if name in wanted]
        exact = gallery.store.best(gallery.entries.features[:1], 50, gallery_filter(options))
        assert {gallery.names[number] for number in exact.ids[0] if number >= 0} == {*wanted}
    with pytest.raises(UserError, match="no column colour; its details are lane, time, vehicle"):
        gallery.search(some(images, 0, 1), equal={"colour": "red"})


def test_times_that_no_search_can_use_are_named(
    model: VehicleReID, images: Images, caplog: pytest.LogCaptureFixture
) -> None:
    names, warned = list(images)[:4], "times of 2 of 4 images cannot be searched by, first that of"
    details = pd.DataFrame({"time": ["2026-11-10", "10.11.2026", "", "8:30"]}, index=names)
    gallery = Gallery.build(model, some(images, 0, 4), details=details)
    assert f"{warned} {names[1]}: 10.11.2026 must be as in ISO 8601" in caplog.text
    assert gallery.entries.details["time"].tolist() == details["time"].tolist()
    caplog.clear()
    Gallery.build(model, some(images, 0, 4), details=details.assign(time=["2026", "", "", "2026-11-10T08:30:00Z"]))
    assert not caplog.text


def gallery_filter(options: dict[str, Any]) -> Filter:
    return Filter(**{name: tuple(value) if name == "without" else value for name, value in options.items()})


def test_features_too_large_for_memory_are_searched_in_the_store(
    model: VehicleReID, whole: Gallery, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = model.embed(some(images, 3, 9))
    wanted = whole.search(query, k=7, cameras=[1])
    monkeypatch.setattr(module, "MOST_IN_MEMORY", 0)
    fresh = Gallery(model, whole.store)
    monkeypatch.setattr(Vectors, "update", lambda self: pytest.fail("features were read into memory"))
    assert_same_matches(fresh.search(query, k=7, cameras=[1]), wanted)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stopped_build_resumes(
    toy_run: ToyRun, model: VehicleReID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    folder, work = images_of_folder(toy_run.root), tmp_path / "work"
    monkeypatch.setitem(extraction.BATCH, "cpu", 4)
    monkeypatch.setattr(extraction, "BATCHES", 2)
    with monkeypatch.context() as patch, pytest.raises(StopHere):
        patch.setattr(embedding, "embed_batch", stopping(embedding.embed_batch, 7, stop))
        Gallery.build(model, folder, work=work, workers=workers)
    batches = batch_sizes(monkeypatch)
    monkeypatch.setattr(VehicleReID, "detector", property(lambda self: pytest.fail("parts were detected again")))
    gallery = Gallery.build(model, folder, work=work, workers=workers)
    assert sum(batches) == 48 - 24  # three blocks of eight images were finished
    assert gallery.names == folder.names
    query = model.embed(toy_run.images(list(folder.names[:4])), toy_run.toy.parts)
    matches = gallery.search(query, k=3)
    assert matches["score"][matches["rank"] == 1].to_numpy() == pytest.approx(1, abs=1e-5)
    assert len(list(work.iterdir())) == 1
    gallery.save(tmp_path / "g")
    assert list(work.iterdir()) == []
    gallery.remove(folder.names[:3])
    gallery.add(images_of_folder(toy_run.root, folder.names[:3]), work=work, workers=workers)
    assert list(work.iterdir()) == []  # what is added to a stored gallery is saved at once


def test_a_resumable_build_needs_files_in_one_folder(model: VehicleReID, images: Images, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="work: resuming needs all images in one folder"):
        Gallery.build(model, some(images, 0, 1), work=tmp_path)


def test_an_unknown_index_is_refused_before_any_work(
    model: VehicleReID, images: Images, batch_sizes: list[int]
) -> None:
    with pytest.raises(UserError, match="unknown index ivq"):
        Gallery.build(model, images, index="ivq")
    assert not batch_sizes
