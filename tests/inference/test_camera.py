"""The camera's path, by boxes that are shaken all at once, and by boxes that are not."""

import numpy as np
import pytest

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.camera import Array, ShakenCamera

T, K = 150, 6


def walkers(seed: int, jitter: float = 0.3) -> Array:
    """Boxes [T, K, 4] of 20 x 40 pixels and more that speed up and slow down, each by itself; one in twenty missed."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(0, 0.1, (T, K, 2)).cumsum(0).cumsum(0) + rng.uniform(100, 1100, (K, 2))
    half = np.array([10.0, 20.0]) * rng.uniform(1, 2, (K, 1))
    boxes = np.concatenate([centre - half, centre + half], -1) + rng.normal(0, jitter, (T, K, 4))
    boxes[rng.random((T, K)) < 0.05] = np.nan
    return boxes


def shaken(boxes: Array, path: Array) -> Array:
    return boxes + np.tile(path, 2)[:, None]


def second(path: Array) -> Array:
    found: Array = np.diff(path, 2, axis=0)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_what_boxes_do_by_themselves_is_not_the_camera(seed: int) -> None:
    np.testing.assert_array_equal(ShakenCamera().path(walkers(seed)), np.zeros((T, 2)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spread", [1.0, 4.0])
def test_what_they_do_at_once_is_the_camera(seed: int, spread: float) -> None:
    path = np.random.default_rng([seed, 7]).normal(0, spread, (T, 2))
    found = ShakenCamera().path(shaken(walkers(seed), path))
    # A frame's mean of six boxes errs by the square root of six less than one of them.
    assert (second(found) - second(path)).std() < 0.5
    assert np.corrcoef(second(found).ravel(), second(path).ravel())[0, 1] > 0.97


def test_a_jolt_takes_boxes_further_than_they_are_wide() -> None:
    """Among boxes that stand in each other's place after it, too; and the camera is elsewhere from then on."""
    row = np.arange(K)[:, None] * np.array([28.0, 0.0]) + np.array([300.0, 200.0])
    boxes = np.concatenate([row, row + np.array([24.0, 48.0])], -1) + np.zeros((40, 1, 1))
    boxes += np.random.default_rng(0).normal(0, 0.3, boxes.shape)
    boxes[:, :, [1, 3]] += 3 * np.arange(K)[:, None]  # no two in a row
    boxes[:, :, 3] += 4 * np.arange(K)
    path = np.zeros((40, 2))
    path[20:] = [30.0, 3.0]
    found = ShakenCamera().path(shaken(boxes, path))
    np.testing.assert_allclose((found[20] - found[19]), path[20] - path[19], atol=1.0)
    assert second(found)[:18].std() < 0.5


def test_a_bystander_who_goes_his_own_way_changes_little() -> None:
    boxes = walkers(1)
    path = np.random.default_rng(9).normal(0, 2.0, (T, 2))
    expected = ShakenCamera().path(shaken(boxes, path))
    other = walkers(2)[:, :1] + 8 * np.random.default_rng(4).standard_normal((T, 1, 1))
    found = ShakenCamera().path(np.concatenate([shaken(boxes, path), other], 1))
    assert (second(found) - second(expected)).std() < 0.1 * second(path).std()


def test_the_path_is_that_of_dense_matrices() -> None:
    """Runs of boxes that nobody comes near are the columns, from one gap to the next."""
    slow = 12.0
    boxes = shaken(walkers(0), np.random.default_rng(1).normal(0, 3.0, (T, 2)))
    found = ShakenCamera(slow).path(boxes)
    assert np.abs(found).max() > 3
    size = np.sqrt((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))
    runs = [(begin, end, k) for k in range(K) for begin, end in stretches(~np.isnan(size[:, k]))]
    for d in range(2):
        place = (boxes[..., d] + boxes[..., d + 2]) / 2
        np.testing.assert_allclose(found[:, d], by_dense_matrices(place, size, runs, slow), rtol=1e-6, atol=1e-6)


