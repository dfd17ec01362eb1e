"""The exported network against PyTorch on real photographs, with ImageNet weights in its backbone."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional
from torchvision.transforms.functional import pil_to_tensor

from data_cache.base.pretrained import MEAN, STD
from helpers.paths import ROOT
from helpers.places.exported import load_program, needs_onnx
from reid.model.checkpoint import read_checkpoint, trained_network
from reid.publish.program import export_program
from reid.recipes import ReidRecipe
from reid.runs import BEST
from reid.training.state import save, start_state

SHARED = ROOT.parent / "shared"
PHOTOGRAPHS = SHARED / "data/khoa-vehicle-reid/images"
WEIGHTS = SHARED / "weights/mobilenet_v2_imagenet/mobilenet_v2_imagenet.pth"
SIDE, TOP_D = 128, 4
pytestmark = pytest.mark.skipif(
    not (PHOTOGRAPHS.is_dir() and WEIGHTS.is_file()), reason=f"no photographs and weights below {SHARED}"
)


@pytest.mark.parametrize("kind", ["pt2", pytest.param("onnx", marks=needs_onnx)])
def test_features_of_photographs_equal_pytorch(tmp_path: Path, kind: str) -> None:
    recipe = ReidRecipe(
        trunk="mobilenet_v2", trunk_weights=str(WEIGHTS), image_size=SIDE, parts=TOP_D, features=128, holdout=0
    )
    state = start_state(recipe, 8, "cpu")
    identity = {"kind": "re-identification", "recipe": recipe.model_dump(mode="json"), "vehicles": 8, "dataset": "own"}
    save(state, tmp_path / BEST, identity)
    checkpoint = read_checkpoint(tmp_path / BEST)
    network, run = trained_network(checkpoint), load_program(export_program(checkpoint, kind).files[0])
    files = sorted(PHOTOGRAPHS.rglob("*.jpg"))[::97][:8]
    images = torch.stack([pil_to_tensor(Image.open(file).convert("RGB").resize((SIDE, SIDE))) for file in files])
    assert len(files) == 8 and len(images.unique(dim=0)) == 8
    pixels = (images / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    boxes = torch.rand(8, TOP_D, 2, 2, generator=torch.Generator().manual_seed(0)).sort(dim=2).values.flatten(2)
    for present in (torch.ones(8, TOP_D).bool(), torch.zeros(8, TOP_D).bool(), torch.arange(32).view(8, TOP_D) % 3 > 0):
        shown = boxes * present[..., None]
        for size in (1, 8):
            inputs = {"images": images.permute(0, 2, 3, 1).contiguous(), "boxes": shown, "present": present}
            feature, attention = run({name: tensor[:size] for name, tensor in inputs.items()})
            with torch.no_grad():
                expected = network(pixels[:size], shown[:size], present[:size])
            assert functional.cosine_similarity(feature, expected.feature).min() >= 0.99999
            assert (attention - expected.attention).abs().max() <= 1e-5
