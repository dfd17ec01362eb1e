"""Backbones: stride 16, pretrained weights, and weight files that are refused."""

import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from data_cache.base.errors import UserError
from data_cache.base.weights.fitting import weight_differences
from helpers.faults.attack import Attack
from helpers.toy.vehicles import one_thread
from reid.model.backbones import BACKBONES, build_backbone

CHANNELS = {"resnet18": 512, "resnet34": 512, "resnet50": 2048, "resnet101": 2048, "resnet152": 2048}
CHANNELS |= {"resnet18_ibn_a": 512, "resnet50_ibn_a": 2048, "resnet101_ibn_a": 2048, "resnet50_ibn_b": 2048}
CHANNELS |= {"mobilenet_v2": 1280}
EXPECTED = {f"{name}.weight": torch.zeros(2, 3) for name in "abcde"} | {"a.num_batches_tracked": torch.tensor(0)}


@pytest.fixture(scope="module")
def resnet18() -> models.ResNet:
    torch.manual_seed(7)
    return models.resnet18()


@pytest.mark.parametrize("name", BACKBONES)
def test_the_stride_is_16(name: str) -> None:
    backbone = build_backbone(name, None).eval()
    with torch.no_grad(), one_thread():
        assert backbone(torch.zeros(1, 3, 64, 96)).shape == (1, backbone.channels, 4, 6)
    assert backbone.channels == CHANNELS[name]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_only_the_last_stage_of_a_resnet_changes_its_stride(name: str) -> None:
    stages = [module for module in build_backbone(name, None) if isinstance(module, nn.Sequential)]
    strides = [
        {module.stride for module in stage.modules() if isinstance(module, nn.Conv2d)} - {(1, 1)} for stage in stages
    ]
    assert strides == [set(), {(2, 2)}, {(2, 2)}, set()]


def test_with_stride_1_the_pretrained_weights_still_give_their_outputs(resnet18: models.ResNet, tmp_path: Path) -> None:
    """Every second cell of the last stage's first block is a cell of the original network."""
    torch.save(resnet18.state_dict(), tmp_path / "w.pth")
    backbone, network = build_backbone("resnet18", str(tmp_path / "w.pth")).eval(), resnet18.eval()
    first_stages = nn.Sequential(*list(network.children())[:-3])
    with torch.no_grad():
        x = first_stages(torch.randn(1, 3, 64, 64))
        block, original = backbone[-1][0], network.layer4[0]
        torch.testing.assert_close(block.conv1(x)[:, :, ::2, ::2], original.conv1(x))
        torch.testing.assert_close(block.downsample(x)[:, :, ::2, ::2], original.downsample(x))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("classes", [None, 7, 1000])
def test_a_file_gives_all_weights_but_the_classifier(
    resnet18: models.ResNet, tmp_path: Path, suffix: str, classes: int | None
) -> None:
    expected = {name: value for name, value in resnet18.state_dict().items() if not name.startswith("fc.")}
    head = {} if classes is None else {"fc.weight": torch.zeros(classes, 512), "fc.bias": torch.zeros(classes)}
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(expected | head, path)
    loaded = build_backbone("resnet18", str(path)).state_dict().values()
    assert all(torch.equal(found, value) for found, value in zip(loaded, expected.values(), strict=True))


@pytest.mark.parametrize(
    ("wrapper", "prefix", "line"),
    [
        ("state_dict", "module.encoder_q.", "took `state_dict`, prefix `module.encoder_q.` removed"),
        ("model", "backbone.", "took `model`, prefix `backbone.` removed"),
        ("", "base.", "prefix `base.` removed"),
        ("net", "", "took `net`"),
        ("", "", None),
    ],
)
def test_a_wrapped_file_gives_the_same_backbone_and_one_line(
    resnet18: models.ResNet,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    wrapper: str,
    prefix: str,
    line: str | None,
) -> None:
    state = {prefix + name: value for name, value in resnet18.state_dict().items()}
    torch.save({wrapper: state, "best_acc": np.float64(0.8), "epoch": 3} if wrapper else state, tmp_path / "w.pth")
    with caplog.at_level(logging.INFO):
        backbone = build_backbone("resnet18", str(tmp_path / "w.pth"))
    assert torch.equal(backbone[0].weight, resnet18.conv1.weight)
    assert torch.equal(backbone[-1][1].conv2.weight, resnet18.layer4[1].conv2.weight)
    assert caplog.messages == ([f"{tmp_path}/w.pth: {line}"] if line else [])


