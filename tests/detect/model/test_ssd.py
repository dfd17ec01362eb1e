import subprocess
import sys

import pytest
import torch

from detect.model.detector import Detector
from detect.model.ssd import build_network, network_config
from detect.recipes import PRESETS
from helpers.naive.parts import in_order, unpack
from helpers.toy.annotations import TINY


@pytest.mark.parametrize("name", PRESETS)
def test_the_head_of_every_preset_has_anchors_for_each_level(name: str) -> None:
    recipe = PRESETS[name]
    head = network_config(recipe)["bbox_head"]
    anchors = head["anchor_generator"]
    assert len(head["in_channels"]) == len(anchors["strides"]) == len(anchors["ratios"]) == len(anchors["min_sizes"])
    assert anchors["min_sizes"][0] == pytest.approx(recipe.anchor_sizes[0] * recipe.input_size)


@pytest.mark.parametrize("name", ["ssd300_vgg16", "ssdlite320_mobilenetv2", "ssd320_mobilenetv2", "ssd320_resnet18"])
def test_the_grids_of_a_network_match_the_strides_of_its_recipe(name: str) -> None:
    recipe = PRESETS[name]
    network = build_network(recipe).eval()
    with torch.no_grad():
        features = network.extract_feat(torch.zeros(1, 3, recipe.input_size, recipe.input_size))
        logits, deltas = network.bbox_head(features)
    sides = [level.shape[-1] for level in logits]
    assert sides == [level.shape[-1] for level in deltas]
    expected = [recipe.input_size / stride for stride in recipe.strides]
    assert all(abs(side - wanted) < 1 for side, wanted in zip(sides, expected, strict=True))


def test_our_inference_equals_the_predictions_of_mmdetection() -> None:
    from mmengine.config import ConfigDict

    recipe = TINY.model_copy(update={"candidates": 10_000, "minimum_side": 1e-6})
    torch.manual_seed(3)
    network = build_network(recipe).eval()
    pixels = torch.randint(0, 255, (2, 96, 96, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    detector = Detector(network, recipe, "cpu")
    found = unpack(detector.detect(pixels, torch.tensor([[96, 96]] * 2).numpy()))
    head = network.bbox_head
    head.loss_cls = (
        None  # SSDHead never sets it, but `predict_by_feat` reads it (mmdetection issues 11063, 11305, 11780)
    )
    head.test_cfg = ConfigDict(
        nms_pre=recipe.candidates,
        nms={"type": "nms", "iou_threshold": recipe.nms_iou},
        min_bbox_size=0,
        score_thr=recipe.score_threshold,
        max_per_img=recipe.top_k,
    )
    meta = {"img_shape": (96, 96), "scale_factor": (1.0, 1.0)}
    with torch.no_grad():
        levels = [[level.float() for level in levels] for levels in detector.forward(detector.normalise(pixels))]
        samples = head.predict_by_feat(*levels, batch_img_metas=[meta] * 2)
    for parts, sample in zip(found, samples, strict=True):
        expected = in_order(*(sample[key].numpy() for key in ("bboxes", "scores", "labels")))
        assert len(parts.scores) == recipe.top_k
        assert torch.allclose(torch.from_numpy(parts.scores), torch.from_numpy(expected.scores), atol=1e-6)
        assert torch.allclose(torch.from_numpy(parts.boxes), torch.from_numpy(expected.boxes), atol=1e-3)
        assert parts.labels.tolist() == expected.labels.tolist()


def test_building_a_network_prints_nothing() -> None:
    code = (
        "from detect.model.ssd import build_network; from detect.recipes import PRESETS; build_network(PRESETS['demo'])"
    )
    run = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "" and run.stderr == ""
