import subprocess
import sys

import pytest
import torch

from detect.model.ssd import build_network, network_config, repair_head
from detect.recipes import PRESETS
from helpers.naive.parts import in_order
from helpers.toy.annotations import TINY


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_described_with_as_many_anchors_as_levels(name: str) -> None:
    recipe = PRESETS[name]
    head = network_config(recipe)["bbox_head"]
    anchors = head["anchor_generator"]
    assert len(head["in_channels"]) == len(anchors["strides"]) == len(anchors["ratios"]) == len(anchors["min_sizes"])
    assert anchors["min_sizes"][0] == pytest.approx(recipe.anchor_sizes[0] * recipe.input_size)


@pytest.mark.parametrize("name", ["ssd300_vgg16", "ssdlite320_mobilenetv2", "ssd320_resnet18"])
def test_the_network_of_a_preset_has_the_grids_that_its_strides_tell(name: str) -> None:
    recipe = PRESETS[name]
    network = build_network(recipe).eval()
    with torch.no_grad():
        logits, offsets = network.bbox_head(
            network.extract_feat(torch.zeros(1, 3, recipe.input_size, recipe.input_size))
        )
    sides = [level.shape[-1] for level in logits]
    assert sides == [level.shape[-1] for level in offsets]
    expected = [recipe.input_size / stride for stride in recipe.strides]
    assert all(abs(side - wanted) < 1 for side, wanted in zip(sides, expected, strict=True))


def test_predict_of_mmdetection_works_only_after_the_repair() -> None:
    from mmdet.structures import DetDataSample

    network = build_network(TINY).eval()
    meta = {"img_shape": (96, 96), "scale_factor": (1.0, 1.0), "ori_shape": (96, 96)}
    inputs = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    del network.bbox_head.loss_cls
    with torch.no_grad(), pytest.raises(AttributeError, match="loss_cls"):
        network.predict(inputs, [DetDataSample(metainfo=meta)])
    repair_head(network)
    with torch.no_grad():
        (sample,) = network.predict(inputs, [DetDataSample(metainfo=meta)])
    assert len(sample.pred_instances) == TINY.top_k


def test_our_inference_gives_what_mmdetection_predicts() -> None:
    from detect.model.detector import Detector

    recipe = TINY.model_copy(update={"candidates": 10_000, "minimum_side": 1e-6})
    torch.manual_seed(3)
    network = build_network(recipe).eval()
    pixels = torch.randint(0, 255, (2, 96, 96, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    detector = Detector(network, recipe, "cpu")
    found = detector.detect(pixels, torch.tensor([[96, 96]] * 2).numpy())
    meta = {"img_shape": (96, 96), "scale_factor": (1.0, 1.0)}
    with torch.no_grad():
        levels = [[level.float() for level in levels] for levels in detector.raw(detector.normalised(pixels))]
        samples = network.bbox_head.predict_by_feat(*levels, batch_img_metas=[meta] * 2)
    for parts, sample in zip(found, samples, strict=True):
        wanted = in_order(*(sample[key].numpy() for key in ("bboxes", "scores", "labels")))
        assert torch.allclose(torch.from_numpy(parts.scores), torch.from_numpy(wanted.scores), atol=1e-6)
        assert torch.allclose(torch.from_numpy(parts.boxes), torch.from_numpy(wanted.boxes), atol=1e-3)
        assert parts.labels.tolist() == wanted.labels.tolist()


def test_start_up_says_nothing() -> None:
    code = (
        "from detect.model.ssd import build_network; from detect.recipes import PRESETS; build_network(PRESETS['demo'])"
    )
    run = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "" and run.stderr == ""
