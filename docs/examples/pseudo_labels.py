"""Turn what a detector finds on photographs without boxes into annotations to train it on (self-training).

A box with a score of HIGH or more counts as a part. A kind of part of which some box of an image has a lower score, but
LOW or more, is left open in that image: its boxes there are neither parts nor background.

    python cli.py detect --dataset photos.csv --detector mine
    python cli.py cache export runs/photos/parts.h5 --format coco --output found.json
    python docs/examples/pseudo_labels.py found.json pseudo.json
"""

import json
import sys
from pathlib import Path
from typing import Any

HIGH, LOW = 0.6, 0.15


def pseudo_labels(found: dict[str, Any]) -> dict[str, Any]:
    """Return the COCO document of a part cache with its confident boxes as annotations."""
    names = {category["id"]: category["name"] for category in found["categories"]}
    undecided: dict[int, set[str]] = {image["id"]: set() for image in found["images"]}
    for box in found["annotations"]:
        if LOW <= box["score"] < HIGH:
            undecided[box["image_id"]].add(names[box["category_id"]])
    images = [
        image | {"annotated_parts": [name for name in names.values() if name not in undecided[image["id"]]]}
        for image in found["images"]
    ]
    certain = [
        {key: value for key, value in box.items() if key != "score"}
        for box in found["annotations"]
        if box["score"] >= HIGH and names[box["category_id"]] not in undecided[box["image_id"]]
    ]
    return {"images": images, "annotations": certain, "categories": found["categories"]}


def main() -> None:
    """Write the annotations; the arguments are the exported boxes and the file to write."""
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    document = pseudo_labels(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(sys.argv[2]).write_text(json.dumps(document), encoding="utf-8")
    print(f"{len(document['images'])} images, {len(document['annotations'])} parts in {sys.argv[2]}")


if __name__ == "__main__":
    main()
