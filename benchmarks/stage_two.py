"""Stage two: a training step of PGAN against the baseline's, and features from files against the bare backbone."""

from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Call, Row, best_seconds
from data_cache.base.depthwise import StridedDepthwise
from data_cache.parts.names import PART_NAMES
from reid.data.vehicle_images import Batch, FileViews, VehicleImages, normalised
from reid.data.views import ViewMaker
from reid.features.embedding import embed_batch, on_device
from reid.features.extraction import BATCH, extract_features
from reid.model.backbones import build_backbone
from reid.model.checkpoint import build_network, build_pgan
from reid.recipes import PRESETS, ReidRecipe
from reid.training.loop import training_step
from reid.training.state import start_state

VEHICLES, TOP_D, ROUNDS = 576, 8, 3  # vehicles of VeRi-776's training set
SMALL_BATCH = 64
STEP_ROUNDS = 8  # the first steps allocate the memory that later ones reuse
IMAGES = 192  # for the rate of features
PEAK = {
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA A100": 312e12,
}  # bf16 FLOP/s without sparsity, data sheets


def stage_two_rows(folder: Path, device: str) -> list[Row]:
    """Return the table's rows; `folder` contains rendered pictures."""
    batch = 64 if device == "cuda" else 16
    small = [*_small_rows(device), _depthwise_row()] if device == "cpu" else []
    return [*_step_rows(device, batch), *small, _features_row(folder, device)]


def _step_rows(device: str, batch: int) -> list[Row]:
    calls = {name: _step(PRESETS[name], device, batch) for name in ("pgan", "pgan_no_pam", "pgan_plus", "baseline")}
    seconds = best_seconds(calls, STEP_ROUNDS)

    def row(what: str, name: str, target: str = "") -> Row:
        other = f"baseline's {seconds['baseline']:.3f} s"
        return Row(what, f"{seconds[name]:.3f} s", other, f"{seconds[name] / seconds['baseline']:.2f} x", target)

    rows = [
        row(f"PGAN training step, ResNet-50, 224 px, batch {batch}, bfloat16", "pgan", "<= 1.15 x"),
        row("PGAN without PAM, the same", "pgan_no_pam"),
        row(f"PGAN+, the same, crops of {PRESETS['pgan_plus'].part_crops} px", "pgan_plus", "<= 1.3 x"),
    ]
    return [*rows, _share_of_peak(batch / seconds["pgan"])] if device == "cuda" else rows


def _small_rows(device: str) -> list[Row]:
    """Compare the small presets on MobileNetV2, where the backbone takes so little that the crops' encoder shows."""
    small = {"trunk": "mobilenet_v2", "trunk_weights": None}
    baseline, plus = (PRESETS[f"{name}_small"].model_copy(update=small) for name in ("baseline", "pgan_plus"))
    sides = (plus.part_crops, 48)
    recipes = {f"crops of {side} px": plus.model_copy(update={"part_crops": side}) for side in sides}
    all_recipes = {**recipes, "baseline": baseline}
    steps = best_seconds(
        {name: _step(recipe, device, SMALL_BATCH) for name, recipe in all_recipes.items()}, STEP_ROUNDS
    )
    features = best_seconds({name: _features(recipe, device) for name, recipe in all_recipes.items()}, STEP_ROUNDS)
    return [
        Row(
            f"PGAN+ {what}, MobileNetV2, {plus.image_size} px, batch {batch}, {name}",
            f"{seconds[name]:.3f} s",
            f"baseline's {seconds['baseline']:.3f} s",
            f"{seconds[name] / seconds['baseline']:.2f} x",
            "<= 1.3 x",
        )
        for what, batch, seconds in (("training step", SMALL_BATCH, steps), ("features", BATCH[device], features))
        for name in recipes
    ]


def _features(recipe: ReidRecipe, device: str) -> Call:
    """Return the features of a batch that is already on the device, with random weights."""
    network = on_device(build_network(recipe, VEHICLES), device).eval()
    batch = _batch(recipe, device, BATCH[device])
    return lambda: embed_batch(network, batch, device)


def _step(recipe: ReidRecipe, device: str, size: int) -> Call:
    """Return a training step on a batch that is already on the device, with random weights."""
    state = start_state(recipe.model_copy(update={"trunk_weights": None}), VEHICLES, device)
    state.network.train()
    batch, vehicle = _batch(recipe, device, size), torch.arange(size, device=device) // 4
    return lambda: training_step(state, batch, vehicle, device)


