"""Training images in one process: pixels decoded before against reading the files, and what decoding them costs."""

from pathlib import Path

from benchmarks.measure import best_seconds
from data_cache.datasets.catalogue import load_dataset
from data_cache.parts.cache import empty_cache
from reid.data.augmentation import Augmentation
from reid.data.decoded import decoded_training_images, describe, make_decoded
from reid.data.pixel_file import open_pixels
from reid.data.sampler import Sample
from reid.data.vehicle_images import VehicleImages, image_paths, vehicle_images
from reid.runs import decoded_path

SIZE, ROUNDS = 224, 3


def image_loading_rows(folder: Path) -> list[tuple[str, str, str, str, str]]:
    """Return the table's rows; `folder` holds rendered pictures."""
    data = load_dataset("synthetic", folder)
    path = decoded_path(folder, data.name, SIZE)
    decoded = decoded_training_images(path, data, SIZE, workers=0)
    names, paths = decoded.names, image_paths(data, decoded.names)
    made_from = describe(data.name, names, paths, SIZE)
    parts = empty_cache(names)
    files = vehicle_images(data, parts, names, top_d=0, size=SIZE)
    mapped = vehicle_images(data, parts, names, top_d=0, size=SIZE, decoded=decoded)
    calls = {
        "files": lambda: read_augmented(files),
        "decoded": lambda: read_augmented(mapped),
        "making": lambda: make_decoded(path, paths, made_from, workers=0),
        "opening": lambda: open_pixels(path, made_from),
    }
    seconds = best_seconds(calls, ROUNDS)
    rates = {name: f"{len(names) / taken:,.0f} images/s" for name, taken in seconds.items()}
    return [
        (
            f"training images at {SIZE} x {SIZE}, augmented, one process",
            f"decoded before: {rates['decoded']}",
            f"from their files: {rates['files']}",
            f"{seconds['files'] / seconds['decoded']:.1f} x faster",
            "",
        ),
        (
            "decoding them once to a file, one process",
            rates["making"],
            f"from their files: {rates['files']}",
            f"{seconds['making'] / seconds['files']:.2f} of its time",
            "",
        ),
        (
            "opening that file, all of it verified, one thread",
            f"{path.stat().st_size / seconds['opening'] / 1e9:.2f} GB/s",
            f"from their files: {rates['files']}",
            f"{seconds['opening'] / seconds['files']:.2f} of its time",
            "",
        ),
    ]


def read_augmented(images: VehicleImages) -> None:
    """Read every image once, as training does."""
    images.augmentation = Augmentation()
    for number in range(len(images)):
        images[Sample(0, number, number)]
