"""The exported detector gives the same parts as the detector, for any number of images."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from data_cache.base.errors import UserError
from data_cache.base.files import sha256_of_file
from data_cache.parts.names import PART_NAMES
from detect.model import export
from detect.model.detector import Detector, load_detector
from detect.model.export import export_detector, random_inputs
from detect.model.nms import PartBatch
from detect.model.ssd import build_network
from detect.model.weights import write_weights
from detect.recipes import DetectorRecipe
from helpers.naive.parts import unpack
from helpers.places.exported import example_program, load_program, needs_onnx, read_metadata, run_example

TINY = DetectorRecipe(
    architecture="ssd_resnet18",
    input_size=64,
    widen_factor=0.125,
    strides=(8, 16, 32),
    anchor_sizes=(0.1, 0.3, 0.6, 0.9),
    anchor_ratios=((2.0,),) * 3,
    candidates=60,
    top_k=5,
    score_threshold=0.87,
    epochs=1,
)
Inputs = dict[str, Tensor]


class Program(NamedTuple):
    """The weights, the exported file, and a function that runs it."""

    weights: Path
    path: Path
    run: Callable[[Inputs], list[Tensor]]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights with scores on both sides of the threshold, so that some slots stay empty."""
    path = tmp_path_factory.mktemp("detector") / "tiny" / "weights.safetensors"
    torch.manual_seed(0)
    network = build_network(TINY)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("bbox_head.cls_convs"):
                parameter.mul_(5)
    write_weights(path, network, TINY)
    return path


@pytest.fixture(scope="module", params=["pt2", pytest.param("onnx", marks=needs_onnx)])
def program(request: pytest.FixtureRequest, weights: Path) -> Program:
    exported = export_detector(weights, request.param, weights.parent)
    assert exported.weights_sha256 == sha256_of_file(weights)
    (path,) = exported.files
    assert path == weights.parent / "export" / f"detector.{request.param}"
    return Program(weights, path, load_program(path))


def float32_detector(weights: Path) -> Detector:
    return load_detector(weights, "cpu", torch.float32)


def run_detector(detector: Detector, inputs: Inputs) -> PartBatch:
    return detector.detect(inputs["images"], inputs["sizes"].numpy())


def test_parts_equal_the_detectors(program: Program) -> None:
    detector = float32_detector(program.weights)
    inputs = random_inputs(TINY, 8, seed=5)
    expected = run_detector(detector, inputs)
    assert 0.2 < (expected.labels >= 0).float().mean() < 1, "the comparison needs parts, and empty slots"
    for size in (1, 8):
        boxes, scores, labels = program.run({name: tensor[:size] for name, tensor in inputs.items()})
        assert torch.equal(labels, expected.labels[:size])
        torch.testing.assert_close(scores, expected.scores[:size], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(boxes, expected.boxes[:size], rtol=1e-4, atol=1e-2)


def test_the_file_contains_its_metadata(program: Program) -> None:
    found = read_metadata(program.path)
    assert found["kind"] == "part detector" and found["weights_sha256"] == sha256_of_file(program.weights)
    assert DetectorRecipe.model_validate(found["recipe"]) == TINY
    assert tuple(found["part_names"]) == PART_NAMES
    assert list(found["inputs"]) == ["images", "sizes"] and list(found["outputs"]) == ["boxes", "scores", "labels"]


@pytest.mark.parametrize("program", [pytest.param("onnx", marks=needs_onnx)], indirect=True)
def test_the_program_in_the_guide(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    size, inputs = (96, 72), random_inputs(TINY, 8, seed=5)
    monkeypatch.chdir(program.path.parent)
    Image.fromarray(inputs["images"][7].numpy()).resize(size).save("one.jpg", quality=95)
    found = run_example(example_program("detector.onnx"), imports={"numpy", "onnxruntime", "PIL"})["parts"]("one.jpg")
    with Image.open("one.jpg") as image:
        pixels = np.asarray(image.resize((TINY.input_size,) * 2, Image.Resampling.BILINEAR))
    inputs = {"images": torch.tensor(pixels)[None], "sizes": torch.tensor([size])}
    (expected,) = unpack(run_detector(float32_detector(program.weights), inputs))
    assert len(expected.boxes) and found.shape == expected.boxes.shape
    np.testing.assert_allclose(found, expected.boxes, atol=1e-2)


def test_a_program_that_differs_is_not_written(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BOX_TOLERANCE", -1.0)
    before = sorted(path.name for path in weights.parent.glob("export/*"))
    with pytest.raises(UserError, match=r"detector\.pt2: not written, .* only 0% of its boxes"):
        export_detector(weights, "pt2", weights.parent)
    assert sorted(path.name for path in weights.parent.glob("export/*")) == before
