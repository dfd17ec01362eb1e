"""Features at the sizes of the four benchmarks: vehicles are clusters, and some of their images lie far out."""

from dataclasses import dataclass

import numpy as np

from reid.ranking import Labels, Matrix

CHANNELS = 512


@dataclass(frozen=True)
class Test:
    """A benchmark's sizes; `timed` are the queries that are ranked here, for the largest take a minute."""

    name: str
    queries: int
    gallery: int
    vehicles: int
    cameras: int
    timed: int


VERI = Test("VeRi-776", 1_678, 11_579, 200, 20, 1_678)
LARGE = Test("VERI-Wild large", 10_000, 128_517, 10_000, 174, 512)
TESTS = (
    VERI,
    Test("VehicleID large", 17_377, 2_400, 2_400, 0, 17_377),
    Test("VRIC", 2_811, 2_811, 2_811, 60, 2_811),
    Test("VERI-Wild small", 3_000, 38_861, 3_000, 174, 1_024),
    Test("VERI-Wild medium", 5_000, 64_389, 5_000, 174, 768),
    LARGE,
)


@dataclass(frozen=True)
class Sets:
    """Queries and gallery of a test."""

    query: Matrix
    gallery: Matrix
    query_labels: Labels
    gallery_labels: Labels

    def head(self, queries: int) -> "Sets":
        """Return the first queries, and the whole gallery."""
        return Sets(self.query[:queries], self.gallery, self.query_labels.take(np.arange(queries)), self.gallery_labels)


def random_sets(test: Test) -> Sets:
    """Return a test whose vehicles are clusters, wide and narrow images in each, so that some matches lie deep."""
    random = np.random.default_rng(0)
    centres = _unit(random.standard_normal((test.vehicles, CHANNELS), dtype=np.float32))

    def side(count: int) -> tuple[Matrix, Labels]:
        vehicle = np.arange(count) % test.vehicles
        features = centres[vehicle]
        for rows in np.array_split(np.arange(count), 1 + count // 4096):
            noise = _unit(random.standard_normal((len(rows), CHANNELS), dtype=np.float32))
            features[rows] += noise * 1.7 * np.exp(0.5 * random.standard_normal((len(rows), 1), dtype=np.float32))
            features[rows] = _unit(features[rows])
        camera = random.integers(0, test.cameras, count) if test.cameras else np.full(count, -1)
        return features, Labels(vehicle, camera)

    (query, query_labels), (gallery, gallery_labels) = side(test.queries), side(test.gallery)
    return Sets(query, gallery, query_labels, gallery_labels)


def _unit(matrix: Matrix) -> Matrix:
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))
