"""Files that do not belong together: each mixture is refused with what differs, before a figure comes of it."""

import dataclasses
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.base.files import read_json
from data_cache.base.tensors import load_tensors, save_tensors
from data_cache.datasets.dataset import Dataset
from data_cache.parts.cache import write_parts
from data_cache.parts.verification import require_dataset
from helpers.places.reid import ONE_EPOCH, Place, assert_error
from helpers.toy.features import batch_sizes, extracted, source_of
from helpers.toy.vehicles import TINY_HOLDOUT, Toy
from reid.data.vehicle_images import require_size
from reid.runs import LAST, PREVIOUS
from reid.training.train import train

pytestmark = pytest.mark.usefixtures("tiny")
FEW = ("--set", "vehicles_per_batch=3")  # the small set has no more
LARGER = (120, 80)  # the toy set's pictures have 96 x 72 pixels
REMEDY = "delete the part cache and run `python cli.py detect` again"


@pytest.fixture
def own_place(own_toy: Toy, tmp_path: Path) -> Place:
    """A set whose files the test may change, its part cache, and the commands on them."""
    return Place(own_toy, tmp_path / "runs")


def enlarge(path: Path) -> Path:
    """Put a picture of another size in the place of one."""
    Image.new("RGB", LARGER, (0, 200, 90)).save(path)
    return path


def image_of(toy: Toy, split: str) -> Path:
    table = toy.dataset.table
    return toy.dataset.root / sorted(table["name"][table["split"] == split])[-1]


def test_training_refuses_an_image_of_another_size_than_its_boxes_were_found_on(own_place: Place) -> None:
    replaced = enlarge(image_of(own_place.toy, "train"))
    result = own_place("train", "--recipe", "pgan", *ONE_EPOCH, *FEW)
    assert_error(result, 1, f"{replaced}: 120 x 80 pixels, 96 x 72 when its parts were detected", REMEDY)


def test_training_on_decoded_images_refuses_it_before_the_first_batch(own_toy: Toy, tmp_path: Path) -> None:
    recipe = TINY_HOLDOUT.model_copy(update={"holdout": 0.0, "vehicles_per_batch": 3})
    replaced = enlarge(image_of(own_toy, "train"))
    with pytest.raises(UserError, match=rf"{replaced}: 120 x 80 pixels, 96 x 72 when its parts were detected"):
        train(recipe, *own_toy, tmp_path / "run", device="cpu", workers=0, decoded=tmp_path / "d.safetensors")
    assert not list((tmp_path / "run").glob("*.safetensors"))


@pytest.mark.parametrize("workers", [0, 1])
def test_features_refuse_it_too(own_toy: Toy, tmp_path: Path, workers: int) -> None:
    replaced = enlarge(own_toy.dataset.root / source_of(own_toy).names[2])
    with pytest.raises(UserError, match=rf"^{replaced}: 120 x 80 pixels, .*{REMEDY}$"):
        extracted(own_toy, tmp_path / "f.safetensors", workers=workers)
    assert not (tmp_path / "f.safetensors").exists()


def test_an_image_whose_size_no_one_told_may_have_any(own_toy: Toy, tmp_path: Path) -> None:
    stored = own_toy.parts.image_size[0]
    require_size(tmp_path, (96, 72), stored)
    require_size(tmp_path, (1, 1), 0 * stored)


