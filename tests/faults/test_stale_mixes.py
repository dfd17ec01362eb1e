"""Files that do not belong together: every mixture is refused, with the difference, before anything is computed."""

import dataclasses
import shlex
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

from data_cache.base.errors import UserError
from data_cache.base.files import read_json
from data_cache.base.tensors import load_tensors, save_tensors
from data_cache.parts.cache import write_parts
from data_cache.parts.verification import require_dataset
from helpers.places.reid import ONE_EPOCH, Place, assert_error
from helpers.toy.features import batch_sizes, extracted, source_of
from helpers.toy.vehicles import TINY_HOLDOUT, TINY_OPTIONS, Toy
from reid.data.vehicle_images import require_size
from reid.runs import LAST, PREVIOUS
from reid.training.train import train

pytestmark = pytest.mark.usefixtures("tiny")
FEW = ("--set", "vehicles_per_batch=3")  # the small set has no more
RESIZED = "120 x 80 pixels, 96 x 72 when its parts were detected"
REMEDY = "delete the part cache and run `python cli.py detect` again"


@pytest.fixture
def own_place(own_toy: Toy, tmp_path: Path) -> Place:
    """A data set that the test may change, its part cache, and the commands on them."""
    return Place(own_toy, tmp_path / "runs")


def resize(path: Path) -> Path:
    """Replace an image by one of another size."""
    Image.new("RGB", (120, 80), (0, 200, 90)).save(path)
    return path


def training_image(toy: Toy) -> Path:
    table = toy.dataset.table
    return toy.dataset.root / str(max(table["name"][table["split"] == "train"]))


def trained(place: Place) -> Path:
    return place.train("--recipe", "pgan", *FEW)


def evaluated(place: Place) -> Result:
    return place("evaluate", "--recipe", "pgan")


def write_boxes(place: Place, name: str = "folder/parts.h5", **changes: object) -> Path:
    """Write the part cache of the set with another fingerprint; return its path."""
    fingerprint = {**place.toy.parts.fingerprint, **changes}
    write_parts(place.runs / name, dataclasses.replace(place.toy.parts, fingerprint=fingerprint))
    return place.runs / name


def located(words: str, place: Place) -> str:
    """Return a message whose command names data set, data root and runs as the running one was given them."""
    where = shlex.join(["--dataset", "folder", "--data-root", str(place.toy.dataset.root), "--runs", str(place.runs)])
    before, command, after = words.split("`")
    return f"{before}`{command} {where}`{after}"


def test_training_refuses_an_image_resized_since_detection(own_place: Place) -> None:
    resized = resize(training_image(own_place.toy))
    result = own_place("train", "--recipe", "pgan", *ONE_EPOCH, *FEW)
    assert_error(result, 1, f"{resized}: {RESIZED}", located(REMEDY, own_place))


def test_training_on_decoded_images_refuses_it_before_the_first_batch(own_toy: Toy, tmp_path: Path) -> None:
    recipe = TINY_HOLDOUT.model_copy(update={"holdout": 0.0, "vehicles_per_batch": 3})
    resized = resize(training_image(own_toy))
    with pytest.raises(UserError, match=f"{resized}: {RESIZED}"):
        train(recipe, *own_toy, tmp_path / "run", device="cpu", workers=0, decoded=tmp_path / "d.safetensors")
    assert not list((tmp_path / "run").glob("*.safetensors"))


@pytest.mark.parametrize("workers", [0, 1])
def test_feature_extraction_refuses_it(own_toy: Toy, tmp_path: Path, workers: int) -> None:
    resized = resize(own_toy.dataset.root / source_of(own_toy).names[2])
    with pytest.raises(UserError, match=rf"^{resized}: 120 x 80 pixels, .*{REMEDY}$"):
        extracted(own_toy, tmp_path / "f.safetensors", workers=workers)
    assert not (tmp_path / "f.safetensors").exists()


def test_an_image_of_unknown_stored_size_may_have_any(own_toy: Toy, tmp_path: Path) -> None:
    require_size(tmp_path, (1, 1), 0 * own_toy.parts.image_size[0])


