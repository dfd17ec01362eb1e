"""Galleries: add and remove give what building gives, nothing is embedded twice, and search is the features' cosine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data_cache.base.errors import UserError
from helpers.places.api import Place, make_place, small_networks
from reid.features import extraction as features
from vehicle_reid import Gallery, VehicleReID
from vehicle_reid.images import images_of_folder

Images = dict[str, Path]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with small_networks():
        yield make_place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def model(place: Place) -> VehicleReID:
    return place.model()


@pytest.fixture(scope="module")
def images(place: Place) -> Images:
    return {name: place.path(name) for name in place.toy.dataset.names()}


@pytest.fixture(scope="module")
def cameras(place: Place) -> dict[str, int]:
    table = place.toy.dataset.table
    return dict(zip(table["name"], table["camera_id"].tolist(), strict=True))


@pytest.fixture(scope="module")
def whole(model: VehicleReID, images: Images, cameras: dict[str, int]) -> Gallery:
    return Gallery.build(model, images, cameras=cameras)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that go through the network."""
    forward, sizes = features.forward, []

    def counting(network: Any, batch: Any, *more: Any) -> Any:
        sizes.append(len(batch.index))
        return forward(network, batch, *more)

    monkeypatch.setattr(features, "forward", counting)
    return sizes


def some(images: Images, rows: slice) -> Images:
    return dict(list(images.items())[rows])


def same_matches(one: pd.DataFrame, other: pd.DataFrame) -> None:
    for column in ("query", "rank", "name", "camera", "parts"):
        assert one[column].tolist() == other[column].tolist()
    np.testing.assert_allclose(one["score"], other["score"], atol=1e-5)
    for column in ("boxes", "attention"):
        assert all(np.allclose(a, b, atol=1e-3) for a, b in zip(one[column], other[column], strict=True))


def test_search_is_the_cosine_of_the_features(whole: Gallery, model: VehicleReID, images: Images) -> None:
    embedded = model.embed(images)
    matrix = np.stack(embedded["feature"].tolist())
    found = whole.search(embedded.iloc[:5], k=7)
    for number, (query, matches) in enumerate(found.groupby("query", sort=False)):
        scores = pd.Series(matrix @ matrix[number], embedded["name"]).sort_values(ascending=False)
        assert query == embedded["name"][number] and matches["rank"].tolist() == list(range(1, 8))
        np.testing.assert_allclose(matches["score"], scores[:7], atol=1e-5)
        np.testing.assert_allclose(scores[matches["name"].tolist()], matches["score"], atol=1e-5)
    shown = embedded.set_index("name").loc[found["name"].tolist()]
    assert found["parts"].tolist() == shown["parts"].tolist()
    assert all(np.array_equal(a, b) for a, b in zip(found["boxes"], shown["boxes"], strict=True))


def test_a_query_is_images_or_their_table(whole: Gallery, model: VehicleReID, images: Images) -> None:
    some_images = some(images, slice(7, 3, -1))
    same_matches(whole.search(some_images, k=3), whole.search(model.embed(some_images), k=3))
    assert whole.search(images[next(iter(images))], k=1)["name"].item() == next(iter(images))
    for wrong, words in (
        (pd.DataFrame({"name": ["a"]}), "the columns name and feature"),
        (pd.DataFrame({"name": ["a"], "feature": [np.ones(3)]}), "have 32 channels"),
    ):
        with pytest.raises(UserError, match=words):
            whole.search(wrong)


def test_adding_and_removing_is_building(model: VehicleReID, images: Images, whole: Gallery) -> None:
    cameras = {name: number % 2 for number, name in enumerate(images)}
    built = Gallery.build(model, images, cameras=cameras)
    grown = Gallery.build(model, some(images, slice(10, 25)), cameras=cameras)
    grown.add(some(images, slice(0, 10)), cameras=cameras)
    grown.remove(list(images)[5:15])
    grown.add(some(images, slice(5, 15)), cameras=cameras)
    grown.add(some(images, slice(25, None)), cameras=cameras)
    grown.remove(list(images)[-1])
    built.remove(list(images)[-1])
    assert sorted(grown.names) == sorted(built.names) == list(images)[:-1]
    queries = model.embed(some(images, slice(0, None, 6)))
    same_matches(grown.search(queries, k=9), built.search(queries, k=9))


