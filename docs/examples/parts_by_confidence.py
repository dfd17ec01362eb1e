"""Which boxes of a part detector are right, by their confidence: the table "By confidence" of docs/results/parts.md.

A box is right if it shows the same part as a true box with IoU 0.5 or more; each true box counts once, for the most
confident of those. Boxes of parts that no image of the file has do not count: nobody looked for them.

    python cli.py detect --images PHOTOS --detector shipped --output photos.h5
    python docs/examples/parts_by_confidence.py docs/examples/vehicle_re_id_dataset_parts.json PHOTOS photos.h5
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torchvision.ops import box_iou

from data_cache.parts.cache import read_parts
from detect.annotations.images import AnnotatedImage
from detect.annotations.reading import read_annotations

FROM = (0.02, 0.3, 0.4, 0.5, 0.7)
BAND = 0.1
IOU = 0.5


def right_boxes(image: AnnotatedImage, boxes: np.ndarray, labels: np.ndarray) -> list[bool]:
    """Return which boxes (K, 4), the most confident first, are right."""
    overlap = box_iou(torch.from_numpy(boxes), torch.from_numpy(image.boxes)).numpy()
    free, right = np.ones(len(image.boxes), dtype=bool), []
    for row, label in zip(overlap, labels, strict=True):
        candidates = np.where(free & (image.labels == label) & (row >= IOU), row, -1.0)
        best = int(candidates.argmax()) if len(candidates) else -1
        right.append(best >= 0 and candidates[best] >= IOU)
        if right[-1]:
            free[best] = False
    return right


def main() -> None:
    """Print the table; the arguments are the annotations, the folder of their images, and the part cache."""
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    annotations, folder, cache = map(Path, sys.argv[1:])
    images = read_annotations(annotations, folder)
    detected, scores, right = read_parts(cache), [], []
    rows = detected.rows([image.name for image in images])
    annotated = np.unique(np.concatenate([image.labels for image in images]))
    for image, row in zip(images, rows, strict=True):
        known = np.isin(detected.labels[row], annotated)
        right += right_boxes(image, detected.boxes[row, known], detected.labels[row, known])
        scores += detected.scores[row, known].tolist()
    found, is_right = np.array(scores), np.array(right)
    parts = sum(len(image.labels) for image in images)
    print(f"{parts} parts; precision, recall (precision of those up to {BAND} above)")
    for least in FROM:
        above = is_right[found >= least]
        band = is_right[(found >= least) & (found < least + BAND)]
        print(f"{least:4}: {above.mean():.3f}, {above.sum() / parts:.3f} ({band.mean():.2f})")


if __name__ == "__main__":
    main()
