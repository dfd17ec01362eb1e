"""The exported network against PyTorch, on images with and without parts, one and several at once."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from data_cache.base.errors import UserError
from data_cache.base.pretrained import MEAN, STD
from helpers.places.exported import example_program, load_program, needs_onnx, read_metadata, run_example
from helpers.toy.vehicles import HEIGHT, TINY, WIDTH, Toy, tiny_scale
from reid.data.vehicle_images import collate, vehicle_images
from reid.model.checkpoint import Checkpoint, read_checkpoint, trained_network
from reid.publish import program as export
from reid.publish.program import agreement, compare_with_pytorch, export_program, run_in_pytorch
from reid.recipes import ReidRecipe
from reid.runs import BEST
from reid.training.state import save, start_state

RECIPES = {
    "pgan": TINY,
    "no_parts": TINY.model_copy(update={"parts": 0}),
    "pgan_no_pam": TINY.model_copy(update={"attention": "equal"}),
    "grid": TINY.model_copy(update={"attention": "grid"}),
    "baseline": TINY.model_copy(update={"attention": "none"}),
    "gem": TINY.model_copy(update={"pooling": "gem"}),
    "ibn": TINY.model_copy(update={"trunk": "resnet18_ibn_a"}),
    "mobilenet_v2": TINY.model_copy(update={"trunk": "mobilenet_v2"}),
    "flip_test": TINY.model_copy(update={"flip_test": True}),
    "flip_test_grid": TINY.model_copy(update={"flip_test": True, "attention": "grid", "image_width": 96}),
    "plus": TINY.model_copy(update={"attention": "none", "part_crops": 32, "slot_features": 8}),
    "plus_flip_test": TINY.model_copy(update={"part_crops": 32, "slot_features": 8, "flip_test": True}),
    "rectangle": TINY.model_copy(update={"image_height": 48, "image_width": 96, "hide": ("plate",)}),
}
IN_ONNX = ("pgan", "no_parts", "grid", "gem", "ibn", "mobilenet_v2", "flip_test", "plus", "rectangle")
CASES = [
    *(pytest.param((name, "pt2"), id=f"{name}-pt2") for name in RECIPES),
    *(pytest.param((name, "onnx"), id=f"{name}-onnx", marks=needs_onnx) for name in IN_ONNX),
]
BOTH_KINDS = [case for case in CASES if str(case.id).startswith("pgan-")]
Inputs = dict[str, Tensor]


class Program(NamedTuple):
    """A checkpoint, its exported file, and a function that runs the file."""

    checkpoint: Checkpoint
    path: Path
    run: Callable[[Inputs], list[Tensor]]


@pytest.fixture(autouse=True, scope="module")
def tiny() -> Iterator[None]:
    with tiny_scale():
        yield


@pytest.fixture(scope="module")
def exported(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Program]:
    """A factory of programs by recipe and kind, cached."""

    @cache
    def export(name: str, kind: str) -> Program:
        checkpoint = save_checkpoint(RECIPES[name], toy, tmp_path_factory.mktemp("run"))
        (path,) = export_program(checkpoint, kind).files
        return Program(checkpoint, path, load_program(path))

    return export


@pytest.fixture
def program(request: pytest.FixtureRequest, exported: Callable[[str, str], Program]) -> Program:
    return exported(*request.param)


def save_checkpoint(recipe: ReidRecipe, toy: Toy, folder: Path) -> Checkpoint:
    """Save a checkpoint whose batch norms have the statistics of images, without which deep features hardly differ."""
    state = start_state(recipe, 8, "cpu")
    for module in state.network.train().modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        state.network(*network_inputs(make_inputs(recipe, toy, range(8, 32))))
    identity = {"kind": "re-identification", "recipe": recipe.model_dump(mode="json"), "vehicles": 8, "dataset": "toy"}
    save(state, folder / BEST, identity)
    return read_checkpoint(folder / BEST)


def make_inputs(recipe: ReidRecipe, toy: Toy, rows: range) -> Inputs:
    """Return the inputs of a program: images and their parts; one image in seven has no part."""
    names = [toy.dataset.names()[row] for row in rows]
    options = {"top_d": recipe.parts, "size": recipe.input_size, "crop": recipe.part_crops}
    batch = collate([*vehicle_images(toy.dataset, toy.parts, names, **options)])
    inputs = {"images": batch.images.permute(0, 2, 3, 1).contiguous(), "boxes": batch.boxes}
    if recipe.part_crops:
        return {**inputs, "labels": batch.labels, "crops": batch.crops.permute(0, 1, 3, 4, 2).contiguous()}
    return {**inputs, "present": batch.labels >= 0}


def network_inputs(inputs: Inputs) -> list[Tensor]:
    """Return the inputs of the network, normalised by definition."""
    pixels = by_definition(inputs["images"])
    if "crops" not in inputs:
        return [pixels, inputs["boxes"], inputs["present"]]
    return [pixels, inputs["boxes"], inputs["labels"], torch.stack([by_definition(own) for own in inputs["crops"]])]


def by_definition(images: Tensor) -> Tensor:
    """Return images (N, H, W, 3) uint8 normalised, (N, 3, H, W)."""
    planes = images.permute(0, 3, 1, 2).float() / 255
    return torch.stack([(planes[:, channel] - MEAN[channel]) / STD[channel] for channel in range(3)], dim=1)


def without_parts(inputs: Inputs, absent: Tensor) -> Inputs:
    """Return the inputs without the parts in these slots."""
    if "labels" in inputs:
        labels = torch.where(absent, -1, inputs["labels"])
        shown = (labels >= 0)[..., None]
        return inputs | {
            "labels": labels,
            "boxes": inputs["boxes"] * shown,
            "crops": inputs["crops"] * shown[..., None, None],
        }
    present = inputs["present"] & ~absent
    return inputs | {"present": present, "boxes": inputs["boxes"] * present[..., None]}


@pytest.mark.parametrize("program", CASES, indirect=True)
def test_features_and_attention_equal_pytorch(program: Program, toy: Toy) -> None:
    recipe = program.checkpoint.recipe
    network = trained_network(program.checkpoint)
    eight = make_inputs(recipe, toy, range(8))
    slots = torch.arange(recipe.parts)
    for absent in (slots < 0, slots == 0, slots > 0, slots >= 0):
        inputs = without_parts(eight, absent)
        for size in (1, 3, 8):
            batch = {name: tensor[:size] for name, tensor in inputs.items()}
            feature, attention = program.run(batch)
            with torch.no_grad():
                expected = network.embed(*network_inputs(batch))
            assert feature.shape == (size, recipe.feature_length) and feature.dtype == torch.float32
            assert attention.shape == expected[1].shape
            cosine, difference = agreement([feature, attention], list(expected))
            assert cosine >= 0.99999 and difference <= 1e-5
            torch.testing.assert_close(feature.norm(dim=1), torch.ones(size))


def test_the_toy_set_has_images_with_and_without_parts(toy: Toy) -> None:
    counts = make_inputs(TINY, toy, range(8))["present"].sum(dim=1)
    assert set(counts.tolist()) == {0, 2}


@pytest.mark.parametrize("program", BOTH_KINDS, indirect=True)
def test_the_file_contains_its_metadata(program: Program) -> None:
    checkpoint, found = program.checkpoint, read_metadata(program.path)
    assert found["checkpoint_sha256"] == checkpoint.sha256
    assert ReidRecipe(**found["recipe"]) == checkpoint.recipe
    assert (found["kind"], found["dataset"]) == ("re-identification", "toy")
    assert (list(found["inputs"]), list(found["outputs"])) == (["images", "boxes", "present"], ["feature", "attention"])
    assert found["versions"]["torch"] == torch.__version__.split("+")[0]


def test_modules_for_training_are_removed(exported: Callable[[str, str], Program]) -> None:
    names = set(torch.export.load(exported("pgan", "pt2").path).state_dict)
    only_for_training = ("classifier", "parametrizations", "refine_global", "refine_part")
    assert not [name for name in names if any(part in name for part in only_for_training)]
    assert {"network.attention.squeeze.weight", "network.refine_fusion.0.gate.0.weight"} <= names


def test_a_program_that_differs_from_pytorch_is_not_written(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = save_checkpoint(TINY, toy, tmp_path)
    other = trained_network(save_checkpoint(TINY.model_copy(update={"seed": 1}), toy, tmp_path / "other"))
    monkeypatch.setattr(export, "run_in_pytorch", lambda network, inputs: run_in_pytorch(other, inputs))
    with pytest.raises(UserError, match=r"network\.pt2: not written, .* lowest cosine"):
        export_program(checkpoint, "pt2")
    assert list((tmp_path / "export").iterdir()) == []


@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("output", [0, 1])
def test_a_program_that_returns_nan_is_refused(toy: Toy, tmp_path: Path, count: int, output: int) -> None:
    network = trained_network(save_checkpoint(TINY, toy, tmp_path))

    def run(inputs: Mapping[str, Tensor]) -> list[Tensor]:
        outputs = run_in_pytorch(network, inputs)
        if len(inputs["images"]) == count:
            outputs[output] = torch.full_like(outputs[output], torch.nan)
        return outputs

    with pytest.raises(UserError, match=r"^p\.onnx: not written, .* nan"):
        compare_with_pytorch(Path("p.onnx"), run, network, TINY)


def test_agreement_is_that_of_the_worst_image() -> None:
    features = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    attention = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    others = [torch.tensor([[2.0, 0.0], [4.0, 3.0]]), attention + torch.tensor([[0.0, -0.125], [0.0, 0.0]])]
    assert agreement([features, attention], others) == pytest.approx((24 / 25, 0.125))
    assert agreement([features, attention[:, :0]], [features, attention[:, :0]]) == (pytest.approx(1), 0)


@needs_onnx
def test_the_onnxruntime_example_of_the_guide(
    exported: Callable[[str, str], Program], toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, path, _ = exported("pgan", "onnx")
    for name, row in (("one", 1), ("other", 2)):
        shutil.copy(toy.dataset.path(toy.dataset.names()[row]), path.with_name(f"{name}.jpg"))
    monkeypatch.chdir(path.parent)
    found = run_example(example_program("network.onnx"), imports={"numpy", "onnxruntime", "PIL"})
    inputs = make_inputs(TINY, toy, range(1, 3))
    boxes = torch.tensor([[(8, 26, 28, 46), (40, 6, 64, 22)], [(0, 0, 0, 0)] * 2]) / torch.tensor([WIDTH, HEIGHT] * 2)
    inputs |= {"boxes": boxes, "present": torch.tensor([[True, True], [False, False]])}
    with torch.no_grad():
        expected = trained_network(checkpoint)(*network_inputs(inputs))
    features = torch.stack([torch.from_numpy(found[name]) for name in ("one", "other")])
    assert agreement([features, expected.attention], [expected.feature, expected.attention])[0] >= 0.99999


def test_the_torch_example_of_the_guide(
    exported: Callable[[str, str], Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(exported("pgan", "pt2").path.parent)
    found = run_example(example_program("network.pt2"), imports={"json", "torch"})
    assert found["recipe"] == TINY.model_dump(mode="json")
    assert found["feature"].shape == (3, TINY.features) and found["attention"].shape == (3, TINY.parts)