def stretches(there: np.ndarray) -> list[tuple[int, int]]:
    """Of six frames or more."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], there.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= 6]


def by_dense_matrices(place: Array, size: Array, runs: list[tuple[int, int, int]], slow: float) -> Array:
    """As the docstring of the class has it, of one coordinate [T, K]."""
    path, spread, variance = np.zeros(T), 0.0, 0.0
    for number in range(32):
        beside = np.full((T, K), np.nan)
        for begin, end, k in runs:
            differences = np.diff(np.eye(end - begin), 2, axis=0)
            matrix = np.eye(end - begin) + slow**4 / 32 * differences.T @ differences
            beside[begin:end, k] = place[begin:end, k] - np.linalg.solve(matrix, (place[:, k] - path)[begin:end])
        count = (~np.isnan(beside)).sum(1)
        if number == 0:
            middle = np.nanmedian(beside, 1, keepdims=True)
            few = np.sqrt(count / np.maximum(count - 1, 1))[:, None]
            spread = 1.4826 * float(
                np.nanmedian(np.where(count[:, None] > 1, np.abs(beside - middle) / size * few, np.nan))
            )
            weight = np.where(np.isnan(beside), 0.0, size**-2)
            value = weight * np.nan_to_num(middle + np.clip(beside - middle, -3 * spread * size, 3 * spread * size))
            pairs = weight.sum(1) ** 2 - (weight**2).sum(1)
            variance = float((value.sum(1) ** 2 - (value**2).sum(1)).sum() / pairs.sum())
        own = (spread * size) ** 2
        weight = np.nan_to_num(4 / (3 + (beside - path[:, None]) ** 2 / own) / own)
        wide = (3 * variance + path**2) / 4
        path = (weight * np.nan_to_num(beside)).sum(1) / (weight.sum(1) + 1 / wide)
    return path


@pytest.mark.parametrize("n_frames", [1, 2, 3, 30])
@pytest.mark.parametrize("n_boxes", [0, 1, 6])
def test_of_few_frames_and_boxes_nothing_is_told(n_frames: int, n_boxes: int) -> None:
    """One box alone is a source that moves; six that stand still are in a picture that does."""
    boxes = np.zeros((n_frames, n_boxes, 4)) + np.array([10.0, 10.0, 30.0, 50.0])
    boxes[..., [0, 2]] += 100 * np.arange(n_boxes)[:, None]
    if n_boxes == 1:
        boxes += np.random.default_rng(0).normal(0, 2.0, boxes.shape).clip(-4, 4)
    np.testing.assert_array_equal(ShakenCamera().path(boxes), np.zeros((n_frames, 2)))


def test_fewer_than_five_boxes_are_no_measure_of_a_camera() -> None:
    boxes = shaken(walkers(0), np.random.default_rng(1).normal(0, 3.0, (T, 2)))
    assert ShakenCamera().path(boxes).any()
    np.testing.assert_array_equal(ShakenCamera().path(boxes[:, :5]), np.zeros((T, 2)))  # 4.75, as some are missed


def test_swings_that_are_slow_stay_with_the_sources() -> None:
    """A third of one of 2 pi `slow` frames in all, next to nothing of a jitter; all boxes swing, nothing else moves."""
    rng = np.random.default_rng(0)
    corner = np.array([[200.0 * k, 100.0 * k] for k in range(K)])
    still = np.concatenate([corner, corner + 60], -1) + rng.normal(0, 0.01, (T * 4, K, 4))
    swing = 5 * np.sin(np.arange(T * 4) / 10)[:, None] * np.ones(2)
    found = ShakenCamera(10.0).path(shaken(still, swing))
    inner = slice(T, 3 * T)
    share = (found[inner] * swing[inner]).sum() / (swing[inner] ** 2).sum()
    assert share == pytest.approx(1 - (1 + 1 / 32) ** -32, abs=0.02)


def test_a_detector_may_look_at_every_third_frame() -> None:
    boxes = shaken(walkers(0), np.random.default_rng(1).normal(0, 3.0, (T, 2)))
    film = np.full((3 * T, K, 4), np.nan)
    film[::3] = boxes
    found, expected = ShakenCamera().path(film), ShakenCamera().path(boxes)
    np.testing.assert_allclose(found[::3], expected)
    np.testing.assert_allclose(found[1:-3:3], (2 * expected[:-1] + expected[1:]) / 3)


def test_numbers_too_large_to_be_squared_say_nothing() -> None:
    boxes = shaken(walkers(0), np.random.default_rng(1).normal(0, 3.0, (T, 2))) * 1e200
    np.testing.assert_array_equal(ShakenCamera().path(boxes), np.zeros((T, 2)))


def test_what_it_refuses() -> None:
    with pytest.raises(InputError, match="give more than 0"):
        ShakenCamera(0.0)
    with pytest.raises(InputError, match="points and poses have no size"):
        ShakenCamera().path(np.zeros((5, 2, 2)))
