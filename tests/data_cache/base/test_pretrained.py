"""Pretrained weights: torchvision names, files, and what is refused before a download."""

from pathlib import Path

import pytest
import torch
from torchvision import models

from data_cache.base.errors import UserError
from data_cache.base.pretrained import pretrained_states


@pytest.mark.parametrize(
    ("weights", "entry"),
    [
        ("imagenet", "IMAGENET1K_V1"),
        ("IMAGENET1K_V1", "IMAGENET1K_V1"),
        ("IMAGENET1K_V2", "IMAGENET1K_V2"),
        ("ResNet50_Weights.IMAGENET1K_V2", "IMAGENET1K_V2"),
    ],
)
def test_torchvision_names_are_resolved(weights: str, entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    requested = []

    def served(self: models.ResNet50_Weights, **_: object) -> dict[str, torch.Tensor]:
        requested.append(self.name)
        return {"conv1.weight": torch.ones(1)}

    monkeypatch.setattr(models.ResNet50_Weights, "get_state_dict", served)
    assert [*pretrained_states(weights, "resnet50")[0].tensors] == ["conv1.weight"] and requested == [entry]


def test_a_file_takes_precedence_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": torch.ones(2)}, "IMAGENET1K_V1")
    assert pretrained_states("IMAGENET1K_V1", "resnet50")[0].tensors["conv1.weight"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("weights", "network", "message"),
    [
        ("VGG16_Weights.IMAGENET1K_FEATURES", "vgg16", "another normalisation; use IMAGENET1K_V1"),
        ("ResNet50_Weights.IMAGENET1K_V9", "resnet50", "not weights of resnet50; torchvision has IMAGENET1K_V1, IMAG"),
        ("absent.pth", "resnet50", "absent.pth: no such file"),
    ],
)
def test_unsuitable_weights_are_refused_before_a_download(weights: str, network: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        pretrained_states(weights, network)
