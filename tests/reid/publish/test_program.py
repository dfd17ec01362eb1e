"""The exported network against the one in PyTorch: pictures with and without parts, alone and eight at once."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from data_cache.base.errors import UserError
from data_cache.base.export import METADATA
from data_cache.base.pretrained import MEAN, STD
from helpers.places.exported import block_of, needs_onnx, opened, run_block
from helpers.toy.vehicles import HEIGHT, TINY, WIDTH, Toy, tiny_scale
from reid.data.vehicle_images import vehicle_images
from reid.model.checkpoint import Checkpoint, read_checkpoint, trained_network
from reid.publish import program as export
from reid.publish.program import agreement, export_program, in_pytorch
from reid.recipes import ReidRecipe
from reid.runs import BEST
from reid.training.state import save, start_state

RECIPES = {
    "pgan": TINY,
    "no_parts": TINY.model_copy(update={"parts": 0}),
    "pgan_no_pam": TINY.model_copy(update={"attention": "equal"}),
    "grid": TINY.model_copy(update={"attention": "grid"}),
    "baseline": TINY.model_copy(update={"attention": "none"}),
}
CASES = [
    *(pytest.param((name, "pt2"), id=f"{name}-pt2") for name in RECIPES),
    *(pytest.param((name, "onnx"), id=f"{name}-onnx", marks=needs_onnx) for name in ("pgan", "no_parts", "grid")),
]
BOTH_KINDS = [case for case in CASES if str(case.id).startswith("pgan-")]
Inputs = dict[str, Tensor]


class Program(NamedTuple):
    """A checkpoint, its exported file, and a call of that file by its own runtime."""

    checkpoint: Checkpoint
    path: Path
    run: Callable[[Inputs], list[Tensor]]


@pytest.fixture(autouse=True, scope="module")
def tiny() -> Iterator[None]:
    with tiny_scale():
        yield


@pytest.fixture(scope="module")
def exported(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Program]:
    """A maker of programs, each of which is made once."""

    @cache
    def export(name: str, kind: str) -> Program:
        checkpoint = saved(RECIPES[name], toy, tmp_path_factory.mktemp("run"))
        (path,) = export_program(checkpoint, kind).files
        return Program(checkpoint, path, opened(path))

    return export


@pytest.fixture
def program(request: pytest.FixtureRequest, exported: Callable[[str, str], Program]) -> Program:
    return exported(*request.param)


def saved(recipe: ReidRecipe, toy: Toy, folder: Path) -> Checkpoint:
    """A checkpoint whose batch norms have seen the pictures, so that none of them is the identity."""
    state = start_state(recipe, 8, "cpu")
    state.network.train()
    with torch.no_grad():
        for _ in range(5):
            state.network(*prepared(pictures(recipe, toy, range(8, 32))))
    identity = {"kind": "re-identification", "recipe": recipe.model_dump(mode="json"), "vehicles": 8, "dataset": "toy"}
    save(state, folder / BEST, identity)
    return read_checkpoint(folder / BEST)


def pictures(recipe: ReidRecipe, toy: Toy, rows: range) -> Inputs:
    """What a program is given: some of the pictures and their parts, of which one picture in seven has none."""
    names = [toy.dataset.names()[row] for row in rows]
    found = vehicle_images(toy.dataset, toy.parts, names, depth=recipe.parts, size=recipe.image_size)
    images, boxes, present, _ = zip(*(found[row] for row in range(len(found))), strict=True)
    return {
        "images": torch.stack(images).permute(0, 2, 3, 1).contiguous(),
        "boxes": torch.stack(boxes),
        "present": torch.stack(present),
    }


def prepared(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    """What the network is given of these inputs, from the definition of the normalisation."""
    planes = inputs["images"].permute(0, 3, 1, 2).float() / 255
    pixels = torch.stack([(planes[:, channel] - MEAN[channel]) / STD[channel] for channel in range(3)], dim=1)
    return pixels, inputs["boxes"], inputs["present"]


def without(inputs: Inputs, absent: Tensor) -> Inputs:
    """The inputs without the parts in those places."""
    present = inputs["present"] & ~absent
    return inputs | {"present": present, "boxes": inputs["boxes"] * present[..., None]}


@pytest.mark.parametrize("program", CASES, indirect=True)
def test_features_and_attention_are_pytorchs(program: Program, toy: Toy) -> None:
    recipe = program.checkpoint.recipe
    network = trained_network(program.checkpoint)
    eight = pictures(recipe, toy, range(8))
    places = torch.arange(recipe.parts)
    for inputs in (eight, without(eight, places == 0), without(eight, places > 0), without(eight, places >= 0)):
        for size in (1, 3, 8):
            batch = {name: tensor[:size] for name, tensor in inputs.items()}
            feature, attention = program.run(batch)
            with torch.no_grad():
                wanted = network(*prepared(batch))
            assert feature.shape == (size, recipe.features) and feature.dtype == torch.float32
            assert attention.shape == wanted.attention.shape
            cosine, difference = agreement([feature, attention], [wanted.feature, wanted.attention])
            assert cosine >= 0.99999 and difference <= 1e-5
            torch.testing.assert_close(feature.norm(dim=1), torch.ones(size))


@pytest.mark.parametrize("program", CASES, indirect=True)
def test_a_picture_is_the_same_alone_and_among_others(program: Program, toy: Toy) -> None:
    inputs = pictures(program.checkpoint.recipe, toy, range(8))
    together, _ = program.run(inputs)
    alone = [program.run({name: tensor[row : row + 1] for name, tensor in inputs.items()})[0] for row in range(8)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-5, atol=1e-6)
    assert (together @ together.T).fill_diagonal_(0).max() < 0.9999  # the pictures differ


def test_the_toy_has_pictures_with_and_without_parts(toy: Toy) -> None:
    counts = pictures(TINY, toy, range(8))["present"].sum(dim=1)
    assert set(counts.tolist()) == {0, 2}


@pytest.mark.parametrize("program", BOTH_KINDS, indirect=True)
def test_the_file_tells_what_it_was_made_of(program: Program) -> None:
    checkpoint, path, _ = program
    if path.suffix == ".pt2":
        told = {METADATA: ""}
        torch.export.load(path, extra_files=told)
        found = json.loads(told[METADATA])
    else:
        import onnxruntime

        found = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
        found |= {name: json.loads(found[name]) for name in ("recipe", "inputs", "outputs", "versions")}
    assert found["checkpoint_sha256"] == checkpoint.sha256
    assert ReidRecipe(**found["recipe"]) == checkpoint.recipe
    assert (found["kind"], found["dataset"]) == ("re-identification", "toy")
    assert list(found["inputs"]) == ["images", "boxes", "present"] and list(found["outputs"]) == [
        "feature",
        "attention",
    ]
    assert found["versions"]["torch"] == torch.__version__.split("+")[0]


def test_what_only_training_needs_is_left_out(exported: Callable[[str, str], Program]) -> None:
    held = set(torch.export.load(exported("pgan", "pt2").path).state_dict)
    only_for_training = ("classifier", "parametrizations", "refine_global", "refine_part")
    assert not [name for name in held if any(part in name for part in only_for_training)]
    assert {"network.attention.squeeze.weight", "network.refine_fusion.0.gate.0.weight"} <= held


def test_a_program_that_differs_is_not_written(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = saved(TINY, toy, tmp_path)
    other = trained_network(saved(TINY.model_copy(update={"seed": 1}), toy, tmp_path / "other"))
    monkeypatch.setattr(export, "in_pytorch", lambda network, inputs: in_pytorch(other, inputs))
    with pytest.raises(UserError, match=r"network\.pt2: not written, because .* cosine of"):
        export_program(checkpoint, "pt2")
    assert list((tmp_path / "export").iterdir()) == []


def test_agreement_is_of_the_worst() -> None:
    features = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    attention = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    others = [torch.tensor([[2.0, 0.0], [4.0, 3.0]]), attention + torch.tensor([[0.0, -0.125], [0.0, 0.0]])]
    assert agreement([features, attention], others) == pytest.approx((24 / 25, 0.125))
    assert agreement([features, attention[:, :0]], [features, attention[:, :0]]) == (pytest.approx(1), 0)


@needs_onnx
def test_the_guides_program_for_onnxruntime(
    exported: Callable[[str, str], Program], toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint, path, _ = exported("pgan", "onnx")
    for name, row in (("one", 1), ("other", 2)):
        shutil.copy(toy.dataset.path(toy.dataset.names()[row]), path.with_name(f"{name}.jpg"))
    monkeypatch.chdir(path.parent)
    found = run_block(block_of("network.onnx"), only={"numpy", "onnxruntime", "PIL"})
    inputs = pictures(TINY, toy, range(1, 3))
    boxes = torch.tensor([[(8, 26, 28, 46), (40, 6, 64, 22)], [(0, 0, 0, 0)] * 2]) / torch.tensor([WIDTH, HEIGHT] * 2)
    inputs |= {"boxes": boxes, "present": torch.tensor([[True, True], [False, False]])}
    with torch.no_grad():
        wanted = trained_network(checkpoint)(*prepared(inputs))
    made = torch.stack([torch.from_numpy(found[name]) for name in ("one", "other")])
    assert agreement([made, wanted.attention], [wanted.feature, wanted.attention])[0] >= 0.99999


def test_the_guides_program_for_torch(exported: Callable[[str, str], Program], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported("pgan", "pt2").path.parent)
    found = run_block(block_of("network.pt2"), only={"json", "torch"})
    assert found["recipe"] == TINY.model_dump(mode="json")
    assert found["feature"].shape == (3, TINY.features) and found["attention"].shape == (3, TINY.parts)
