"""Average query expansion (Chum et al., "Total Recall", ICCV 2007): ask again with the mean of what came back first.

No label is used, so the gallery images that the protocol calls junk take part too. On VeRi-776 the query images are in
the gallery: the first thing that comes back is the query itself, as in published numbers.
"""

import numpy as np

from data_cache.errors import UserError
from reid.neighbours import nearest
from reid.ranking import Matrix, require_finite


def expanded_queries(query: Matrix, gallery: Matrix, *, k: int = 5, chunk: int, device: str = "cpu") -> Matrix:
    """Return the mean of each query (Q, C) and its k nearest gallery features (G, C), made length 1 again.

    All rows have length 1. k = 0 gives the queries themselves; more than the gallery has is all of it. Memory beyond
    the features is `chunk` x G scores. Raises UserError for a negative k and for a feature that is not finite.
    """
    if k < 0:
        raise UserError(f"query expansion: k is {k}, expected at least 0")
    require_finite(query, gallery)
    if k == 0:
        return query
    total = query.copy()
    for column in nearest(query, gallery, k, chunk=chunk, device=device).rows.T:
        total += gallery[column]
    lengths = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(total / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)
