"""Put several annotated sets together as one, to train a part detector on all of them.

Each set is a COCO file, the folder of its images, and how many times an epoch shows it: a few hundred photographs would
be lost among thousands of rendered images. The result is a folder with copies of the images and `parts_train.json`.

    python docs/examples/detector_training_set.py data/mixed \\
        wide/synthetic/parts_train.json wide/synthetic 1 \\
        docs/examples/vehicle_re_id_dataset_parts_train.json Vehicle-Re-ID-Dataset 8
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from data_cache.parts.names import PART_NAMES


def put_together(target: Path, sets: list[tuple[Path, Path, int]]) -> dict[str, Any]:
    """Copy the images of `sets` (COCO file, image folder, times) below `target`; return the COCO document."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (file, root, times) in enumerate(sets):
        document = json.loads(file.read_text(encoding="utf-8"))
        names = {category["id"]: category["name"] for category in document["categories"]}
        parts: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in document["images"]}
        for annotation in document["annotations"]:
            parts[annotation["image_id"]].append(annotation)
        for image in document["images"]:
            for time in range(times):
                name = f"{number}/{time}/{image['file_name']}"
                copy(root / image["file_name"], target / name)
                vehicle = image.get("vehicle_id") or image["file_name"]  # all copies on the same side of the split
                annotated = image.get("annotated_parts", list(names.values()))
                record = {"id": len(images) + 1, "file_name": name, "vehicle_id": f"{number} {vehicle}"}
                images.append(image | record | {"annotated_parts": annotated})
                for annotation in parts[image["id"]]:
                    label = PART_NAMES.index(names[annotation["category_id"]]) + 1
                    changed = {"id": len(annotations) + 1, "image_id": len(images), "category_id": label}
                    annotations.append(annotation | changed)
    categories = [{"id": label, "name": name} for label, name in enumerate(PART_NAMES, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def copy(source: Path, target: Path) -> None:
    """Copy a file, as a hard link where the file system allows it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def main() -> None:
    """Write the set; the arguments are its folder, then COCO file, image folder and times for each source."""
    folder, *sources = sys.argv[1:] or [""]
    if not sources or len(sources) % 3:
        raise SystemExit(__doc__)
    sets = [(Path(sources[i]), Path(sources[i + 1]), int(sources[i + 2])) for i in range(0, len(sources), 3)]
    document = put_together(Path(folder), sets)
    (Path(folder) / "parts_train.json").write_text(json.dumps(document), encoding="utf-8")
    print(f"{len(document['images'])} images, {len(document['annotations'])} parts in {folder}/parts_train.json")


if __name__ == "__main__":
    main()