def test_features_of_images_that_were_replaced_are_not_up_to_date(
    own_toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are told by their size in bytes: a picture of as many bytes would go unseen."""
    path = tmp_path / "f.safetensors"
    before = extracted(own_toy, path)
    replaced = own_toy.dataset.root / source_of(own_toy).names[1]
    Image.new("RGB", (96, 72), (0, 200, 90)).save(replaced)
    sizes = batch_sizes(monkeypatch)
    after = extracted(own_toy, path)
    assert sum(sizes) == len(source_of(own_toy).names) and (after.matrix[1] != before.matrix[1]).any()
    assert after.provenance["files"] != before.provenance["files"]


def test_features_are_scored_where_their_images_no_longer_lie(own_toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    before = extracted(own_toy, path)
    shutil.rmtree(own_toy.dataset.root / "images")
    assert (extracted(own_toy, path).matrix == before.matrix).all()


def trained_run(place: Place) -> Path:
    return place.train("--recipe", "pgan", *FEW)


def evaluated(place: Place) -> Result:
    return place("evaluate", "--recipe", "pgan")


def test_a_checkpoint_of_another_data_set_is_not_evaluated(own_place: Place) -> None:
    best = trained_run(own_place)
    other = own_place.toy.dataset.root / "other.csv"
    shutil.copy(own_place.toy.dataset.root / "images.csv", other)
    shutil.copytree(best.parents[1], own_place.runs / "other")
    result = own_place("evaluate", "--dataset", str(other), "--recipe", "pgan")
    moved = own_place.runs / "other" / "pgan" / best.name
    assert_error(result, 1, f"{moved}: made with dataset = folder, this run needs other; run `python cli.py train")
    assert evaluated(own_place).exit_code == 0


def with_boxes_of(place: Place, path: Path, **told: object) -> None:
    """Write the toy's boxes as a cache that tells something else of itself."""
    fingerprint = {**place.toy.parts.fingerprint, **told}
    write_parts(path, dataclasses.replace(place.toy.parts, fingerprint=fingerprint))


def test_boxes_of_another_detector_than_the_networks_are_scored_only_when_named(own_place: Place) -> None:
    best = trained_run(own_place)
    with_boxes_of(own_place, own_place.runs / "folder" / "parts.h5", detector="better")
    words = "made with parts.detector = painted, this run needs better; name its own boxes by --parts"
    for command in ("evaluate", "features"):
        assert_error(own_place(command, "--recipe", "pgan"), 1, f"{best}: {words}")
    with_boxes_of(own_place, own_place.runs / "better.h5", detector="better")
    result = own_place("evaluate", "--recipe", "pgan", "--parts", str(own_place.runs / "better.h5"))
    assert result.exit_code == 0, result.output
    metrics = read_json(best.parent / "test" / "metrics.json")
    assert metrics["parts"] == {**own_place.toy.parts.fingerprint, "detector": "better"}


def test_other_images_and_packages_are_no_other_detector(own_place: Place) -> None:
    trained_run(own_place)
    told: dict[str, object] = {"names_sha256": "0", "versions": {"torch": "9"}, "files_sha256": "1"}
    with_boxes_of(own_place, own_place.runs / "folder" / "parts.h5", **told)
    assert evaluated(own_place).exit_code == 0


def test_an_image_that_was_mended_leaves_a_training_what_it_was(own_place: Place) -> None:
    best = trained_run(own_place)
    before = best.read_bytes()
    with_boxes_of(own_place, own_place.runs / "folder" / "parts.h5", files_sha256="of one image more")
    assert trained_run(own_place) == best and best.read_bytes() == before
    assert evaluated(own_place).exit_code == 0


def test_a_network_of_boxes_that_the_ablation_chose_is_left_to_it(own_place: Place) -> None:
    path = own_place.runs / "folder" / "parts.h5"
    with_boxes_of(own_place, path, control={"boxes": "rarest"})
    trained_run(own_place)
    assert_error(
        evaluated(own_place), 1, "was trained on boxes that the ablation chose; `python cli.py ablate` scores it"
    )


def test_training_spares_a_best_epoch_that_it_did_not_make(own_place: Place) -> None:
    """Imported or exported weights, put where a run's best epoch lies."""
    best = trained_run(own_place)
    for name in (LAST, PREVIOUS):
        (best.parent / name).unlink(missing_ok=True)
    tensors, metadata, _ = load_tensors(best, "")
    assert own_place.train("--recipe", "pgan", *FEW) == best  # its own: begun anew
    (best.parent / LAST).unlink()
    save_tensors(best, tensors, {**metadata, "source": {"file": "model_best.pth"}})
    before = best.read_bytes()
    result = own_place("train", "--recipe", "pgan", *ONE_EPOCH, *FEW)
    assert_error(result, 1, f"{best}: made with source = ", "delete ", "--parts for the boxes")
    assert best.read_bytes() == before


def test_a_list_that_has_grown_is_told_with_the_first_image_that_is_new(own_place: Place) -> None:
    root = own_place.toy.dataset.root
    shutil.copy(image_of(own_place.toy, "train"), root / "images" / "new.jpg")
    with (root / "images.csv").open("a") as table:
        table.write("images/new.jpg,v00,0,train\n")
    result = own_place("train", "--recipe", "pgan", *ONE_EPOCH, *FEW)
    assert_error(result, 1, "1 images are not in it, first images/new.jpg; run `python cli.py detect` again")


def test_a_cache_of_another_of_the_named_data_sets_is_refused(toy: Toy, tmp_path: Path) -> None:
    def of(name: str | None) -> object:
        made = dataclasses.replace(toy.parts, fingerprint={"dataset": name})
        return require_dataset(made, named, tmp_path / "parts.h5")

    named: Dataset = dataclasses.replace(toy.dataset, name="veri")
    words = r"parts\.h5: made with dataset = vehicleid, this run needs veri; run `python cli\.py detect --dataset veri`"
    with pytest.raises(UserError, match=words):
        of("vehicleid")
    for name in ("veri", None, "photographs"):  # an import that does not say; a CSV may list the very same images
        of(name)
