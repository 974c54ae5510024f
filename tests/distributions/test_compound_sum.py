"""Sounds of uncertain power given their sum: held to what is known without uncertainty, and to draws of the model."""

import math

import pytest
import torch
from sounds import complex_normal
from torch import Tensor
from torch.distributions import Gamma

from pyro_mixdvae.distributions.complex_normal import ComplexNormal, squared_modulus
from pyro_mixdvae.distributions.compound_sum import N_TEXTURES, CompoundSum, textures
from pyro_mixdvae.distributions.k_distribution import log_density
from pyro_mixdvae.distributions.shared_sum import SharedSum
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close

N, T, F = 3, 2, 2
KNOWN = torch.full((N,), math.inf)


def example(*batch: int) -> SharedSum:
    powers, noise = 2 * torch.rand(*batch, N, T, F) + 0.05, 0.3 * torch.rand(*batch, T, F)
    return SharedSum(powers, complex_normal(*batch, T, F), noise)


@pytest.mark.parametrize("batch", [(), (2,)])
def test_known_powers_leave_the_wiener_filter(batch: tuple[int, ...]) -> None:
    given = example(*batch)
    compound = CompoundSum(given, KNOWN)
    evidence = ComplexNormal(None, given.expected).log_prob(given.total)
    torch.testing.assert_close(compound.log_evidence(), evidence, **EXACT)
    torch.testing.assert_close(compound.squared_error(given.mean), given.variance, **EXACT)
    other = complex_normal(*batch, N, T, F)
    away = given.variance + squared_modulus(given.mean - other)
    torch.testing.assert_close(compound.squared_error(other), away, **EXACT)
    drawn = compound.sample(20_000)
    assert drawn.shape == (20_000, *batch, N, T, F)
    assert_mean_close(squared_modulus(drawn - given.mean), given.variance)


def test_textures_are_spread_as_their_gamma() -> None:
    shapes = torch.tensor([0.3, 2.0, math.inf])
    points = textures(shapes)
    assert points.shape == (N_TEXTURES, 3)
    torch.testing.assert_close(points.mean(0), torch.ones(3), **EXACT)
    assert (points[:, 2] == 1).all()
    ordered = points[:, 1].sort().values
    middle = (torch.arange(N_TEXTURES) + 0.5) / N_TEXTURES
    torch.testing.assert_close(Gamma(2.0, 2.0).cdf(ordered), middle, rtol=0, atol=0.02)
    # No source's point says anything of another's.
    logs = points[:, :2].log()
    assert abs(float(torch.corrcoef(logs.T)[0, 1])) < 0.2


def test_the_evidence_of_one_source_is_its_own_density() -> None:
    """With no noise to speak of, and one source, o is s."""
    power = torch.tensor([0.01, 0.3, 1.0, 4.0])
    v = torch.full_like(power, 1.7)
    given = SharedSum(v[None, None], power.sqrt().to(torch.complex128)[None], torch.full((1, 4), 1e-9))
    for shape in (0.8, 2.0, 9.0):
        found = CompoundSum(given, torch.tensor([shape])).log_evidence()[0]
        torch.testing.assert_close(found, log_density(power, v, shape), rtol=0, atol=0.06)


def drawn_from_the_model(shapes: Tensor, count: int) -> tuple[Tensor, SharedSum]:
    """True spectra [N, 1, count] and what is known of them."""
    powers = 2 * torch.rand(len(shapes), 1, count) ** 3 + 0.01
    tau = Gamma(shapes, shapes).sample((count,)).T.unsqueeze(1)
    truth = (tau * powers).sqrt() * complex_normal(len(shapes), 1, count)
    noise = torch.full((1, count), 1e-3)
    return truth, SharedSum(powers, truth.sum(0) + noise.sqrt() * complex_normal(1, count), noise)


def test_truths_of_the_model_have_any_rank_among_draws_alike() -> None:
    truth, given = drawn_from_the_model(torch.tensor([0.4, 1.5]), 4000)
    drawn = squared_modulus(CompoundSum(given, torch.tensor([0.4, 1.5])).sample(19))
    for n in range(2):
        rank = (drawn[:, n] < squared_modulus(truth[n])).sum(0).flatten()
        counts = torch.bincount(rank, minlength=20) / len(rank)
        assert float((counts - 0.05).abs().max()) < 4 * math.sqrt(0.05 * 0.95 / len(rank)) + 0.01
    narrow = squared_modulus(given.rsample(torch.Size([19])))
    inside = (narrow[:, 0] < squared_modulus(truth[0])).sum(0) % 19 > 0
    assert float(inside.double().mean()) < 0.85


def test_expected_errors_are_those_of_draws() -> None:
    given = example()
    compound = CompoundSum(given, torch.tensor([0.5, 2.0, math.inf]))
    drawn = compound.sample(40_000)
    assert_mean_close(squared_modulus(drawn - given.mean), compound.squared_error(given.mean))


@pytest.mark.parametrize("shape", [0.2, 0.5, 1.0, 3.0, 10.0, math.inf])
def test_the_k_density_sums_to_one_and_keeps_the_power(shape: float) -> None:
    radius = torch.logspace(-12, 2.5, 100_001)
    density = log_density(radius.square(), torch.full_like(radius, 1.7), shape).exp() * 2 * math.pi * radius
    assert float(torch.trapezoid(density, radius)) == pytest.approx(1, abs=2e-4)
    assert float(torch.trapezoid(density * radius.square(), radius)) == pytest.approx(1.7, abs=1e-4)


def test_the_k_density_is_the_mean_over_its_textures() -> None:
    power, v = torch.tensor([0.1, 1.0, 5.0]), torch.tensor([1.0, 0.3, 2.0])
    tau = Gamma(3.0, 3.0).sample((200_000, 1))
    drawn = ComplexNormal(None, tau * v).log_prob(power.sqrt().to(torch.complex128)).exp()
    assert_mean_close(drawn, log_density(power, v, 3.0).exp())