def test_features_of_replaced_images_are_extracted_again(
    own_toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.safetensors"
    before = extracted(own_toy, path)
    Image.new("RGB", (96, 72), (0, 200, 90)).save(own_toy.dataset.root / source_of(own_toy).names[1])
    sizes = batch_sizes(monkeypatch)
    after = extracted(own_toy, path)
    assert sum(sizes) == len(source_of(own_toy).names) and (after.matrix[1] != before.matrix[1]).any()
    assert after.provenance["files"] != before.provenance["files"]


def test_finished_features_need_no_images(own_toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    before = extracted(own_toy, path)
    shutil.rmtree(own_toy.dataset.root / "images")
    assert (extracted(own_toy, path).matrix == before.matrix).all()


def test_a_checkpoint_of_another_dataset_is_not_evaluated(own_place: Place) -> None:
    best = trained(own_place)
    other = own_place.toy.dataset.root / "other.csv"
    shutil.copy(own_place.toy.dataset.root / "images.csv", other)
    shutil.copytree(best.parents[1], own_place.runs / "other")
    result = own_place("evaluate", "--dataset", str(other), "--recipe", "pgan")
    moved = own_place.runs / "other" / "pgan" / best.name
    assert_error(result, 1, f"{moved}: made with dataset = folder, this run needs other; run `python cli.py train")
    assert evaluated(own_place).exit_code == 0


def test_boxes_of_another_detector_are_scored_only_if_named(own_place: Place) -> None:
    best = trained(own_place)
    write_boxes(own_place, detector="better")
    words = "made with parts.detector = painted, this run needs better; name its own boxes by --parts"
    for command in ("evaluate", "features"):
        assert_error(own_place(command, "--recipe", "pgan"), 1, f"{best}: {words}")
    better = write_boxes(own_place, "better.h5", detector="better")
    result = own_place("evaluate", "--recipe", "pgan", "--parts", str(better))
    assert result.exit_code == 0, result.output
    metrics = read_json(best.parent / "test" / "metrics.json")
    assert metrics["parts"] == {**own_place.toy.parts.fingerprint, "detector": "better"}


def test_other_images_and_package_versions_are_not_another_detector(own_place: Place) -> None:
    best = trained(own_place)
    before = best.read_bytes()
    write_boxes(own_place, files_sha256="of one image more")
    assert trained(own_place) == best and best.read_bytes() == before
    write_boxes(own_place, names_sha256="0", versions={"torch": "9"}, files_sha256="1")
    assert evaluated(own_place).exit_code == 0


def test_a_network_trained_on_boxes_of_the_ablation_is_not_evaluated(own_place: Place) -> None:
    write_boxes(own_place, control={"boxes": "rarest"})
    trained(own_place)
    words = "was trained on boxes that the ablation chose; `ablate` scores it"
    assert_error(evaluated(own_place), 1, words)


def test_training_does_not_overwrite_imported_weights(own_place: Place) -> None:
    train = ("train", "--recipe", "pgan", *TINY_OPTIONS, "--set", "epochs=2", *FEW)
    best = Path(own_place(*train).stdout.strip())
    for name in (LAST, PREVIOUS):
        (best.parent / name).unlink(missing_ok=True)
    tensors, metadata, _ = load_tensors(best, "")
    assert Path(own_place(*train).stdout.strip()) == best
    assert not (best.parent / LAST).exists()  # `clean` leaves such a run: it is finished
    save_tensors(best, tensors, {**metadata, "source": {"file": "model_best.pth"}})
    before = best.read_bytes()
    result = own_place(*train)
    assert_error(result, 1, f"{best}: made with source = ", "delete ", "another --name")
    assert best.read_bytes() == before


def test_a_part_cache_of_a_shorter_list_is_refused_with_the_first_new_image(own_place: Place) -> None:
    root = own_place.toy.dataset.root
    shutil.copy(training_image(own_place.toy), root / "images" / "new.jpg")
    with (root / "images.csv").open("a") as table:
        table.write("images/new.jpg,v00,0,train\n")
    result = own_place("train", "--recipe", "pgan", *ONE_EPOCH, *FEW)
    words = "1 images are not in it, first images/new.jpg; run `python cli.py detect` again"
    assert_error(result, 1, located(words, own_place))


@pytest.mark.parametrize(
    ("made_with", "accepted"),
    [("vehicleid", False), ("veri", True), (None, True), ("photographs", True)],  # a CSV may list the same images
)
def test_a_part_cache_of_another_benchmark_is_refused(
    toy: Toy, tmp_path: Path, made_with: str | None, accepted: bool
) -> None:
    parts = dataclasses.replace(toy.parts, fingerprint={"dataset": made_with})
    veri = dataclasses.replace(toy.dataset, name="veri", argument="veri")
    if accepted:
        require_dataset(parts, veri, tmp_path / "parts.h5")
    else:
        words = r"parts\.h5: made with dataset = vehicleid, this run needs veri; run `python cli\.py detect --dataset v"
        with pytest.raises(UserError, match=words):
            require_dataset(parts, veri, tmp_path / "parts.h5")
