"""Trunks: stride 16, weights that arrive where they belong, and files that are refused by name and never run."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from data_cache.base.errors import UserError
from helpers.faults.attack import Attack
from helpers.toy.vehicles import one_thread
from reid.model.backbones import TRUNKS, Trunk, build_trunk

CHANNELS = {"resnet18": 512, "resnet34": 512, "resnet50": 2048, "resnet101": 2048, "resnet152": 2048}
CHANNELS |= {"mobilenet_v2": 1280}


@pytest.fixture(scope="module")
def resnet18() -> models.ResNet:
    torch.manual_seed(7)
    return models.resnet18()


@pytest.mark.parametrize("name", CHANNELS)
def test_the_stride_is_16(name: str) -> None:
    trunk = build_trunk(name, None).eval()
    with torch.no_grad(), one_thread():
        assert trunk(torch.zeros(1, 3, 64, 96)).shape == (1, trunk.channels, 4, 6)
    assert trunk.channels == CHANNELS[name]


def test_every_trunk_is_tested() -> None:
    assert set(TRUNKS) == set(CHANNELS)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_resnets_last_stage_has_stride_1_and_the_others_their_own(name: str) -> None:
    trunk = build_trunk(name, None)
    stages = [module for module in trunk if isinstance(module, nn.Sequential)]
    strides = [
        {module.stride for module in stage.modules() if isinstance(module, nn.Conv2d)} - {(1, 1)} for stage in stages
    ]
    assert strides == [set(), {(2, 2)}, {(2, 2)}, set()]


def test_weights_of_the_last_stage_serve_the_undone_stride(resnet18: models.ResNet, tmp_path: Path) -> None:
    """Every second cell that the last stage's first block computes is a cell of the network as it was trained."""
    torch.save(resnet18.state_dict(), tmp_path / "w.pth")
    trunk, network = build_trunk("resnet18", str(tmp_path / "w.pth")).eval(), resnet18.eval()
    plain = nn.Sequential(*list(network.children())[:-3])
    with torch.no_grad():
        before = plain(torch.randn(1, 3, 64, 64))
        inner, whole = trunk[-1][0].conv1(before), network.layer4[0].conv1(before)
        torch.testing.assert_close(inner[:, :, ::2, ::2], whole)
        shortcut, whole = trunk[-1][0].downsample(before), network.layer4[0].downsample(before)
        torch.testing.assert_close(shortcut[:, :, ::2, ::2], whole)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file(resnet18: models.ResNet, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(resnet18.state_dict(), path)
    loaded = list(build_trunk("resnet18", str(path)).state_dict().values())
    wanted = [value for name, value in resnet18.state_dict().items() if not name.startswith("fc.")]
    assert len(loaded) == len(wanted)
    assert all(torch.equal(found, value) for found, value in zip(loaded, wanted, strict=True))


@pytest.mark.parametrize("classes", [None, 7])
def test_the_classifier_of_a_file_does_not_matter(resnet18: models.ResNet, tmp_path: Path, classes: int | None) -> None:
    state = {name: value for name, value in resnet18.state_dict().items() if not name.startswith("fc.")}
    if classes is not None:
        state |= {"fc.weight": torch.zeros(classes, 512), "fc.bias": torch.zeros(classes)}
    torch.save(state, tmp_path / "w.pth")
    assert torch.equal(build_trunk("resnet18", str(tmp_path / "w.pth"))[0].weight, resnet18.conv1.weight)


def test_another_networks_weights_are_refused(resnet18: models.ResNet, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(resnet18.state_dict(), path)
    for other in ("resnet34", "resnet50", "mobilenet_v2"):
        with pytest.raises(UserError, match=rf"w\.pth: not the weights of {other}"):
            build_trunk(other, str(path))
    torch.save({f"module.{name}": value for name, value in resnet18.state_dict().items()}, path)
    with pytest.raises(
        UserError, match=r"w\.pth: not the weights of resnet18: 100 missing, first conv1\.weight, bn1\."
    ):
        build_trunk("resnet18", str(path))


def test_what_differs_is_counted_and_named_by_kind(resnet18: models.ResNet, tmp_path: Path) -> None:
    state = resnet18.state_dict() | {"extra.weight": torch.zeros(1), "conv1.weight": torch.zeros(64, 4, 7, 7)}
    for name in ("bn1.bias", "layer1.0.conv1.weight", "layer1.0.conv2.weight", "layer4.1.conv2.weight"):
        del state[name]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError) as caught:
        build_trunk("resnet18", str(tmp_path / "w.pth"))
    assert str(caught.value) == (
        f"{tmp_path / 'w.pth'}: not the weights of resnet18: "
        "4 missing, first bn1.bias, layer1.0.conv1.weight, layer1.0.conv2.weight; 1 unexpected, first extra.weight; "
        "1 of another shape, first conv1.weight (64, 4, 7, 7) for (64, 3, 7, 7)"
    )


def test_weights_of_an_old_torch_have_no_counters(resnet18: models.ResNet, tmp_path: Path) -> None:
    state = {name: value for name, value in resnet18.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "w.pth")
    assert torch.equal(build_trunk("resnet18", str(tmp_path / "w.pth"))[0].weight, resnet18.conv1.weight)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80",
        b"no weights at all",
        b"PK\x03\x04 cut short",
        pickle.dumps({"a": 1}, protocol=2),
        pickle.dumps([1, 2], protocol=2),
    ],
    ids=["empty", "one byte", "text", "zip", "pickle", "list"],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_something_else_is_refused_in_one_line(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        build_trunk("resnet18", str(path))
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [[torch.zeros(1)], {"a": "text"}, {0: torch.zeros(1)}, torch.zeros(3), {}])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, value: object) -> None:
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth"):
        build_trunk("resnet18", str(tmp_path / "w.pth"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_no_file_and_a_folder_are_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UserError, match="no such file"):
        build_trunk("resnet18", str(tmp_path / f"absent{suffix}"))
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(UserError, match="folder"):
        build_trunk("resnet18", str(tmp_path / f"folder{suffix}"))


@pytest.mark.parametrize("write", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path, write: object) -> None:
    path, trace = tmp_path / "w.pth", tmp_path / "trace"
    write({"conv1.weight": Attack(trace)}, path)  # type: ignore[operator]
    with pytest.raises(UserError, match=r"w\.pth: cannot be read as weights"):
        build_trunk("resnet18", str(path))
    assert not trace.exists()
    pickle.loads(pickle.dumps(Attack(trace)))  # the attack itself is sound
    assert trace.exists()


def test_weights_that_cannot_be_downloaded_tell_the_two_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(models.ResNet18_Weights, "get_state_dict", offline)
    with pytest.raises(UserError, match=r"no route to host.*trunk_weights=FILE.*trunk_weights=null"):
        build_trunk("resnet18", "imagenet")


def test_a_trunk_wraps_any_layers() -> None:
    trunk = Trunk(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), 4)
    assert trunk.channels == 4 and trunk(torch.zeros(1, 3, 2, 2)).shape == (1, 4, 2, 2)
