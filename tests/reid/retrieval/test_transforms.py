"""What is done with features after the network: against loops, and properties that define it."""

import numpy as np
import pytest

from data_cache.base.errors import UserError
from helpers.naive.ranking import unit
from reid.retrieval.transforms import FEW, Whitening, augmented_database, joined, without_camera_means


def random_features(count: int = 40, channels: int = 12, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((count, channels)))


def test_camera_means_equal_a_loop() -> None:
    features, cameras = random_features(), np.random.default_rng(1).integers(-1, 4, 40)
    changed = without_camera_means(features, cameras)
    overall = features.mean(axis=0)
    for row, camera in enumerate(cameras):
        wanted = features[row]
        if camera >= 0:
            own = features[cameras == camera]
            wanted = wanted - len(own) / (len(own) + FEW) * (own.mean(axis=0) - overall)
        np.testing.assert_allclose(changed[row], wanted / np.linalg.norm(wanted), atol=1e-6)


def test_what_a_camera_adds_is_taken_off() -> None:
    random = np.random.default_rng(0)
    vehicle, cameras = np.tile(np.arange(200), 2), np.repeat([0, 1], 200)
    base, added = random.standard_normal((200, 12)), 3 * random.standard_normal((2, 12))
    features = unit(base[vehicle] + added[cameras] + 0.3 * random.standard_normal((400, 12)))

    def found(matrix: np.ndarray) -> float:
        return float((matrix[:200] @ matrix[200:].T).argmax(axis=1).__eq__(np.arange(200)).mean())

    assert found(without_camera_means(features, cameras)) > found(features) + 0.2


def test_one_camera_or_none_changes_nothing() -> None:
    features = random_features()
    np.testing.assert_allclose(without_camera_means(features, np.zeros(40, int)), features, atol=1e-6)
    np.testing.assert_allclose(without_camera_means(features, np.full(40, -1)), features, atol=1e-6)


def test_an_augmented_database_equals_a_loop() -> None:
    gallery = random_features()
    changed = augmented_database(gallery, 3)
    for row, feature in enumerate(gallery):
        others = sorted(
            (image for image in range(40) if image != row), key=lambda image: -float(gallery[image] @ feature)
        )
        mean = feature + gallery[others[:3]].sum(axis=0)
        np.testing.assert_allclose(changed[row], mean / np.linalg.norm(mean), atol=1e-6)


def test_whitened_differences_within_a_vehicle_are_a_sphere() -> None:
    random = np.random.default_rng(0)
    vehicles = np.repeat(np.arange(400), 5)
    spread = np.diag(np.linspace(0.2, 3, 6)) @ np.linalg.qr(random.standard_normal((6, 6)))[0]
    features = (random.standard_normal((400, 6))[vehicles] + random.standard_normal((2000, 6)) @ spread).astype(
        np.float32
    )
    whitening = Whitening.fit(features, vehicles)
    mapped = (features - whitening.mean) @ whitening.matrix
    means = np.stack([mapped[vehicles == vehicle].mean(axis=0) for vehicle in range(400)])
    within = mapped - means[vehicles]
    covariance = within.T @ within / 1600
    assert np.linalg.cond(covariance) < 10 < np.linalg.cond(spread.T @ spread)
    np.testing.assert_allclose(np.linalg.norm(whitening(features), axis=1), 1, atol=1e-6)


def test_whitening_helps_where_a_direction_is_noise_only() -> None:
    random = np.random.default_rng(0)
    vehicles = np.repeat(np.arange(100), 4)
    noise = random.standard_normal((400, 8)) * np.array([6, 6, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3])
    features = unit(np.concatenate([np.zeros((100, 2)), random.standard_normal((100, 6))], axis=1)[vehicles] + noise)
    whitening = Whitening.fit(features[:200], vehicles[:200])

    def found(matrix: np.ndarray) -> float:
        scores = matrix @ matrix.T
        np.fill_diagonal(scores, -np.inf)
        return float((vehicles[200:][scores.argmax(axis=1)] == vehicles[200:]).mean())

    assert found(whitening(features[200:])) > found(features[200:]) + 0.2


def test_whitening_needs_two_images_of_a_vehicle_but_not_many() -> None:
    with pytest.raises(UserError, match="no training vehicle has two images"):
        Whitening.fit(random_features(5), np.arange(5))
    assert np.isfinite(
        Whitening.fit(random_features(6, 50), np.array([0, 0, 1, 2, 3, 4]))(random_features(3, 50))
    ).all()


def test_the_cosine_of_joined_features_is_the_mean_of_the_cosines() -> None:
    one, other = random_features(seed=1), random_features(channels=7, seed=2)
    both = joined([one, other])
    np.testing.assert_allclose(both @ both.T, (one @ one.T + other @ other.T) / 2, atol=1e-6)
