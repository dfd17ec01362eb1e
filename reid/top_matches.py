"""The head of ranked lists: the best few gallery images of a handful of queries, to be looked at."""

import numpy as np

from reid.ranking import Labels, Matrix, Numbers, is_junk, score_rows


def top_matches(
    query: Matrix,
    gallery: Matrix,
    query_labels: Labels,
    gallery_labels: Labels,
    *,
    same_camera_is_junk: bool,
    k: int,
    tracks: Numbers | None = None,
) -> tuple[Numbers, Matrix]:
    """Return the best k gallery rows of each query, (Q, k), and their scores (Q, k); inputs as of `rank_queries`.

    Junk is left out; where fewer than k images remain, the row is -1 and the score -inf. Exact ties put the wrong image
    first, then the earlier row. Of `tracks` the best k are listed, each by the row of its best image.
    """
    best = np.full((len(query), k), -1, dtype=np.int64)
    best_scores = np.full((len(query), k), -np.inf, dtype=np.float32)
    units = gallery_labels if tracks is None else gallery_labels.of_tracks(tracks)
    for index, images in score_rows(query, gallery, chunk=64):
        scores = images if tracks is None else np.maximum.reduceat(images, tracks)
        match = units.vehicle == query_labels.vehicle[index]
        junk = match & is_junk(query_labels.camera[index], units.camera) & same_camera_is_junk
        order = np.lexsort((match, -scores))
        order = order[~junk[order]][:k]
        best[index, : len(order)] = order if tracks is None else _best_images(images, tracks, order)
        best_scores[index, : len(order)] = scores[order]
    return best, best_scores


def _best_images(scores: Matrix, tracks: Numbers, chosen: Numbers) -> Numbers:
    """Return the row of the best image of each chosen track (M,), by the scores of the images (G,)."""
    ends = np.append(tracks[1:], len(scores))
    rows = [first + scores[first:end].argmax() for first, end in zip(tracks[chosen], ends[chosen], strict=True)]
    return np.array(rows, dtype=np.int64)