def test_only_what_is_new_is_embedded(model: VehicleReID, images: Images, counted: list[int]) -> None:
    gallery = Gallery.build(model, some(images, slice(0, 20)))
    assert sum(counted) == 20
    gallery.add(some(images, slice(20, 23)))
    assert sum(counted) == 23
    gallery.remove(list(images)[3:9])
    assert sum(counted) == 23 and len(gallery) == 17


def test_a_name_that_is_there_or_is_not_there_is_refused_and_nothing_changes(
    model: VehicleReID, images: Images, counted: list[int]
) -> None:
    gallery = Gallery.build(model, some(images, slice(0, 6)))
    before = (gallery.names, gallery.search(some(images, slice(0, 1)), k=6))
    del counted[:]
    names = list(images)
    with pytest.raises(UserError, match=f"2 images are in the gallery already, first {names[4]}; remove them first"):
        gallery.add(some(images, slice(4, 9)))
    with pytest.raises(UserError, match=r"1 of 2 names are not in it, first nobody.jpg"):
        gallery.remove([names[0], "nobody.jpg"])
    assert not counted and gallery.names == before[0]
    same_matches(gallery.search(some(images, slice(0, 1)), k=6), before[1])


def test_cameras_filter_the_matches(whole: Gallery, images: Images, cameras: dict[str, int]) -> None:
    query = some(images, slice(0, 2))
    every = whole.search(query, k=len(images))
    for options, wanted in (
        ({"cameras": [1]}, {1}),
        ({"without_cameras": [1]}, {0}),
        ({"cameras": [0, 1]}, {0, 1}),
        ({"cameras": [0, 1], "without_cameras": (0,)}, {1}),
        ({"cameras": []}, set()),
        ({"cameras": [7]}, set()),
    ):
        found = whole.search(query, k=len(images), **options)  # type: ignore[arg-type]
        kept = every[every["camera"].isin(wanted)]
        assert found["name"].tolist() == kept["name"].tolist()
        assert [cameras[name] for name in found["name"]] == found["camera"].tolist()
        assert found.groupby("query")["rank"].apply(lambda rank: list(rank) == [*range(1, len(rank) + 1)]).all()


def test_more_than_there_is_can_be_asked_for(model: VehicleReID, images: Images) -> None:
    gallery = Gallery.build(model, some(images, slice(0, 3)))
    assert len(gallery.search(some(images, slice(0, 2)), k=50)) == 6
    with pytest.raises(UserError, match="k is 0"):
        gallery.search(some(images, slice(0, 1)), k=0)


def test_an_empty_gallery_can_be_searched_saved_and_added_to(
    model: VehicleReID, images: Images, tmp_path: Path
) -> None:
    Gallery.build(model).save(tmp_path / "g")
    gallery = Gallery.load(tmp_path / "g", model)
    found = gallery.search(some(images, slice(0, 2)))
    assert len(gallery) == len(found) == 0 and found.dtypes["score"] == "float64"
    assert gallery.recall() == 1.0
    gallery.add(some(images, slice(0, 4)))
    assert len(gallery.search(some(images, slice(0, 1)), k=2)) == 2
    gallery.remove(gallery.names)
    assert len(gallery) == 0


