"""Limits that hold as much of a mixture of Gaussians as of one."""

import numpy as np
import pytest
from scipy.stats import norm

from pyro_mixdvae.tracking.intervals import reach, reach_among


@pytest.mark.parametrize("level", [1e-9, 0.5, 0.9, 1 - 1e-12])
def test_of_one_gaussian_it_is_its_own(level: float) -> None:
    spreads = np.array([[2.0, 7.0]])
    found = reach_among(np.array([3.0, 4.0]), level, np.ones((1, 2)), np.array([[3.0, 4.0]]), spreads)
    assert found == pytest.approx(reach(level) * spreads[0], rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.999])
def test_of_several_it_holds_so_much(level: float) -> None:
    weights, means, spreads = np.array([[0.7, 0.2], [0.3, 0.8]]), np.array([[0.0, 1.0], [9.0, -4.0]]), np.ones((2, 2))
    boxes = np.array([0.5, 1.0])
    far = reach_among(boxes, level, weights, means, spreads)
    inside = norm.cdf(boxes + far, means, spreads) - norm.cdf(boxes - far, means, spreads)
    assert (weights * inside).sum(0) == pytest.approx(np.full(2, level), abs=1e-9)
