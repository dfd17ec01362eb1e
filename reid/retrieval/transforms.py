"""What may be done with features after the network, each beside the plain score: never in its place."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_cache.base.errors import UserError
from reid.retrieval.neighbours import expanded_queries
from reid.retrieval.ranking import Matrix, Numbers

FEW = 10.0  # images: the mean of a camera with so many is believed by half
SHRINKAGE = 0.05  # share of a sphere in the covariance of a whitening


def without_camera_means(features: Matrix, cameras: Numbers) -> Matrix:
    """Return features (N, C) without what their camera adds, of length 1 again.

    Of each camera (N,) the mean of its features is taken off, as far as it differs from the mean of all, and weighted
    by n / (n + FEW), since the mean of few vehicles is that of these vehicles. Which vehicles they are is not used.
    Images by unknown cameras (-1) are left as they are.
    """
    changed, overall = features.astype(np.float64), features.mean(axis=0, dtype=np.float64)
    for camera in np.unique(cameras[cameras >= 0]):
        own = cameras == camera
        count = int(own.sum())
        changed[own] -= count / (count + FEW) * (features[own].mean(axis=0, dtype=np.float64) - overall)
    return unit_rows(changed)


def augmented_database(gallery: Matrix, k: int, *, device: str = "cpu") -> Matrix:
    """Return each gallery feature (G, C) as the mean of itself and its k nearest others, of length 1.

    Database-side augmentation (Arandjelovic and Zisserman, CVPR 2012), with equal weights. Raises UserError for a
    feature that is not finite.
    """
    return expanded_queries(gallery, gallery, k, device=device, skip_itself=True)


@dataclass(frozen=True, eq=False)
class Whitening:
    """A linear map of features: (f - mean) @ matrix, (C,) and (C, C), then length 1."""

    mean: NDArray[np.float64]
    matrix: NDArray[np.float64]

    @classmethod
    def fit(cls, features: Matrix, vehicles: Numbers) -> "Whitening":
        """Learn from training pairs (Mikolajczyk and Matas, ICCV 2007): differences within a vehicle become a sphere.

        features (N, C), vehicles (N,). The covariance of the differences of images of one vehicle is shrunk towards a
        sphere by SHRINKAGE, as there may be fewer pairs than channels. Raises UserError if no vehicle has two images.
        """
        _, group, counts = np.unique(vehicles, return_inverse=True, return_counts=True)
        if counts.max(initial=0) < 2:
            raise UserError("whitening: no training vehicle has two images to learn from")
        values = features.astype(np.float64)
        sums = np.zeros((len(counts), values.shape[1]))
        np.add.at(sums, group, values)
        within = values - (sums / counts[:, None])[group]
        covariance = within.T @ within / max(1, len(values) - len(counts))
        sphere = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        eigenvalues, vectors = np.linalg.eigh((1 - SHRINKAGE) * covariance + SHRINKAGE * sphere)
        matrix = (vectors / np.sqrt(np.maximum(eigenvalues, np.finfo(np.float64).tiny))) @ vectors.T
        return cls(values.mean(axis=0), matrix)

    def __call__(self, features: Matrix) -> Matrix:
        """Return the features (N, C) whitened, of length 1."""
        return unit_rows((features.astype(np.float64) - self.mean) @ self.matrix)


def joined(features: Sequence[Matrix]) -> Matrix:
    """Return the features of several networks, (N, C) each, as one: its cosine is the mean of their cosines."""
    return np.concatenate(features, axis=1) / np.float32(np.sqrt(len(features)))


def unit_rows(matrix: NDArray[np.float64]) -> Matrix:
    """Return the rows with length 1; a row of zeros stays one."""
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)
