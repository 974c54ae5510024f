"""What is reported of how sure a separation is: q(s) where powers are known, and wider where they are not."""

import math

import pytest
import torch
from sounds import mixture_scene, sound_sources

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.guides import AdditiveGuide, MeanField
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.inference.spectral_uncertainty import N_DRAWS, Interval, draws, intervals, squared_error
from pyro_mixdvae.models import AdditiveModel, ComplexNormal, IndependentAssignment, MixtureModel, PowerNoise
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close


def separated(shape: float = math.inf, n_frames: int = 4) -> Posterior:
    sources = sound_sources()
    for network in sources.each():
        network.power_shape = shape
    return infer(
        AdditiveModel(sources, ComplexNormal(PowerNoise(0.01))), mixture_scene(n_frames=n_frames), AdditiveGuide
    )


def won() -> Posterior:
    model = MixtureModel(sound_sources(), IndependentAssignment(2), ComplexNormal(PowerNoise(0.1)))
    return infer(model, mixture_scene(), MeanField)


@pytest.mark.parametrize("make", [separated, won])
def test_without_a_shape_it_is_the_guide(make) -> None:
    posterior = make()
    torch.testing.assert_close(squared_error(posterior), posterior.variance, **EXACT)
    drawn = draws(posterior, 1, 20_000, seed=0)
    assert drawn.shape == (20_000, *posterior.mean.shape[1:])
    assert_mean_close(squared_modulus(drawn - posterior.mean[1]), posterior.variance[1])
    some = draws(posterior, 1, 20_000, 1, slice(1, 3), torch.tensor([2, 0]))
    assert_mean_close(
        squared_modulus(some - posterior.mean[1][:, 1:3][..., [2, 0]]), posterior.variance[1][:, 1:3][..., [2, 0]]
    )
    assert torch.equal(draws(posterior, 0, 3, seed=5), draws(posterior, 0, 3, seed=5))


def test_uncertain_powers_widen_what_is_reported_and_move_nothing() -> None:
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    known = separated()
    torch.random.set_rng_state(state)
    unsure = separated(0.3)
    assert torch.equal(known.mean, unsure.mean)
    assert torch.equal(known.records[-1]["elbo"], unsure.records[-1]["elbo"])
    assert float(squared_error(unsure).sum()) > 1.2 * float(known.variance.sum())


def test_intervals_are_those_of_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyro_mixdvae.inference.spectral_uncertainty.BLOCK", 3)  # not a divisor of T
    posterior = separated(0.5, n_frames=40)
    found = intervals(posterior, 1)
    assert found.magnitudes.low.shape == posterior.mean.shape[1:]
    power = squared_modulus(draws(posterior, 1, 400, seed=99))
    for interval, drawn in ((found.magnitudes, power.sqrt()), (found.gains, power / power.sum(1, keepdim=True))):
        assert_inside(interval, drawn, 0.9)
    assert (found.gains.low >= 0).all()
    assert (found.gains.high <= 1).all()


def assert_inside(interval: Interval, drawn: torch.Tensor, share: float) -> None:
    """How many draws, which are other ones than the interval was made of, it holds."""
    inside = ((drawn > interval.low) & (drawn < interval.high)).double()
    # What one interval holds is Beta distributed; 240 of them are independent but for what sources share.
    error = math.sqrt(share * (1 - share) / (N_DRAWS + 2) / 120)
    assert float(inside.mean()) == pytest.approx(share, abs=4 * error)
