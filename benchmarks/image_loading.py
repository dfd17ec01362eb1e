"""Training images in one process: from the decoded cache against from files, and what making the cache costs."""

from pathlib import Path

from benchmarks.measure import Row, best_seconds
from data_cache.datasets.catalogue import load_dataset
from data_cache.parts.cache import empty_cache
from reid.data.augmentation import Augmentation
from reid.data.decoded import decoded_training_views, describe, make_decoded
from reid.data.pixel_file import open_pixels
from reid.data.sampler import Sample
from reid.data.vehicle_images import FileViews, VehicleImages, image_paths, vehicle_images
from reid.data.views import ViewMaker
from reid.runs import decoded_path

SIZE, ROUNDS = 224, 3


def image_loading_rows(folder: Path) -> list[Row]:
    """Return the table's rows; `folder` contains rendered pictures."""
    data = load_dataset("synthetic", folder)
    path = decoded_path(folder, data.name, SIZE)
    decoded = decoded_training_views(path, data, SIZE, workers=0)
    names = decoded.images.names
    files = FileViews(image_paths(data, names), ViewMaker(SIZE))
    made_from = describe(data.name, names, files)
    from_files, from_cache = (
        vehicle_images(data, empty_cache(names), names, top_d=0, size=SIZE, decoded=views, augmentation=Augmentation())
        for views in (None, decoded)
    )
    calls = {
        "files": lambda: read_all(from_files),
        "cache": lambda: read_all(from_cache),
        "making": lambda: make_decoded(path, files, made_from, workers=0),
        "opening": lambda: open_pixels(path, made_from),
    }
    seconds = best_seconds(calls, ROUNDS)
    rates = {name: f"{len(names) / taken:,.0f} images/s" for name, taken in seconds.items()}
    other = f"from files: {rates['files']}"
    return [
        Row(
            f"training images at {SIZE} x {SIZE}, augmented, one process",
            f"from the decoded cache: {rates['cache']}",
            other,
            f"{seconds['files'] / seconds['cache']:.1f} x faster",
        ),
        Row(
            "making the decoded cache, one process",
            rates["making"],
            other,
            f"{seconds['making'] / seconds['files']:.2f} of its time",
        ),
        Row(
            "opening and verifying the decoded cache, one thread",
            f"{path.stat().st_size / seconds['opening'] / 1e9:.2f} GB/s",
            other,
            f"{seconds['opening'] / seconds['files']:.2f} of its time",
        ),
    ]


def read_all(images: VehicleImages) -> None:
    """Read every image once, augmented as in training."""
    for index in range(len(images)):
        images[Sample(0, index, index)]
