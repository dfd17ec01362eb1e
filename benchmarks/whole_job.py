"""What parts cost: both stages on image files, against the features of the baseline, which needs no parts.

The journal version of the paper (arXiv 1909.06023) reports 51.5 ms an image against 11.8 ms, 4.36 times, on its GPU.
"""

from pathlib import Path

from benchmarks.measure import Row, best_seconds
from data_cache.parts.cache import PartBoxes, empty_cache
from data_cache.parts.shards import plan_shards
from detect.extraction.shards import detect_batches
from detect.model import shipped
from detect.model.detector import load_detector
from detect.model.reading import read_batches
from reid.data.vehicle_images import FileViews, VehicleImages, part_arrays
from reid.data.views import ViewMaker
from reid.features.extraction import extract_features
from reid.model.checkpoint import build_network
from reid.recipes import PRESETS

IMAGES, BATCH, WORKERS, VEHICLES, ROUNDS = 192, 32, 2, 576, 3


def whole_job_rows(folder: Path, device: str) -> list[Row]:
    """Return the table's rows; `folder` contains rendered pictures."""
    root = folder / "synthetic"
    names = sorted(path.relative_to(root).as_posix() for path in (root / "images").rglob("*.jpg"))[:IMAGES]
    detector = load_detector(shipped.weights(), device)
    recipes = {
        name: PRESETS[name].model_copy(update={"trunk_weights": None}) for name in ("pgan", "pgan_plus", "baseline")
    }
    networks = {name: build_network(recipe, VEHICLES).to(device).eval() for name, recipe in recipes.items()}

    def found_parts() -> PartBoxes:
        plan = plan_shards(names, BATCH)
        return detect_batches(detector, read_batches(plan, root, detector.recipe.input_size, WORKERS))

    def features(name: str, parts: PartBoxes | None) -> None:
        recipe = recipes[name]
        boxes, labels = part_arrays(parts or empty_cache(names), names, recipe.parts)
        maker = ViewMaker(recipe.image_size, crop=recipe.part_crops, boxes=boxes, present=labels >= 0)
        views = FileViews([root / image for image in names], maker)
        extract_features(networks[name], VehicleImages(views, boxes, labels), device=device, workers=WORKERS)

    known = found_parts()
    seconds = best_seconds(
        {
            "pgan": lambda: features("pgan", found_parts()),
            "pgan_plus": lambda: features("pgan_plus", found_parts()),
            "known": lambda: features("pgan_plus", known),
            "baseline": lambda: features("baseline", None),
            "detection": found_parts,
        },
        ROUNDS,
    )
    each = {name: 1000 * taken / IMAGES for name, taken in seconds.items()}
    setting = f"{recipes['pgan'].trunk}, {detector.recipe.input_size} px and {recipes['pgan'].image_size} px, bfloat16"
    found = f", {each['detection']:.1f} of it for the parts"

    def row(what: str, name: str, remark: str = "") -> Row:
        other, times = f"the baseline's feature: {each['baseline']:.1f} ms", each[name] / each["baseline"]
        return Row(what, f"{each[name]:.1f} ms{remark}", other, f"{times:.2f} x the time", "<= 1.3 x")

    return [
        row(f"decode, find parts, PGAN feature of an image, {setting}", "pgan", found),
        row("the same with PGAN+", "pgan_plus", found),
        row("decode and PGAN+ feature of an image whose parts are known", "known"),
    ]
