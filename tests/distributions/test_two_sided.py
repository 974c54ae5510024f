"""Both sides of a chain at each frame, against evidence by the filter; and the kernels against PyTorch."""

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from pyro_mixdvae.distributions.kalman import Transition, filter_sequence
from pyro_mixdvae.distributions.two_sided import RIDGE, TwoSided, gap, two_sided
from pyro_mixdvae.engines.numba import two_sided as kernels

N, T, D = 3, 7, 2


def chains(size: int) -> tuple[Transition, Tensor, Tensor]:
    """Random steps of N chains, and observations of which every fourth is missing."""
    draw = torch.Generator().manual_seed(size)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.double)

    noise = 0.3 * normal(N, T, D, size, size)
    matrix = torch.eye(size, dtype=torch.double) + 0.2 * normal(N, T, D, size, size)
    matrix[:, 0] = 0.0
    covariance = noise @ noise.mT + 0.1 * torch.eye(size, dtype=torch.double)
    precision = torch.where(torch.arange(N * T * D).reshape(N, T, D) % 4 > 0, normal(N, T, D).exp(), 0.0)
    return Transition(matrix, 0.5 * normal(N, T, D, size), covariance), normal(N, T, D), precision


def log_evidence(transitions: Transition, value: Tensor, precision: Tensor) -> Tensor:
    """Of each coordinate's observations, [D]: of chains without a batch."""
    _, predicted = filter_sequence(transitions, value, precision)
    spread = (predicted.covariance[..., 0, 0] + 1 / precision.clamp(min=1e-300)).sqrt()
    found = Normal(predicted.mean[..., 0], spread).log_prob(value)
    return torch.where(precision > 0, found, 0.0).sum(0)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_exchanged_futures_have_the_evidence_that_the_filter_gives_them(size: int) -> None:
    parts = (*chains(size)[0], *chains(size)[1:])
    sides = two_sided(Transition(*parts[:3]), *parts[3:])
    for t in range(1, T):
        found, expected = 0.0, 0.0
        for i, j in ((0, 1), (1, 0), (0, 0), (1, 1)):
            sign = 1.0 if i != j else -1.0
            fit = gap(TwoSided(*(part[i] for part in sides)), TwoSided(*(part[j] for part in sides)))
            found = found - sign * 0.5 * (fit.squares + fit.volumes)[t]
            # Frame t itself is entered by the step of the chain that it was predicted by.
            steps = [torch.cat([part[i, : t + 1], part[j, t + 1 :]]) for part in parts[:3]]
            joined = [*steps, *(torch.cat([part[i, :t], part[j, t:]]) for part in parts[3:])]
            expected = expected + sign * log_evidence(Transition(*joined[:3]), *joined[3:])
        torch.testing.assert_close(found, expected, rtol=1000 * RIDGE, atol=1000 * RIDGE)


def test_unsettled_frames_count_on_neither_side() -> None:
    transitions, value, precision = chains(2)
    some = two_sided(transitions, value, precision, unsettled=2)
    for t in range(T):
        hidden = precision.clone()
        hidden[:, max(t - 2, 0) : t] = 0.0
        plain = two_sided(transitions, value, hidden)
        for found, expected in zip(some, plain, strict=True):
            torch.testing.assert_close(found[:, t], expected[:, t], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.double, torch.float32])
@pytest.mark.parametrize("unsettled", [0, 2])
def test_kernels(unsettled: int, dtype: torch.dtype) -> None:
    transitions, value, precision = chains(2)
    arrays = [part.to(dtype).numpy() for part in (*transitions, value, precision)]
    doubles = [torch.from_numpy(part).double() for part in arrays]
    expected = two_sided(Transition(*doubles[:3]), *doubles[3:], unsettled)
    sides = kernels.two_sided(*arrays, unsettled, RIDGE)
    rows, columns = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1])
    for packed, whole in (
        (sides.mean, expected.mean),
        (sides.centre, expected.centre),
        (sides.covariance, expected.covariance[..., rows, columns]),
        (sides.precision, expected.precision[..., rows, columns]),
    ):
        torch.testing.assert_close(torch.from_numpy(packed), whole, rtol=1e-7, atol=1e-7)
    before, after = (TwoSided(*(part.unsqueeze(axis) for part in expected)) for axis in (1, 0))
    squares, volumes = gap(before, after)
    own = kernels.own_gaps(sides)
    for found, every in zip(own, (squares, volumes), strict=True):
        torch.testing.assert_close(torch.from_numpy(found), every[range(N), range(N)], rtol=1e-7, atol=1e-9)
    total = (squares + volumes).sum(-1)
    each = total[range(N), range(N)]
    odds = (0.5 * (each[:, None] + each[None] - total - total.swapaxes(0, 1))).movedim(-1, 0).triu(1)
    least = float(odds[1:].median())
    near = kernels.near_pairs(sides, *own, N, least)[0]
    is_pair = torch.ones(N, N).triu(1) > 0
    assert (torch.from_numpy(near)[1:] == ((odds >= least) & is_pair)[1:]).all()
    frame, first, second = near.nonzero()
    crossed = kernels.crossed_gaps(sides, first, second, frame)
    for found, every in zip(crossed, (squares, volumes), strict=True):
        there, back = every[first, second, frame], every[second, first, frame]
        torch.testing.assert_close(torch.from_numpy(found), torch.stack([there, back]), rtol=1e-7, atol=1e-9)
