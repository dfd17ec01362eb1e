"""Stage two: a training step of PGAN against the baseline's, and features of images against the bare trunk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import best_seconds
from data_cache.base.depthwise import StridedDepthwise
from reid.data.vehicle_images import Batch, ResizedFiles, VehicleImages, normalised
from reid.features.extraction import BATCH, extract_features
from reid.model.backbones import build_backbone
from reid.model.checkpoint import build_network
from reid.recipes import PRESETS, ReidRecipe
from reid.training.loop import training_step
from reid.training.state import start_state

VEHICLES, DEPTH, ROUNDS = 576, 8, 3  # vehicles of VeRi-776's training set
STEP_ROUNDS = 8  # the first few steps ask the system for the memory that the later ones use again
IMAGES = 192  # of the rate of features
Rows = list[tuple[str, str, str, str, str]]
PEAK = {
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA A100": 312e12,
}  # bf16 FLOP/s without sparsity, data sheets


def stage_two_rows(folder: Path, device: str) -> Rows:
    """Return the table's rows, on the pictures in `folder`."""
    batch = 64 if device == "cuda" else 16
    depthwise = _depthwise_rows() if device == "cpu" else []
    return [*_step_rows(device, batch), *depthwise, *_feature_rows(folder, device)]


def _step_rows(device: str, size: int) -> Rows:
    calls = {name: _step(PRESETS[name], device, size) for name in ("pgan", "pgan_no_pam", "baseline")}
    seconds = best_seconds(calls, STEP_ROUNDS)
    what = f"training step, ResNet-50, 224 px, batch {size}, bfloat16"
    beside = f"baseline's {seconds['baseline']:.3f} s"
    rows = [
        (
            f"PGAN {what}",
            f"{seconds['pgan']:.3f} s",
            beside,
            f"{seconds['pgan'] / seconds['baseline']:.2f} x",
            "<= 1.15 x",
        ),
        (
            "PGAN without PAM, the same",
            f"{seconds['pgan_no_pam']:.3f} s",
            beside,
            f"{seconds['pgan_no_pam'] / seconds['baseline']:.2f} x",
            "",
        ),
    ]
    if device == "cuda":
        rows.append(_share_of_peak(size / seconds["pgan"]))
    return rows


def _step(recipe: ReidRecipe, device: str, size: int) -> Callable[[], object]:
    """Return a step on a batch that is ready on the device; the trunk is random, which changes no time."""
    state = start_state(recipe.model_copy(update={"trunk_weights": None}), VEHICLES, device)
    state.network.train()
    random = torch.Generator().manual_seed(0)
    side = recipe.image_size
    images = torch.randint(0, 256, (size, 3, side, side), dtype=torch.uint8, generator=random)
    corners = torch.rand(size, DEPTH, 2, 2, generator=random).sort(dim=2).values.flatten(2)
    batch = Batch(images, corners, torch.ones(size, DEPTH, dtype=torch.bool), torch.arange(size))
    batch = Batch(*(tensor.to(device) for tensor in vars(batch).values()))
    vehicle = torch.arange(size, device=device) // 4
    return lambda: training_step(state, batch, vehicle, device)


def _depthwise_rows() -> Rows:
    """MobileNetV2's largest strided depthwise layer at 128 px, forward and backward, against torch's own."""
    plain = torch.nn.Conv2d(96, 96, 3, stride=2, padding=1, groups=96, bias=False)
    images = torch.randn(64, 96, 64, 64).to(torch.bfloat16).to(memory_format=torch.channels_last).requires_grad_()

    def pass_through(layer: torch.nn.Module) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer(images).float().square().mean().backward()

    seconds = best_seconds(
        {"plain": lambda: pass_through(plain), "detour": lambda: pass_through(StridedDepthwise(plain).train())}, ROUNDS
    )
    return [
        (
            "strided depthwise convolution, 64 x 96 x 64 x 64, forward and backward",
            f"{seconds['detour']:.3f} s",
            f"torch's own: {seconds['plain']:.3f} s",
            f"{seconds['plain'] / seconds['detour']:.1f} x faster",
            "",
        )
    ]


def _share_of_peak(images_per_second: float) -> tuple[str, str, str, str, str]:
    """Return how much of the GPU's bfloat16 peak the trunk's products alone amount to, all else left out."""
    name = torch.cuda.get_device_name()
    peak = next((value for known, value in PEAK.items() if name.startswith(known)), None)
    with FlopCounterMode(display=False) as counter, torch.device("meta"), torch.no_grad():
        build_backbone("resnet50", None)(torch.zeros(1, 3, 224, 224))
    reached = 3 * counter.get_total_flops() * images_per_second  # backward does twice what forward does
    return (
        "its multiplications in ResNet-50",
        f"{images_per_second:.0f} images/s, {reached / 1e12:.0f} TFLOP/s",
        f"the peak of {name}" if peak is None else f"the peak of {name}: {peak / 1e12:.0f} TFLOP/s",
        "" if peak is None else f"{reached / peak:.2f} of it",
        "",
    )


def _feature_rows(folder: Path, device: str) -> Rows:
    """Features of pictures from their files, against the trunk alone on the same images ready on the device."""
    seconds = best_seconds(feature_calls(folder, device), ROUNDS)
    rates = {name: IMAGES / taken for name, taken in seconds.items()}
    return [
        (
            f"features from {IMAGES} files, ResNet-50, 224 px, two reading processes",
            f"{rates['features']:.1f} images/s",
            f"the bare trunk on ready tensors: {rates['trunk']:.1f} images/s",
            f"{rates['features'] / rates['trunk']:.2f} of its rate",
            "",
        )
    ]


def feature_calls(folder: Path, device: str) -> dict[str, Callable[[], object]]:
    """Return `features`, of `IMAGES` pictures in `folder` from their files, and `trunk`, which has them ready."""
    recipe = PRESETS["pgan"].model_copy(update={"trunk_weights": None})
    network = build_network(recipe, VEHICLES).to(device).to(memory_format=torch.channels_last).eval()
    paths = sorted((folder / "synthetic/images").rglob("*.jpg"))[:IMAGES]
    random = np.random.default_rng(0)
    corners = np.sort(random.random((len(paths), DEPTH, 2, 2), np.float32), axis=2).reshape(len(paths), DEPTH, 4)
    files = VehicleImages(ResizedFiles(paths, recipe.image_size), corners, np.ones((len(paths), DEPTH), bool))
    ready = normalised(torch.stack([files[number][0] for number in range(len(files))]).to(device))

    def trunk() -> None:
        with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16):
            for images in torch.split(ready, BATCH[device]):
                network.trunk(images)

    return {"features": lambda: extract_features(network, files, device=device, workers=2), "trunk": trunk}
