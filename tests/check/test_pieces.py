"""The pieces of a check by themselves: noise that is given, terms at a point, the exact ELBO and its gradient."""

import pyro
import pytest
import torch
from planted import boxes, sums
from pyro.infer import TraceEnum_ELBO
from steps import chain_of
from torch import Tensor
from toys import exact_elbo

from pyro_mixdvae import check
from pyro_mixdvae.check.references.density import drawn_at
from pyro_mixdvae.check.references.expectation import noisy_terms
from pyro_mixdvae.check.references.frozen import FrozenSources
from pyro_mixdvae.check.updates import transitions_of
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import Factorised, MeanField
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import Scene
from pyro_mixdvae.testing.parts import LIKELIHOODS, PRIORS, relative_noise, toy_model, vkf
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close, toy_scene


def fitted(model: object, scene: Scene, family: type[MeanField] = MeanField) -> check.Case:
    return check.case_of(model, scene, family, Coordinate(1))


def test_sigma_points_are_exact_for_what_is_cubic() -> None:
    for n_numbers in (1, 3, 8, 11):
        for scale in (1.0, 6.0):
            points, weights = check.sigma_points(n_numbers, scale)
            matrix, slope = torch.randn(n_numbers, n_numbers), torch.randn(n_numbers)
            values = torch.einsum("pi,ij,pj->p", points, matrix, points) + points @ slope + points.pow(3).sum(-1)
            torch.testing.assert_close(weights @ values, torch.trace(matrix), **EXACT)


def test_given_noise_makes_the_same_draws_again() -> None:
    case = fitted(toy_model(2, vkf()), toy_scene(2, 3, 2, 2))
    k = check.count_noise(case.guide, case.scene)
    assert k == 2 * 3 * 4 * 2
    noise = torch.randn(5, k)
    together = drawn_at(case.guide, case.scene, noise)
    assert together.shape == (5, 2, 2, 3, 8)
    each = torch.cat([drawn_at(case.guide, case.scene, row.unsqueeze(0)) for row in noise])
    torch.testing.assert_close(together, each, **EXACT)
    centre = drawn_at(case.guide, case.scene, torch.zeros(1, k))[0, ..., :4]
    torch.testing.assert_close(centre, case.guide.marginals()[0], **EXACT)
    with check.GivenNoise(torch.ones(1, 3), 1):
        torch.testing.assert_close(torch.empty(3).normal_(2.0, 0.5), torch.full((3,), 2.5))


def test_terms_of_a_point_are_those_of_the_evaluator() -> None:
    """At the same draws TraceEnum_ELBO has their sum."""
    case = fitted(toy_model(2, PRIORS["kinematic"]()), toy_scene(1, 3, 2, 2))
    k = check.count_noise(case.guide, case.scene)
    noise = torch.randn(1, k)
    found = check.terms_at(case.model, case.guide, case.scene, noise)
    with check.GivenNoise(noise, 1, is_vectorised=False):
        loss = TraceEnum_ELBO(max_plate_nesting=3).loss(case.model, case.guide, case.scene)
    assert float(found["elbo"].detach()) == pytest.approx(-loss, rel=1e-10)
    sz = drawn_at(case.guide, case.scene, noise)
    given = check.terms_given(case.model, case.guide, case.scene, sz)
    for name, term in given.items():
        torch.testing.assert_close(term, found[name], **EXACT)


def test_exact_elbo_and_its_gradient_are_those_of_the_closed_form() -> None:
    case = fitted(toy_model(2, vkf()), toy_scene(2, 3, 2, 2, is_padded=False))
    guide = case.guide
    found = check.exact_elbo(case.model, guide, case.scene)
    expected = exact_elbo(case.model, case.scene, guide.logits, chain_of(guide))
    torch.testing.assert_close(found, expected, **EXACT)
    (own,) = torch.autograd.grad(found.sum(), guide.logits)
    (theirs,) = torch.autograd.grad(expected.sum(), guide.logits)
    torch.testing.assert_close(own, theirs, **EXACT)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_what_is_not_quadratic_is_drawn(likelihood: str) -> None:
    """Also where it looks quadratic nearby: Huber's density within its threshold, and Laplace's beside its kink."""
    model = toy_model(2, vkf(), likelihood=LIKELIHOODS[likelihood](relative_noise()))
    case = fitted(model, toy_scene(1, 2, 2, 2, missing=0.0))
    noisy = noisy_terms(case.model, case.guide, case.scene)
    found = check.expected_terms(case.model, case.guide, case.scene, n_pairs=64)
    is_gaussian = likelihood in ("normal", "learned scale")
    assert noisy["log p(o|w,s)"] != is_gaussian
    assert found["log p(o|w,s)"].is_exact == is_gaussian
    assert found["log p(s,z)"].is_exact
    assert float(found["log p(s,z)"].error.max()) == 0.0


