"""Gaps across which a source may have jumped: boxes that come back on their way, or elsewhere."""

from functools import lru_cache

import numpy as np
import pytest
import torch
from meetings import SIZE, posterior_of
from scipy.stats import t as student

from pyro_mixdvae import Tracker
from pyro_mixdvae.distributions import two_sided
from pyro_mixdvae.inference.gap_spread import GapSpread
from pyro_mixdvae.inference.jumps import Jump, gaps_of, possible_jumps
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.inference.track_gaps import GapsOfAny, GapsOfTwo
from pyro_mixdvae.testing.scenes import EXACT

BEGIN, END = 40, 59


def walking(jump: float) -> np.ndarray:
    """Two boxes [T, 2, 4] that walk on, one of which is hidden for 20 frames, and comes back so far from its way."""
    steps = np.arange(100.0)[:, None]
    centre = np.stack([40 + 1.5 * steps + np.array([0, 100]), 60 + 0 * steps + np.array([0, 180])], -1)
    centre[END + 1 :, 0, 1] += jump
    half = np.array([10.0, 20.0])
    boxes = np.concatenate([centre - half, centre + half], -1)
    boxes += np.random.default_rng(3).normal(0, 0.3, boxes.shape)
    boxes[BEGIN : END + 1, 0] = np.nan
    return boxes


@lru_cache
def posterior(jump: float) -> Posterior:
    return posterior_of(walking(jump))


def seen(found: Posterior) -> np.ndarray:
    """[B, N, T]."""
    return (found.responsibilities[..., :2].sum(-2) > 0.5).transpose(1, 2).numpy()


def jumps(jump: float) -> list[Jump]:
    (found,) = possible_jumps(posterior(jump), seen(posterior(jump)))
    return found


def test_who_comes_back_elsewhere_has_jumped() -> None:
    (found,) = jumps(90.0)
    assert (found.source, found.begin) == (0, BEGIN)
    assert END <= found.end <= END + 5  # it takes some frames to be believed
    assert found.probability > 0.9
    assert found.before.mean[:, 1] * SIZE[1] == pytest.approx(60, abs=10)
    assert found.after.mean[-1, 1] * SIZE[1] == pytest.approx(150, abs=10)
    for place in (found.before, found.after):
        assert place.variance.shape == (found.end + 1 - BEGIN, 4)
        assert bool((place.variance < found.away.variance).all())
    # The longer ago the past, and the nearer the future, the less and the more is known by them.
    assert bool((found.before.variance.diff(dim=0) >= 0).all())
    assert bool((found.after.variance.diff(dim=0) <= 1e-12).all())


def test_who_comes_back_on_its_way_has_not() -> None:
    assert all(each.probability < 0.01 for each in jumps(0.0))


def test_how_likely_each_place_is() -> None:
    """By counting: two moments in the gap, or at its end, of which the first is no later."""
    (found,) = jumps(90.0)
    weights = found.weights()
    length = found.end + 1 - found.begin
    torch.testing.assert_close(weights.sum(0), torch.ones(length, dtype=torch.double), **EXACT)
    draws = np.sort(np.random.default_rng(0).random((200000, 2)), axis=1)
    for frame in (0, 4, length - 1):
        past = (frame + 1) / (length + 1)
        counted = [(draws[:, 0] > past).mean(), ((draws[:, 0] <= past) & (draws[:, 1] > past)).mean()]
        counted = [1 - found.probability, *(found.probability * np.array([*counted, (draws[:, 1] <= past).mean()]))]
        assert weights[:, frame].numpy() == pytest.approx(counted, abs=4e-3)


def test_intervals_hold_where_it_may_be_meanwhile() -> None:
    """They reach to both ends of the jump, and are as they were where there is none."""
    for jump in (0.0, 90.0):
        boxes = walking(jump)
        result = Tracker(2).track(boxes, SIZE)
        source = int(np.abs(result.boxes[0, :, 1] - boxes[0, 0, 1]).argmin())
        middle = (BEGIN + END) // 2
        assert not result.observed[middle, source]
        wide = (result.upper - result.lower)[middle, source, 1]
        if jump:
            assert result.lower[middle, source, 1] < 40
            assert result.upper[middle, source, 1] > 40 + jump
        else:
            assert wide < 30


def test_gaps_lie_between_frames_that_are_seen() -> None:
    rows = ["010011010", "000000000", "000010000", "110000001"]
    seen = np.array([[each == "1" for each in row] for row in rows])
    found = gaps_of(np.stack([seen, seen[::-1]]))
    assert list(zip(*(part.tolist() for part in found), strict=True)) == [
        (0, 0, 2, 3),
        (0, 0, 6, 6),
        (0, 3, 2, 7),
        (1, 0, 2, 7),
        (1, 3, 2, 3),
        (1, 3, 6, 6),
    ]


def test_pytorch_and_kernels_agree() -> None:
    chains = posterior(90.0).conditioned
    assert chains is not None
    found, expected = GapsOfTwo(chains, 0), GapsOfAny(chains, 0)
    cuts = np.zeros(40, np.int64), np.arange(40) % 2, np.arange(30, 70)
    for ours, theirs in zip(found.own(*cuts), expected.own(*cuts), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)
    sides, others = (gaps.at(*cuts) for gaps in (found, expected))
    for name in two_sided.TwoSided._fields:
        torch.testing.assert_close(getattr(sides, name), getattr(others, name), rtol=1e-4, atol=1e-6)


def test_the_spread_of_gaps_is_a_density() -> None:
    """One number: as Student's t of scipy, but for what a Gaussian leaves out too."""
    spread = GapSpread(np.array([2.5]), 4.0, 1)
    values = np.linspace(-5, 5, 11)
    found = spread.log_density(values[:, None] ** 2, np.zeros((11, 1))) + spread.log_constant()
    expected = student.logpdf(values, 4.0, scale=2.5**0.5) + 0.5 * np.log(2 * np.pi)
    assert found == pytest.approx(expected, rel=1e-9)
