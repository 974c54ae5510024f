"""Where sources come back, and how often others come into view."""

import math

import numpy as np
import pytest
import torch

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import Reappearance, Scene, SizedClutter


def test_half_of_the_sources_come_back_on_their_way_and_half_anywhere() -> None:
    """A density of sizes like those of each source itself; it integrates to one with that of the way."""
    torch.manual_seed(0)
    start = torch.tensor([[[0.2, 0.3, -2.0, -1.0], [0.7, 0.5, -3.0, -2.0]]])
    scene = Scene.of(torch.randn(1, 1, 5, 4), start)
    way = torch.full((1, 1, 5, 2), -1.0)
    found = Reappearance().log_prob(SizedClutter(), scene, start, way)
    for n in range(2):
        alone = SizedClutter().density(Scene.of(scene.observations, start[:, n : n + 1]))
        expected = (0.5 * alone.log_prob(scene.observations).exp() + 0.5 * math.exp(-1)).log()
        torch.testing.assert_close(found[..., n], expected)


def test_a_source_begins_anew_when_it_is_hidden() -> None:
    part = Reappearance(hide=0.002, back=0.01)
    found = part.log_begin(torch.tensor([[1.0, 0.5, 0.0]]))
    np.testing.assert_allclose(found.exp().numpy(), [[2e-5, 5e-3, 1e-2]], rtol=1e-5)


def test_it_is_lost_when_it_has_likelier_left_its_way() -> None:
    patience = Reappearance(leave=0.01).patience
    assert 0.99**patience < 0.5 < 0.99 ** (patience - 1)


def test_others_are_counted() -> None:
    """Between the rate that is thought of before, and that of many frames."""
    part = Reappearance(others=1e-4, worth=300)
    assert part.log_others(0, 0) == pytest.approx(math.log(1e-4))
    assert part.log_others(500, 100_000) == pytest.approx(math.log(0.005), abs=0.01)


@pytest.mark.parametrize("options", [{"hide": 0.0}, {"back": 1.0}, {"leave": -1.0}, {"others": 2.0}, {"worth": 0.0}])
def test_what_is_no_probability_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Reappearance(**options)
