"""The ways to compute an answer: both shipped networks in PyTorch, and exported, in ONNX Runtime."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from data_cache.base.devices import autocast
from data_cache.base.export import FOLDER
from data_cache.base.files import replacing
from data_cache.base.progress import without_library_messages
from data_cache.images.loading import decode_image
from data_cache.parts.cache import PartBoxes
from detect.extraction.shards import pack_parts
from detect.model import shipped as shipped_detector
from detect.model.detector import Detector, load_detector
from detect.model.export import export_detector
from detect.model.nms import PartBatch
from detect.model.reading import ReadBatch, ReadImage, collate, resize
from detect.recipes import DetectorRecipe
from reid.data.hiding import hidden_boxes, network_parts
from reid.data.vehicle_images import Batch, VehicleImages, part_arrays
from reid.data.vehicle_images import collate as collate_items
from reid.data.views import ViewMaker
from reid.features.embedding import on_device, with_cast_weights
from reid.model.checkpoint import read_checkpoint, trained_network
from reid.publish.program import export_program
from reid.publish.shipped_import import import_shipped
from reid.recipes import ReidRecipe
from reid.runs import BEST
from vehicle_reid.gallery.search import ExactSearch, search

BEST_MATCHES = 10
STEPS = ("decode", "parts", "feature", "search")
Pixels = NDArray[np.uint8]
Matrix = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Variant:
    """A way to compute both networks: parts of resized images with their sizes, and features (B, C) of a batch."""

    name: str
    detect: Callable[[ReadBatch], PartBatch]
    embed: Callable[[Batch], Matrix]


@dataclass(frozen=True)
class Recipes:
    """What the networks read, whichever program computes them."""

    detector: DetectorRecipe
    network: ReidRecipe

    def read(self, images: Sequence[Pixels]) -> ReadBatch:
        """Return images (H, W, 3) as the detector reads them."""
        size = self.detector.input_size
        return collate(
            [
                ReadImage(f"{row:06d}", resize(image, size), image.shape[1], image.shape[0], "")
                for row, image in enumerate(images)
            ]
        )

    def batch(self, images: Sequence[Pixels], parts: PartBoxes) -> Batch:
        """Return images (H, W, 3) with their parts as the network reads them."""
        parts = network_parts(parts, self.network)
        boxes, labels = part_arrays(parts, parts.names, self.network.parts)
        hidden = hidden_boxes(parts, parts.names)
        maker = ViewMaker(self.network.input_size, hidden, self.network.part_crops, boxes, labels >= 0)
        items = VehicleImages(lambda row: maker(row, images[row]), boxes, labels)
        return collate_items([items[row] for row in range(len(items))])


def answer(
    files: Sequence[bytes], variant: Variant, recipes: Recipes, index: ExactSearch
) -> tuple[Matrix, list[float]]:
    """Return the features (B, C) of image files, and the seconds of each of `STEPS`, then those of all CPUs."""
    cpu, clock = time.process_time(), [time.perf_counter()]
    images = [decode_image(data, "image") for data in files]
    clock.append(time.perf_counter())
    read = recipes.read(images)
    parts = pack_parts([read.without_pixels()], [variant.detect(read)], {})
    clock.append(time.perf_counter())
    features = variant.embed(recipes.batch(images, parts))
    clock.append(time.perf_counter())
    search(index, features, BEST_MATCHES)
    clock.append(time.perf_counter())
    return features, [*np.diff(clock).tolist(), time.process_time() - cpu]


def in_pytorch(name: str, network: Any, detector: Detector, *, bfloat16: bool) -> Variant:
    """Return both networks in PyTorch."""

    def embed(batch: Batch) -> Matrix:
        with torch.autocast("cpu", enabled=False) if not bfloat16 else autocast("cpu"):
            feature, _ = network.embed(*batch.inputs("cpu"))
        return torch.nn.functional.normalize(feature.float()).numpy()

    return Variant(name, lambda read: detector.detect(read.pixels, read.sizes), torch.inference_mode()(embed))


def in_onnxruntime(name: str, network: Path, detector: Path, threads: int) -> Variant:
    """Return both networks as programs in ONNX Runtime."""
    programs = {path: onnxruntime.InferenceSession(path, _options(threads)) for path in (network, detector)}
    slots = programs[network].get_inputs()[1].shape[1]

    def detect(read: ReadBatch) -> PartBatch:
        found = programs[detector].run(None, {"images": read.pixels.numpy(), "sizes": read.sizes.astype(np.int64)})
        return PartBatch(*map(torch.from_numpy, found))

    def embed(batch: Batch) -> Matrix:
        feature: Matrix = programs[network].run(["feature"], network_arrays(batch, slots))[0]
        return feature

    return Variant(name, detect, embed)


def network_arrays(batch: Batch, slots: int) -> dict[str, NDArray[Any]]:
    """Return the inputs of the network's program, which has `slots` for parts also where it uses none."""
    images = np.ascontiguousarray(batch.images.permute(0, 2, 3, 1).numpy())
    boxes, present = np.zeros((len(images), slots, 4), np.float32), np.zeros((len(images), slots), bool)
    used = batch.labels.shape[1]
    boxes[:, :used], present[:, :used] = batch.boxes.numpy(), (batch.labels >= 0).numpy()
    return {"images": images, "boxes": boxes, "present": present}


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as our commands set OpenMP
    return options


