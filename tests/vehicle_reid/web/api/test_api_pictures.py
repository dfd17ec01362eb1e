"""Pictures of enrolled images: kept with --keep-images, shown by the page, and removed with the image."""

from pathlib import Path

import pytest

from data_cache.base.errors import UserError
from helpers.places.api import ToyRun
from helpers.places.api_client import call, enrol
from helpers.places.serve import served
from vehicle_reid import Gallery
from vehicle_reid.gallery.pictures import PICTURES
from vehicle_reid.gallery.store import StoreFault
from vehicle_reid.web.site import Settings

KEEPING = Settings(keep_pictures=True)
ODD = ("../../out.jpg", "/etc/passwd", "a/b c.jpg", "ü 漢字.jpg", "." * 300, "..", ".lock")


def files_of(gallery: Gallery) -> set[Path]:
    folder = Path(gallery.store.address)
    return {path for path in folder.parent.rglob("*") if path.is_file() and "images.lance" not in path.parts}


def test_pictures_are_shown_also_after_a_restart_until_the_image_is_removed(toy_run: ToyRun, stored: Gallery) -> None:
    data = [path.read_bytes() for path in toy_run.photos()[: len(ODD)]]
    before = files_of(stored)
    with served(stored, toy_run.root, KEEPING) as page:
        vehicles = enrol(page, {f"{row}": one for row, one in enumerate(data)}, [{"name": name} for name in ODD])
        ids = {one["name"]: one["id"] for one in vehicles.json["vehicles"]}
        kept = files_of(stored) - before
        assert {path.parent for path in kept} == {Path(stored.store.address) / PICTURES}
        assert {path.read_bytes() for path in kept} == set(data)
    again = Gallery.load(stored.store.address, toy_run.model())
    with served(again, toy_run.root) as page:  # without --keep-images what was kept is shown
        for name, number in ids.items():
            photo = page.request(f"/photos/g{number}").json
            assert (photo["name"], photo["problem"]) == (name, None)
            assert page.request(f"/photos/g{number}/photo.jpg").status == 200
            assert page.request(f"/photos/g{number}/response.jpg").status == 200
        assert call(page, "/v1/vehicles/..%2F..%2Fout.jpg", "DELETE").status == 204
        page.request(f"/photos/g{ids[ODD[0]]}/photo.jpg").assert_error(404)
        new = enrol(page, {"x": data[1]}, {"name": ODD[0]}).json["vehicles"][0]["id"]
        assert "has not kept its picture" in page.request(f"/photos/g{new}").json["problem"]
    assert len(files_of(stored) - before) == len(ODD) - 1
    again.remove(ODD[1:])
    assert files_of(stored) == before


def test_an_image_of_the_api_never_shows_a_file_of_the_folder(toy_run: ToyRun, stored: Gallery) -> None:
    name = toy_run.names("train")[0]
    with served(stored, toy_run.root) as page:
        number = enrol(page, {"x": toy_run.photos()[3].read_bytes()}, {"name": name}).json["vehicles"][0]["id"]
        assert toy_run.path(name).is_file()
        page.request(f"/photos/g{number}/photo.jpg").assert_error(422, "has not kept its picture")


@pytest.mark.parametrize("fault", ["a bad image", "a full disk", "a store that fails"])
def test_nothing_is_kept_of_images_that_are_not_enrolled(
    toy_run: ToyRun, stored: Gallery, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    images = {f"{row:02}.jpg": path.read_bytes() for row, path in enumerate(toy_run.photos()[:20])}
    before, names = files_of(stored), stored.names

    def fail(*_: object) -> None:
        raise StoreFault("cars: No space left on device")

    with monkeypatch.context() as patch:
        if fault == "a bad image":
            images["99.jpg"] = b"no image"
        elif fault == "a full disk":
            writes = iter(range(17))
            write = "vehicle_reid.gallery.pictures.write_atomically"
            patch.setattr(
                write, lambda path, data: path.write_bytes(data) if next(writes, None) is not None else full()
            )
            (Path(stored.store.address) / PICTURES).mkdir()
        else:
            patch.setattr(stored.store, "add", fail)
        with served(stored, toy_run.root, KEEPING) as page:
            answer = enrol(page, images)
            if fault == "a bad image":
                answer.assert_error(415, "99.jpg")
            else:
                answer.assert_error(503, "the gallery cannot be read or written now", "No space left on device")
    assert files_of(stored) == before and stored.names == names
    with served(stored, toy_run.root, KEEPING) as page:  # the names are free again
        images.pop("99.jpg", None)
        assert enrol(page, images).status == 201
    assert len(files_of(stored) - before) == len(images)


def full() -> None:
    raise UserError("cars/pictures: cannot be written (No space left on device)")