@pytest.mark.parametrize("index", ["exact", "flat", "ivf"])
def test_a_saved_gallery_finds_the_same_and_can_be_changed(
    model: VehicleReID, images: Images, whole: Gallery, tmp_path: Path, index: str
) -> None:
    gallery = Gallery.build(model, some(images, slice(0, 40)), index=index)
    gallery.save(tmp_path / "g")
    first = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    loaded = Gallery.load(tmp_path / "g", model)
    query = model.embed(some(images, slice(3, 6)))
    same_matches(loaded.search(query, k=5), gallery.search(query, k=5))
    loaded.save(tmp_path / "g")
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == first
    assert loaded.index == index and loaded.recall() >= 0.95
    loaded.add(some(images, slice(40, None)))
    loaded.remove(list(images)[:3])
    found = loaded.search(query, k=5)
    exact = whole.search(query, k=8).query("name not in @gone", local_dict={"gone": set(list(images)[:3])})
    wanted = exact.groupby("query", sort=False).head(5)
    assert found["name"].tolist() == wanted["name"].tolist()


def test_a_gallery_of_another_model_is_refused(
    place: Place, model: VehicleReID, images: Images, tmp_path: Path
) -> None:
    Gallery.build(model, some(images, slice(0, 2))).save(tmp_path / "g")
    other = place.model()
    other.fingerprint = {**model.fingerprint, "checkpoint": "0" * 64}
    with pytest.raises(UserError, match=f"g: made with checkpoint = .*, this run needs {'0' * 64}; name the run"):
        Gallery.load(tmp_path / "g", other)


def test_images_that_cannot_be_read_are_refused_or_left_out(
    model: VehicleReID, images: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    mixed = {**some(images, slice(0, 3)), "bad": tmp_path / "bad.jpg"}
    with pytest.raises(
        UserError, match=r"^1 of 4 images cannot be read, first .*bad.jpg: not a JPEG.*--skip-unreadable"
    ):
        Gallery.build(model, mixed)
    gallery = Gallery.build(model, mixed, skip_unreadable=True)
    assert gallery.names == tuple(images)[:3]
    assert capsys.readouterr().err.endswith("they are left out\n")


class Stopped(Exception):
    """Ends a build where a test wants it."""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stopped_build_goes_on_where_it_was(
    place: Place, model: VehicleReID, whole: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    folder = images_of_folder(place.root)
    monkeypatch.setitem(features.BATCH, "cpu", 4)
    monkeypatch.setattr(features, "BATCHES", 2)
    forward, batches = features.forward, []

    def stopping(*arguments: Any) -> Any:
        batches.append(len(arguments[1].index))
        if sum(batches) > 30:
            raise Stopped
        return forward(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(features, "forward", stopping)
        with pytest.raises(Stopped):
            Gallery.build(model, folder, work=tmp_path / "work", workers=workers)
    del batches[:]
    monkeypatch.setattr(features, "forward", lambda *more: (batches.append(len(more[1].index)), forward(*more))[1])
    monkeypatch.setattr(VehicleReID, "detector", property(lambda self: pytest.fail("parts were looked for again")))
    gallery = Gallery.build(model, folder, work=tmp_path / "work", workers=workers)
    assert sum(batches) == 48 - 24  # three blocks of eight images were finished
    assert gallery.names == folder.names
    query = {name: place.path(name) for name in folder.names[:4]}
    found = gallery.search(model.embed(query, place.toy.parts), k=3)
    assert len(list((tmp_path / "work").iterdir())) == 1
    gallery.save(tmp_path / "g")
    assert list((tmp_path / "work").iterdir()) == []
    assert found["score"][found["rank"] == 1].to_numpy() == pytest.approx(1, abs=1e-5)


def test_work_needs_files_of_one_folder(model: VehicleReID, images: Images, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="work: only files of one folder"):
        Gallery.build(model, some(images, slice(0, 1)), work=tmp_path)


def test_an_index_that_cannot_be_is_refused_before_any_work(
    model: VehicleReID, images: Images, counted: list[int]
) -> None:
    with pytest.raises(UserError, match="unknown index ivq"):
        Gallery.build(model, images, index="ivq")
    assert not counted