def quantized(program: Path, inputs: Iterator[Mapping[str, NDArray[Any]]]) -> Path:
    """Write a program with convolutions and matrix products in int8 beside it; its ranges are those of `inputs`."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Mapping[str, NDArray[Any]] | None:
            return next(inputs, None)

    path = program.with_name(f"{program.stem}-int8.onnx")
    if path.exists():
        return path
    with replacing(path) as temporary, without_library_messages():
        quantize_static(
            program,
            temporary,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    return path


class Programs:
    """The shipped networks in PyTorch and as programs in a folder, and the recipes that they read."""

    def __init__(self, folder: Path, calibration: Sequence[Path]) -> None:
        """Export them, and quantize them with the images `calibration`."""
        run, _ = import_shipped(folder / "runs", "synthetic", {})
        checkpoint, weights = read_checkpoint(run / BEST), shipped_detector.weights()
        self.network = on_device(trained_network(checkpoint), "cpu").eval()
        self.detectors = {dtype: load_detector(weights, "cpu", dtype) for dtype in (torch.float32, None)}
        self.recipes = Recipes(self.detectors[None].recipe, checkpoint.recipe)
        network, detector = run / FOLDER / "network.onnx", folder / FOLDER / "detector.onnx"
        if not network.exists():
            export_program(checkpoint, "onnx")
        if not detector.exists():
            export_detector(weights, "onnx", folder)
        images = [decode_image(path.read_bytes(), str(path)) for path in calibration]
        read = [self.recipes.read([image]) for image in images]
        exact = self.detectors[torch.float32]
        batches = (
            self.recipes.batch([image], pack_parts([one.without_pixels()], [exact.detect(one.pixels, one.sizes)], {}))
            for image, one in zip(images, read, strict=True)
        )
        slots = checkpoint.recipe.parts
        inputs = ({"images": one.pixels.numpy(), "sizes": one.sizes.astype(np.int64)} for one in read)
        self.files = {
            "float32": (network, detector),
            "int8": (quantized(network, (network_arrays(one, slots) for one in batches)), quantized(detector, inputs)),
        }

    def variants(self, threads: int) -> list[Variant]:
        """Return all ways to compute them; the first is the exact one, the second what `VehicleReID` does."""
        cast = with_cast_weights(self.network, "cpu")
        today = in_pytorch("PyTorch bfloat16", cast, self.detectors[None], bfloat16=True)
        programs = [in_onnxruntime(f"ONNX Runtime {name}", *files, threads) for name, files in self.files.items()]
        return [
            in_pytorch("PyTorch float32", self.network, self.detectors[torch.float32], bfloat16=False),
            today,
            *programs,
            Variant("PyTorch bfloat16, network in ONNX Runtime float32", today.detect, programs[0].embed),
        ]
