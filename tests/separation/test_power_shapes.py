"""How far powers are off, estimated from mixtures whose sources are known."""

import pytest
import torch
from sounds import complex_normal
from torch.distributions import Gamma

from pyro_mixdvae.separation.recordings.power_shapes import Found, fitted_shapes


def found(shapes: torch.Tensor, count: int) -> Found:
    powers = torch.rand(len(shapes), count) ** 4 + 1e-3
    truth = (Gamma(shapes, shapes).sample((count,)).T * powers).sqrt() * complex_normal(len(shapes), count)
    total = truth.sum(0)
    return Found(powers.float(), total.to(torch.complex64), 1e-3 * total.abs().square().float() + 1e-6, truth)


@pytest.mark.parametrize("shapes", [(0.3, 1.2), (2.0, 0.5)])
def test_shapes_that_made_the_sounds_are_found(shapes: tuple[float, float]) -> None:
    known = torch.tensor(shapes)
    for mine, true in zip(fitted_shapes([found(known, 3000), found(known, 3000)]), shapes, strict=True):
        assert mine == pytest.approx(true, rel=0.25)


def test_silence_does_not_decide() -> None:
    """A source that is silent at some frequencies, as recordings with gaps are, has no density without bound there."""
    known = torch.tensor([1.0, 1.0])
    whole = found(known, 3000)
    truth = whole.truth.clone()
    truth[0, :30] = 0
    (first, _) = fitted_shapes([whole._replace(truth=truth)])
    assert first > 0.5