def _batch(recipe: ReidRecipe, device: str, size: int) -> Batch:
    """Return a batch of random images, boxes and crops on the device."""
    random = torch.Generator().manual_seed(0)
    side = recipe.image_size
    images = torch.randint(0, 256, (size, 3, side, side), dtype=torch.uint8, generator=random)
    corners = torch.rand(size, TOP_D, 2, 2, generator=random).sort(dim=2).values.flatten(2)
    labels, crop = torch.randint(0, len(PART_NAMES), (size, TOP_D), generator=random), recipe.part_crops
    shape = (size, TOP_D, 3, crop, crop) if crop else (size, 0, 3, 0, 0)
    crops = torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
    batch = Batch(images, corners, labels, crops, torch.arange(size))
    return Batch(*(tensor.to(device) for tensor in vars(batch).values()))


def _depthwise_row() -> Row:
    """Compare MobileNetV2's largest strided depthwise layer at 128 px with torch's own, forward and backward."""
    plain = torch.nn.Conv2d(96, 96, 3, stride=2, padding=1, groups=96, bias=False)
    ours = StridedDepthwise(plain).train()
    images = torch.randn(64, 96, 64, 64).to(torch.bfloat16).to(memory_format=torch.channels_last).requires_grad_()

    def forward_and_backward(layer: torch.nn.Module) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer(images).float().square().mean().backward()

    calls = {"ours": lambda: forward_and_backward(ours), "torch": lambda: forward_and_backward(plain)}
    seconds = best_seconds(calls, ROUNDS)
    return Row(
        "strided depthwise convolution, 64 x 96 x 64 x 64, forward and backward",
        f"{seconds['ours']:.3f} s",
        f"torch's own: {seconds['torch']:.3f} s",
        f"{seconds['torch'] / seconds['ours']:.1f} x faster",
    )


def _share_of_peak(images_per_second: float) -> Row:
    """Return the share of the GPU's bfloat16 peak that the backbone's products alone amount to."""
    name = torch.cuda.get_device_name()
    peak = next((value for known, value in PEAK.items() if name.startswith(known)), None)
    with FlopCounterMode(display=False) as counter, torch.device("meta"), torch.no_grad():
        build_backbone("resnet50", None)(torch.zeros(1, 3, 224, 224))
    reached = 3 * counter.get_total_flops() * images_per_second  # the backward pass does twice the work of forward
    return Row(
        "its multiplications in ResNet-50",
        f"{images_per_second:.0f} images/s, {reached / 1e12:.0f} TFLOP/s",
        f"the peak of {name}" if peak is None else f"the peak of {name}: {peak / 1e12:.0f} TFLOP/s",
        "" if peak is None else f"{reached / peak:.2f} of it",
    )


def _features_row(folder: Path, device: str) -> Row:
    seconds = best_seconds(feature_calls(folder, device), ROUNDS)
    rates = {name: IMAGES / taken for name, taken in seconds.items()}
    return Row(
        f"features from {IMAGES} files, ResNet-50, 224 px, two reading processes",
        f"{rates['features']:.1f} images/s",
        f"the bare backbone on ready tensors: {rates['backbone']:.1f} images/s",
        f"{rates['features'] / rates['backbone']:.2f} of its rate",
    )


def feature_calls(folder: Path, device: str) -> dict[str, Call]:
    """Return two calls on `IMAGES` pictures in `folder`: `features` from files, `backbone` on ready tensors."""
    recipe = PRESETS["pgan"].model_copy(update={"trunk_weights": None})
    network = build_pgan(recipe, VEHICLES).to(device).to(memory_format=torch.channels_last).eval()
    paths = sorted((folder / "synthetic/images").rglob("*.jpg"))[:IMAGES]
    random = np.random.default_rng(0)
    corners = np.sort(random.random((len(paths), TOP_D, 2, 2), np.float32), axis=2).reshape(len(paths), TOP_D, 4)
    views = FileViews(paths, ViewMaker(recipe.image_size))
    files = VehicleImages(views, corners, np.zeros((len(paths), TOP_D), np.int64))
    ready = normalised(torch.stack([files[index].image for index in range(len(files))]).to(device))

    def run_backbone() -> None:
        with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16):
            for images in torch.split(ready, BATCH[device]):
                network.trunk(images)

    return {
        "features": lambda: extract_features(network, files, device=device, workers=2),
        "backbone": run_backbone,
    }
