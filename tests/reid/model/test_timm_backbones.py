"""Backbones of timm against timm itself: maps, sizes, normalisation, weights from files, checkpoints."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from data_cache.base.errors import UserError
from data_cache.base.pretrained import MEAN, STD
from helpers.faults.attack import Attack
from helpers.toy.vehicles import TINY, one_thread
from reid.model.backbones import Backbone, build_backbone
from reid.model.checkpoint import build_network, read_checkpoint, trained_network
from reid.training.state import save, start_state

timm = pytest.importorskip("timm", reason="the extra timm is not installed")

SIZE = (48, 80)  # not square, so that swapped axes are found
# class token; patches and a pooling head; rotary embeddings and registers
TRANSFORMERS = ("test_vit", "vit_base_patch16_siglip_224", "vit_tiny_patch16_dinov3_qkvb")
CNNS = ("test_resnet", "test_convnext", "test_efficientnet")


@pytest.fixture(autouse=True)
def single_thread() -> Any:
    with one_thread():
        yield


def random_images(*size: int) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


def as_timm_normalises(images: Tensor, network: Any) -> Tensor:
    """Pixels in [0, 1] from images normalised for ImageNet, normalised as the network's own configuration says."""
    pixels = images * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    mean, std = (torch.tensor(network.pretrained_cfg[name]).view(3, 1, 1) for name in ("mean", "std"))
    return (pixels - mean) / std


def loaded(reference: Any, backbone: Backbone) -> Backbone:
    """Give a backbone the weights of timm's network."""
    own = backbone[0].network
    own.load_state_dict({name: reference.state_dict()[name] for name in own.state_dict()})
    return backbone.eval()


@pytest.mark.parametrize("name", ["test_vit", "vit_tiny_patch16_dinov3_qkvb"])
def test_a_transformer_gives_timms_patches_as_a_map(name: str) -> None:
    torch.manual_seed(0)
    reference = timm.create_model(name, img_size=SIZE).eval()
    backbone, images = loaded(reference, build_backbone(f"timm/{name}", None, SIZE)), random_images(*SIZE)
    with torch.no_grad():
        found, tokens = backbone(images), reference.forward_features(as_timm_normalises(images, reference))
    assert found.shape == (2, backbone.channels, 3, 5)
    patches = tokens[:, reference.num_prefix_tokens :]
    for row in range(3):
        for column in range(5):
            torch.testing.assert_close(found[:, :, row, column], patches[:, 5 * row + column], rtol=1e-4, atol=1e-5)
    with torch.no_grad():  # timm's own maps
        maps = reference.forward_intermediates(
            as_timm_normalises(images, reference), indices=1, norm=True, intermediates_only=True
        )
    torch.testing.assert_close(found, maps[-1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CNNS)
def test_a_cnn_gives_timms_features_of_stride_16(name: str) -> None:
    torch.manual_seed(0)
    reference = timm.create_model(name, output_stride=16).eval()
    backbone, images = loaded(reference, build_backbone(f"timm/{name}", None)), random_images(*SIZE)
    with torch.no_grad():
        found = backbone(images)
        expected = reference.forward_features(as_timm_normalises(images, reference))
    assert found.shape == (2, backbone.channels, 3, 5)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_resnet_gives_the_last_map_of_timms_features_only() -> None:
    torch.manual_seed(0)
    reference = timm.create_model("test_resnet", features_only=True, output_stride=16).eval()
    backbone, images = build_backbone("timm/test_resnet", None).eval(), random_images(*SIZE)
    backbone[0].network.load_state_dict(reference.state_dict())
    with torch.no_grad():
        expected = reference(as_timm_normalises(images, timm.create_model("test_resnet")))[-1]
        torch.testing.assert_close(backbone(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "vit_tiny_patch16_dinov3_qkvb"])
def test_every_parameter_learns(name: str) -> None:
    """Heads and pooling layers, which the map does not need, are left out: all processes need all gradients."""
    backbone = build_backbone(f"timm/{name}", None, (32, 48))
    nn.functional.layer_norm(backbone(random_images(32, 48)), (2, 3)).square().sum().backward()
    assert not [name for name, value in backbone.named_parameters() if value.requires_grad and value.grad is None]


def test_the_pooling_head_of_siglip_is_left_out() -> None:
    with torch.device("meta"):
        backbone = build_backbone("timm/vit_base_patch16_siglip_224.v2_webli", None, SIZE)
    assert backbone.channels == 768 and not [name for name in backbone.state_dict() if "attn_pool" in name]
    assert backbone.state_dict()["0.network.pos_embed"].shape == (1, 15, 768)


@pytest.mark.parametrize("name", ["test_vit", "test_convnext"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_with_timms_names_gives_timms_maps_at_another_size(name: str, suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference, path = timm.create_model(name), tmp_path / f"w{suffix}"
    state = {f"module.{name}": value for name, value in reference.state_dict().items()}
    if suffix == ".pth":
        torch.save({"state_dict": state}, path)
    else:
        save_file(state, path)
    backbone, images = build_backbone(f"timm/{name}", str(path), SIZE).eval(), random_images(*SIZE)
    options: dict[str, Any] = {"img_size": SIZE} if name == "test_vit" else {"output_stride": 16}
    overlay = {"state_dict": dict(reference.state_dict())}  # timm resizes position embeddings itself
    expected = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options).eval()
    with torch.no_grad():
        features = expected.forward_features(as_timm_normalises(images, expected))
        if name == "test_vit":
            features = features[:, 1:].transpose(1, 2).reshape(2, -1, 3, 5)
        torch.testing.assert_close(backbone(images), features, rtol=1e-4, atol=1e-5)


def test_files_of_other_networks_and_files_with_code_are_refused(tmp_path: Path) -> None:
    path, trace = tmp_path / "w.pth", tmp_path / "trace"
    torch.save(timm.create_model("test_resnet").state_dict(), path)
    with pytest.raises(UserError, match=r"w\.pth: not the weights of timm/test_vit: .* missing"):
        build_backbone("timm/test_vit", str(path))
    torch.save({"conv1.weight": torch.zeros(1), "epoch": Attack(trace)}, path)
    with pytest.raises(UserError, match=r"w\.pth: cannot be read as weights"):
        build_backbone("timm/test_vit", str(path))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test_vits", "unknown backbone timm/test_vits; did you mean timm/test_vit"),
        ("zzzzzz", "unknown backbone timm/zzzzzz; timm.list_models() lists them"),
        ("test_vit.nowhere", "Invalid pretrained tag"),
        ("vit_base_patch14_dinov2", "no feature map of stride 16 (patches of (14, 14))"),
        ("naflexvit_base_patch16_siglip", "no feature map of stride 16 (patches of no fixed grid)"),
        ("cait_xxs24_224", "no feature map of stride 16 (timm cannot change its input size)"),
        ("swin_tiny_patch4_window7_224", "no feature map of stride 16 (timm builds it without output_stride)"),
    ],
)
def test_networks_that_cannot_be_used_are_refused_with_the_reason(name: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        build_backbone(f"timm/{name}", None)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_weights_that_timm_cannot_get_are_refused_with_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"timm/test_vit: imagenet means torchvision's weights; .*trunk_weights=timm"):
        build_backbone("timm/test_vit", "imagenet")
    create = timm.create_model

    def offline(name: str, *, pretrained: bool = False, **options: object) -> object:
        if pretrained:
            raise FileNotFoundError("no connection\nmore")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError, match=r"timm/test_vit: no connection; use a file with --set trunk_weights=FILE, or"):
        build_backbone("timm/test_vit", "timm")


