"""The exported detector against the detector itself: the same parts, in the same places, in any number of images."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from data_cache.base.errors import UserError
from data_cache.base.export import METADATA
from data_cache.base.files import sha256_of_file
from data_cache.parts.names import PART_NAMES
from detect.model import export
from detect.model.detector import Detector, load_detector
from detect.model.export import export_detector, random_inputs
from detect.model.nms import PartBatch
from detect.model.ssd import build_network
from detect.model.weights import write_weights
from detect.recipes import DetectorRecipe
from helpers.places.exported import block_of, needs_onnx, opened, run_block

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
    """The weights, their exported file, and a call of that file by its own runtime."""

    weights: Path
    path: Path
    run: Callable[[Inputs], list[Tensor]]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights with scores on both sides of the threshold, so that some places stay empty."""
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
    found = export_detector(weights, request.param)
    assert found.weights_sha256 == sha256_of_file(weights)
    (path,) = found.files
    assert path == weights.parent / "export" / f"detector.{request.param}"
    return Program(weights, path, opened(path))


def in_float32(weights: Path) -> Detector:
    detector = load_detector(weights, "cpu")
    detector.number_type = torch.float32
    return detector


def found_by(detector: Detector, inputs: Inputs) -> PartBatch:
    return detector.find(inputs["images"], inputs["sizes"].numpy())


def test_parts_are_the_detectors(program: Program) -> None:
    detector = in_float32(program.weights)
    inputs = random_inputs(TINY, 8, seed=5)
    wanted = found_by(detector, inputs)
    found_at_all = (wanted.labels >= 0).float().mean()
    assert 0.2 < found_at_all < 1, "the comparison needs parts, and empty places"
    for size in (1, 8):
        boxes, scores, labels = program.run({name: tensor[:size] for name, tensor in inputs.items()})
        assert torch.equal(labels, wanted.labels[:size])
        torch.testing.assert_close(scores, wanted.scores[:size], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(boxes, wanted.boxes[:size], rtol=1e-4, atol=1e-2)


def test_the_file_tells_what_it_was_made_of(program: Program) -> None:
    if program.path.suffix == ".pt2":
        told = {METADATA: ""}
        torch.export.load(program.path, extra_files=told)
        found = json.loads(told[METADATA])
    else:
        import onnxruntime

        found = onnxruntime.InferenceSession(program.path).get_modelmeta().custom_metadata_map
        found |= {name: json.loads(found[name]) for name in ("recipe", "part_names", "inputs", "outputs")}
    assert found["kind"] == "part detector" and found["weights_sha256"] == sha256_of_file(program.weights)
    assert DetectorRecipe.model_validate(found["recipe"]) == TINY
    assert tuple(found["part_names"]) == PART_NAMES
    assert list(found["inputs"]) == ["images", "sizes"] and list(found["outputs"]) == ["boxes", "scores", "labels"]


@pytest.mark.parametrize("program", [pytest.param("onnx", marks=needs_onnx)], indirect=True)
def test_the_guides_program(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    size, inputs = (96, 72), random_inputs(TINY, 8, seed=5)
    monkeypatch.chdir(program.path.parent)
    Image.fromarray(inputs["images"][7].numpy()).resize(size).save("one.jpg", quality=95)
    found = run_block(block_of("detector.onnx"), only={"numpy", "onnxruntime", "PIL"})["parts"]("one.jpg")
    with Image.open("one.jpg") as image:
        pixels = np.asarray(image.resize((TINY.input_size,) * 2, Image.Resampling.BILINEAR))
    inputs = {"images": torch.tensor(pixels)[None], "sizes": torch.tensor([size])}
    (wanted,) = found_by(in_float32(program.weights), inputs).split()
    assert len(wanted) and found.shape == wanted.boxes.shape
    np.testing.assert_allclose(found, wanted.boxes, atol=1e-2)


def test_a_program_that_differs_is_not_written(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PIXELS", -1.0)
    before = sorted(path.name for path in weights.parent.glob("export/*"))
    with pytest.raises(UserError, match=r"detector\.pt2: not written, .* 0% of its boxes"):
        export_detector(weights, "pt2")
    assert sorted(path.name for path in weights.parent.glob("export/*")) == before


def test_the_detector_finds_what_it_found_before(weights: Path) -> None:
    """Its steps are shared with the program: pieces of a batch give what one image gives."""
    detector = in_float32(weights)
    inputs = random_inputs(TINY, 6, seed=1)
    together = found_by(detector, inputs)
    for row in range(6):
        alone = found_by(detector, {name: tensor[row : row + 1] for name, tensor in inputs.items()})
        torch.testing.assert_close(alone.boxes[0], together.boxes[row], rtol=1e-4, atol=1e-2)
        assert torch.equal(alone.labels[0], together.labels[row])
