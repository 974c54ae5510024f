"""The density of the class that is picked, drawn and evaluated."""

import pytest
import torch
from pyro.distributions import Categorical, Normal, StudentT

from pyro_mixdvae.distributions.selected import Selected
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close


def parts(batch: tuple[int, ...] = (5, 4)) -> tuple[Normal, StudentT]:
    """Three components a variable, and one of another kind."""
    mean, scale = 5 * torch.randn(*batch, 3, 2), 0.1 + torch.rand(*batch, 3, 2)
    other = StudentT(5.0, torch.randn(2), torch.ones(2)).expand((*batch, 2)).to_event(1)
    return Normal(mean, scale).to_event(1), other


def test_the_density_is_that_of_the_class() -> None:
    components, other = parts()
    index, value = torch.randint(4, (5, 4)), torch.randn(5, 4, 2)
    density = Selected(components, index, other)
    assert density.batch_shape == (5, 4)
    assert density.event_shape == (2,)
    found = density.log_prob(value)
    for b in range(5):
        for k in range(4):
            c = int(index[b, k])
            if c == 3:
                expected = other.log_prob(value)[b, k]
            else:
                own = components.base_dist
                expected = Normal(own.loc[b, k, c], own.scale[b, k, c]).log_prob(value[b, k]).sum()
            torch.testing.assert_close(found[b, k], expected, **EXACT)


def test_an_enumerated_class_has_an_axis_in_front() -> None:
    components, other = parts()
    value = torch.randn(5, 4, 2)
    index = Categorical(torch.ones(5, 4, 4)).enumerate_support(expand=False)
    assert index.shape == (4, 1, 1)
    found = Selected(components, index, other).log_prob(value)
    each = torch.cat([components.log_prob(value.unsqueeze(-2)), other.log_prob(value).unsqueeze(-1)], -1)
    torch.testing.assert_close(found, each.movedim(-1, 0), **EXACT)


def test_components_may_be_the_same_for_all_variables() -> None:
    """As contents are for the detections of a frame: [*, 1, N] for K of them."""
    components, _ = parts((5, 1))
    index, value = torch.randint(3, (5, 4)), torch.randn(5, 4, 2)
    found = Selected(components, index).log_prob(value)
    expected = Selected(components.expand((5, 4, 3)), index).log_prob(value)
    torch.testing.assert_close(found, expected, **EXACT)
    assert Selected(components, index).sample().shape == (5, 4, 2)


@pytest.mark.parametrize("has_other", [False, True])
def test_draws_are_of_the_class(has_other: bool) -> None:
    components, other = parts()
    index = torch.randint(3 + has_other, (5, 4))
    density = Selected(components, index, other if has_other else None)
    draws = density.sample((4000,))
    assert draws.shape == (4000, 5, 4, 2)
    mean = components.mean
    if has_other:
        mean = torch.cat([mean, other.mean.unsqueeze(-2)], -2)
    assert_mean_close(draws, torch.take_along_dim(mean, index[..., None, None], -2).squeeze(-2), n_errors=4.5)


def test_expanded_it_is_the_same() -> None:
    components, other = parts()
    index = torch.randint(4, (5, 4))
    density = Selected(components, index, other)
    larger = density.expand(torch.Size([6, 5, 4]))
    value = torch.randn(6, 5, 4, 2)
    assert larger.batch_shape == (6, 5, 4)
    assert larger.sample().shape == value.shape
    torch.testing.assert_close(larger.log_prob(value), density.log_prob(value), **EXACT)
    assert density.support is not None