def test_draws_agree_with_points() -> None:
    case = fitted(toy_model(2, vkf()), toy_scene(1, 2, 2, 2))
    noise = torch.randn(400, check.count_noise(case.guide, case.scene))
    with torch.no_grad():
        drawn = check.terms_at(case.model, case.guide, case.scene, noise)["elbo"]
        assert_mean_close(drawn, check.exact_elbo(case.model, case.guide, case.scene), n_errors=5)


def test_optimal_logits_are_those_of_e_w() -> None:
    for exclusive in (False, True):
        example = boxes(exclusive)
        case = fitted(example.model, example.scene)
        found = check.optimal_logits(case.model, case.guide, case.scene)
        own = check.e_w(case.model, case.scene, case.guide)
        assert found.is_exact
        own, other = (logits.clamp(min=-1e6).log_softmax(-1) for logits in (own, found.logits))
        possible = own > -1e5
        if case.model.assignment.per_observation:
            possible &= case.scene.mask.unsqueeze(-1)
        torch.testing.assert_close(own[possible], other[possible], rtol=0, atol=1e-7)


def test_updates_as_functions_are_those_of_inference() -> None:
    """Where a step of inference ends, E-S and E-W change nothing that the next one would not."""
    example = boxes()
    found = infer(example.model, example.scene, MeanField, Coordinate(3))
    guide = check.updated(found.guide, found.model, found.scene, check.e_s)
    guide = check.updated(guide, found.model, found.scene, check.e_w)
    again = infer(example.model, example.scene, MeanField, Coordinate(4)).guide
    torch.testing.assert_close(guide.marginals()[0], again.marginals()[0], rtol=0, atol=1e-8)
    torch.testing.assert_close(guide.responsibilities(), again.responsibilities(), rtol=0, atol=1e-8)


def test_a_frozen_prior_is_quadratic_and_has_the_density_of_its_steps() -> None:
    case = fitted(toy_model(2, PRIORS["kinematic"]()), toy_scene(1, 3, 2, 2))
    assert noisy_terms(case.model, case.guide, case.scene)["log p(s,z)"]
    frozen = FrozenSources(case.model.sources, transitions_of(case.model, case.scene, case.guide))
    given = case.model.replace(sources=frozen)
    assert not noisy_terms(given, case.guide, case.scene)["log p(s,z)"]


def test_the_last_frame_of_a_shorter_scene_leans_on_no_padding() -> None:
    """A factorised q in a padded batch has no slope left either."""
    scene = toy_scene(2, 4, 2, 2, is_padded=True)
    found = check.check_update(toy_model(2, vkf()), scene, Factorised)
    assert found.is_right, found


def test_nothing_global_is_left_behind() -> None:
    torch.set_default_dtype(torch.float32)
    pyro.get_param_store().clear()
    state = torch.get_rng_state()
    example = sums()
    torch.set_rng_state(state)
    check.check_update(example.model, example.scene, example.guide)
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(torch.get_rng_state(), state)
    assert not list(pyro.get_param_store().keys())


def test_a_claim_that_is_no_term_is_refused() -> None:
    example = boxes()

    def claims(model: object, scene: Scene, guide: object) -> dict[str, Tensor]:
        return {"KL(x)": torch.zeros(1)}

    with pytest.raises(InputError, match="no term 'KL"):
        check.check_elbo(example.model, example.scene, example.guide, claims=claims, groups=("Terms",))
    wrong = {"KL(w)": torch.zeros(5)}
    with pytest.raises(InputError, match="has the shape"):
        check.check_elbo(example.model, example.scene, example.guide, claims=wrong, groups=("Terms",))
    with pytest.raises(InputError, match="does not take"):
        check.check_update(example.model, example.scene, example.guide, lambda model, scene, guide: "logits")
