"""How long the answer to one photograph takes: decode, find parts, feature, search; and what faster arithmetic costs.

    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.one_vehicle
    OMP_WAIT_POLICY=PASSIVE python -m benchmarks.one_vehicle --photographs Vehicle-Re-ID-Dataset --folder /tmp/latency

The networks are those that ship. All variants answer the same photograph in turn, because a shared machine drifts:
compare within a run.
"""

import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from data_cache.base.devices import autocast
from data_cache.base.export import FOLDER
from data_cache.base.files import replacing
from data_cache.base.progress import hidden_progress, without_library_messages
from data_cache.datasets.catalogue import load_dataset
from data_cache.datasets.dataset import Dataset
from data_cache.images.loading import decode_image
from data_cache.parts.cache import PartBoxes
from data_cache.synthetic import SyntheticSettings, write_synthetic
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
from reid.features.file import Features
from reid.model.checkpoint import read_checkpoint, trained_network
from reid.publish.program import export_program
from reid.publish.shipped_import import import_shipped
from reid.recipes import ReidRecipe
from reid.retrieval.scoring import Scoring
from reid.runs import BEST
from vehicle_reid.gallery.search import ExactSearch, search

SETTINGS = SyntheticSettings(vehicles=60)
GALLERY, BEST_MATCHES = 10_000, 10
BATCH, CALIBRATION_IMAGES, LEAST_ANSWERS = 16, 64, 10
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


def latencies(
    programs: Programs, files: Sequence[bytes], index: ExactSearch, threads: int, batch: int
) -> dict[str, NDArray[np.float64]]:
    """Return the seconds of each answer's steps and of all CPUs (A, 5), by variant; all answer each file in turn."""
    variants = programs.variants(threads)
    groups = [files[first : first + batch] for first in range(0, len(files) - batch + 1, batch)]
    groups = groups * -(-LEAST_ANSWERS // len(groups))
    for variant in variants:  # the first answers of each build what the later ones use
        for group in groups[:2]:
            answer(group, variant, programs.recipes, index)
    taken: dict[str, list[list[float]]] = {variant.name: [] for variant in variants}
    for group in groups:
        for variant in variants:
            taken[variant.name].append(answer(group, variant, programs.recipes, index)[1])
    return {name: np.array(rows) for name, rows in taken.items()}


def latency_table(taken: Mapping[str, NDArray[np.float64]], batch: int) -> list[str]:
    """Return the lines of a table: milliseconds per image, and how many times as fast as the second variant, today's.

    The ratio is the median over answers, in each of which both answered the same images one after the other.
    """
    today = list(taken.values())[1]
    head = [*STEPS, "whole: p50", "p99", "CPU", "times as fast", "by CPU"]
    lines = [f"| | {' | '.join(head)} |", f"|---|{'---:|' * len(head)}"]
    for name, rows in taken.items():
        each, whole = 1000 * rows / batch, 1000 * rows[:, :-1].sum(axis=1) / batch
        values = [*np.median(each[:, :-1], axis=0), *np.quantile(whole, (0.5, 0.99)), np.median(each[:, -1])]
        faster = np.median(today[:, :-1].sum(axis=1) / rows[:, :-1].sum(axis=1))
        ratios = [faster, np.median(today[:, -1]) / np.median(rows[:, -1])]
        cells = [*(f"{value:.1f}" for value in values), *(f"{value:.2f}" for value in ratios)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def score_table(programs: Programs, data: Dataset, index: ExactSearch, threads: int) -> list[str]:
    """Return the lines of a table: scores of each variant on a test, and how far its features are from the first's."""
    split = data.default_split()
    rows = data.protocol(split, draws=1).rows()
    names = tuple(data.table["name"].iloc[rows])
    files = [(data.folder / name).read_bytes() for name in names]
    lines, exact = ["| | mAP | CMC@1 | largest 1 - cosine |", "|---|---:|---:|---:|"], None
    for variant in programs.variants(threads):
        batches = [files[first : first + BATCH] for first in range(0, len(files), BATCH)]
        matrix = np.concatenate([answer(batch, variant, programs.recipes, index)[0] for batch in batches])
        exact = matrix if exact is None else exact
        features = Features(names, matrix, np.zeros((len(names), 0), np.float32), {})
        (scores,) = Scoring(draws=1).score({"": features}, data, split, device="cpu").scores.values()
        metrics = scores.to_dict()
        away = 1 - np.einsum("nc,nc->n", matrix.astype(np.float64), exact).min()
        lines.append(f"| {variant.name} | {100 * metrics['mAP']:.1f} | {100 * metrics['cmc1']:.1f} | {away:.1e} |")
    return lines


def photographs(folder: Path, scratch: Path) -> Dataset:
    """Return the test of 102 vehicles in the Vehicle-Re-ID-Dataset, by the CSV that the example writes."""
    script = Path(__file__).parents[1] / "docs/examples/vehicle_re_id_dataset_csv.py"
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    path = scratch / "photographs.csv"
    lines = ["name,vehicle_id,camera_id,split", *(",".join(map(str, row)) for row in example.rows(folder))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_dataset(str(path), folder)


def measure(folder: Path, photographs_folder: Path | None, images: int, threads: Sequence[int]) -> Iterator[str]:
    """Yield the lines of all tables; everything that is made lies in `folder`."""
    if not (folder / "synthetic/images.csv").exists():
        write_synthetic(SETTINGS, folder / "synthetic", workers=2)
    data = load_dataset("synthetic", folder)
    by_split = {part: [data.folder / name for name in rows["name"]] for part, rows in data.table.groupby("split")}
    torch.set_num_threads(max(threads))
    programs = Programs(folder, by_split["train"][:CALIBRATION_IMAGES])
    test = [path for part, paths in by_split.items() if part != "train" for path in paths]
    files = [path.read_bytes() for path in test[:images]]
    random = np.random.default_rng(0).standard_normal((GALLERY, programs.recipes.network.feature_length))
    index = ExactSearch((random / np.linalg.norm(random, axis=1, keepdims=True)).astype(np.float32))
    for count in threads:
        torch.set_num_threads(count)
        for batch in (1, BATCH):
            taken = latencies(programs, files, index, count, batch)
            title = f"{count} thread{'s' * (count > 1)}, batch {batch}: ms per image, {len(files)} images"
            yield from ("", title, "", *latency_table(taken, batch))
    yield from ("", f"rendered test, {len(test)} images", "", *score_table(programs, data, index, max(threads)))
    if photographs_folder is None:
        yield from ("", "photographs: left out, give their folder with --photographs")
    else:
        real = photographs(photographs_folder, folder)
        yield from ("", "photographs of 102 vehicles", "", *score_table(programs, real, index, max(threads)))


@click.command(help=__doc__)
@click.option("--images", type=click.IntRange(BATCH), default=160, show_default=True, help="Images that are timed.")
@click.option("--threads", multiple=True, type=click.IntRange(1), default=(1, 2), show_default=True)
@click.option("--photographs", "photographs_folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Keep renderings and programs here, and use those of an earlier run.",
)
def main(images: int, threads: tuple[int, ...], photographs_folder: Path | None, folder: Path | None) -> None:
    """Print the tables."""
    with TemporaryDirectory() as scratch, hidden_progress():
        for line in measure(folder or Path(scratch), photographs_folder, images, threads):
            click.echo(line)


if __name__ == "__main__":
    main()