def test_weights_of_an_old_torch_without_counters_are_read(resnet18: models.ResNet, tmp_path: Path) -> None:
    state = {name: value for name, value in resnet18.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "w.pth")
    assert torch.equal(build_backbone("resnet18", str(tmp_path / "w.pth"))[0].weight, resnet18.conv1.weight)


def test_weights_of_another_network_are_refused(resnet18: models.ResNet, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(resnet18.state_dict(), path)
    for other in ("resnet34", "resnet50", "mobilenet_v2"):
        with pytest.raises(UserError, match=rf"w\.pth: not the weights of {other}: \d+ missing, first"):
            build_backbone(other, str(path))


def test_state_dicts_that_agree_have_no_differences() -> None:
    assert weight_differences(EXPECTED, EXPECTED) is None
    found = {name: value + 1 for name, value in reversed(EXPECTED.items()) if not name.endswith("tracked")}
    assert weight_differences(found, EXPECTED) is None


def test_differences_are_counted_by_kind_with_the_first_three_names() -> None:
    found = {"x.weight": torch.zeros(1), "e.weight": torch.zeros(3, 2), "a.num_batches_tracked": torch.zeros(1)}
    assert weight_differences(found, EXPECTED) == (
        "4 missing, first a.weight, b.weight, c.weight; 1 unexpected, first x.weight; "
        "2 of another shape, first e.weight (3, 2) for (2, 3), a.num_batches_tracked (1,) for ()"
    )


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "x" * 5000, "a\u2028b"])
def test_strange_names_are_escaped_and_cut(name: str) -> None:
    differences = weight_differences({**EXPECTED, name: torch.zeros(1)}, EXPECTED)
    assert differences is not None and differences.startswith("1 unexpected, first ")
    assert differences.isprintable() and len(differences) < 200


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80",
        b"no weights at all",
        b"PK\x03\x04 cut short",
        *(pickle.dumps(value, protocol=2) for value in ({"a": 1}, [1, 2])),
    ],
    ids=["empty", "one byte", "text", "zip", "pickle", "list"],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_without_weights_is_refused_in_one_line(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        build_backbone("resnet18", str(path))
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [[torch.zeros(1)], {"a": "text"}, {0: torch.zeros(1)}, torch.zeros(3), {}])
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, value: object) -> None:
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth"):
        build_backbone("resnet18", str(tmp_path / "w.pth"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UserError, match="no such file"):
        build_backbone("resnet18", str(tmp_path / f"absent{suffix}"))
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(UserError, match="folder"):
        build_backbone("resnet18", str(tmp_path / f"folder{suffix}"))


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(
    tmp_path: Path, write: Callable[[object, Path], object]
) -> None:
    path, trace = tmp_path / "w.pth", tmp_path / "trace"
    write({"conv1.weight": torch.zeros(1), "epoch": Attack(trace)}, path)
    with pytest.raises(UserError, match=r"w\.pth: cannot be read as weights"):
        build_backbone("resnet18", str(path))
    assert not trace.exists()
    pickle.loads(pickle.dumps(Attack(trace)))  # a plain pickle would have run it
    assert trace.exists()


def test_weights_that_cannot_be_downloaded_are_refused_with_two_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", offline)
    with pytest.raises(UserError, match=r"no route to host.*trunk_weights=FILE.*trunk_weights=null"):
        build_backbone("resnet18", "imagenet")
