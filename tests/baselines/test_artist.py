"""ArTIST follows targets, fills gaps by continuations that a later detection confirms, and leaves clutter alone."""

import numpy as np
import pytest
import torch

from pyro_mixdvae.baselines import artist
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.motion_categories import MotionCategories
from pyro_mixdvae.tracking.tracker import Tracker


@pytest.fixture
def network() -> MotionCategories:
    """Every displacement of a grid is as likely as any other, whatever came before."""
    side = torch.tensor([-0.1, 0.0, 0.1])
    centre = torch.cartesian_prod(side, side)
    network = MotionCategories(n_clusters=9, hidden=4).double()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.zero_()
    network.centroid.copy_(torch.cat([centre, torch.zeros_like(centre)], -1))
    network.spread.fill_(0.05)
    return network


def walkers(n_frames: int = 20) -> np.ndarray:
    """Two targets that walk past each other at a distance: [T, 2, 4]."""
    step = np.arange(n_frames)[:, None, None]
    start = np.array([[50.0, 100, 90, 200], [250, 250, 290, 350]])
    return start + step * np.array([[4.0, 0, 4, 0], [-4, 0, -4, 0]])


def test_boxes_that_were_detected_are_kept_whatever_their_order(network: MotionCategories) -> None:
    true = walkers()
    seen = true.copy()
    seen[1::2] = seen[1::2, ::-1]
    np.testing.assert_allclose(artist.track(seen, 2, network), true, atol=1e-6)


def test_a_gap_is_filled_between_the_detections_around_it(network: MotionCategories) -> None:
    true = walkers()
    seen = true.copy()
    seen[8:12, 0] = np.nan
    found = artist.track(seen, 2, network, n_continuations=200)
    np.testing.assert_allclose(np.delete(found, range(8, 12), 0), np.delete(true, range(8, 12), 0), atol=1e-6)
    assert np.abs(found[8:12, 0] - true[8:12, 0]).max() < 30
    # The step back to the detection is one of the clusters' too: the continuation was confirmed.
    assert np.abs(found[12, 0] - found[11, 0]).max() < 15


def test_a_box_far_from_all_sources_is_nobody_s(network: MotionCategories) -> None:
    true = walkers()
    seen = np.concatenate([true, np.full((20, 1, 4), np.nan)], 1)
    seen[5:, 2] = [600, 20, 640, 120]
    seen[10, 0] = np.nan
    found = artist.track(seen, 2, network)
    np.testing.assert_allclose(np.delete(found, 10, 0), np.delete(true, 10, 0), atol=1e-6)
    assert np.abs(found[10, 0] - true[10, 0]).max() < 20


def test_sources_that_start_late_are_tracked_back(network: MotionCategories) -> None:
    true = walkers()
    seen = true.copy()
    seen[:4, 1] = np.nan
    found = artist.track(seen, 2, network)
    assert found.shape == (20, 2, 4)
    np.testing.assert_allclose(found[:, 0], true[:, 0], atol=1e-6)
    assert np.abs(found[3, 1] - true[3, 1]).max() < 20


def test_the_same_seed_gives_the_same_boxes(network: MotionCategories) -> None:
    seen = walkers()
    seen[8:] = np.nan
    first, second, other = (artist.track(seen, 2, network, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(TypeError, match="KinematicNetwork"):
        artist.load("boxes")


def test_its_weights_are_no_prior() -> None:
    with pytest.raises(InputError, match="MotionCategories, which is no prior"):
        Tracker(2, weights="artist")


def test_shipped_weights_follow_an_easy_scene() -> None:
    network = artist.load("artist")
    assert network.spread.min() > 0
    true = walkers().astype(float)
    seen = true[:, ::-1].copy()
    seen[12:14, 0] = np.nan
    found = artist.track(seen, 2)
    assert np.abs(found - true[:, ::-1]).max() < 10


def test_too_few_detections(network: MotionCategories) -> None:
    with pytest.raises(ValueError, match="no frame has 3 detections"):
        artist.track(walkers(), 3, network)