def test_without_timm_the_remedy_is_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"timm/test_vit needs timm; run `pip install '\.\[timm\]'`"):
        build_backbone("timm/test_vit", None)


@pytest.mark.parametrize("name", ["test_vit", "vit_tiny_patch16_dinov3_qkvb", "test_resnet"])
@pytest.mark.parametrize("attention", ["parts", "none"])
def test_a_checkpoint_gives_the_network_back(name: str, attention: str, tmp_path: Path) -> None:
    """Also constants that timm does not save, such as the periods of rotary embeddings."""
    own = {"trunk": f"timm/{name}", "attention": attention, "image_size": 48, "pooling": "gem"}
    recipe = TINY.model_copy(update=own)
    state = start_state(recipe, 8, "cpu")
    boxes = torch.tensor([[[0.1, 0.1, 0.5, 0.4], [0.5, 0.5, 0.9, 0.9]]]).repeat(2, 1, 1)
    inputs = random_images(48, 48), boxes, torch.tensor([[True, True], [False, False]])
    state.network.train()(*inputs).logits.square().sum().backward()
    state.optimizer.step()
    identity = {"kind": "re-identification", "recipe": recipe.model_dump(mode="json"), "vehicles": 8, "parts": {}}
    save(state, tmp_path / "best.safetensors", identity)
    network = trained_network(read_checkpoint(tmp_path / "best.safetensors"))
    with torch.no_grad():
        feature, attention_weights = network.embed(*inputs)
        expected = state.network.eval().embed(*inputs)
    torch.testing.assert_close((feature, attention_weights), expected, rtol=1e-5, atol=1e-5)
    again = build_network(recipe, 8).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in build_network(recipe, 8).state_dict().items())
