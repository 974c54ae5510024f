"""Records: exact where the ELBO has a closed form, else with a standard error."""

import pytest
import torch
from sounds import mixture_scene, sound_sources
from steps import chain_of
from toys import exact_elbo

from pyro_mixdvae.check import exact_elbo as by_points
from pyro_mixdvae.engines.protocol import STANDARD_ERROR
from pyro_mixdvae.engines.torch.evaluator import RecordingELBO
from pyro_mixdvae.guides import AdditiveGuide, Collapsed, Factorised, MeanField
from pyro_mixdvae.inference.algorithms import SVI, Coordinate, Hybrid
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import AdditiveModel, ComplexNormal, KinematicSources, PowerNoise
from pyro_mixdvae.models.sources.step import Step
from pyro_mixdvae.testing.parts import EVERY_ASSIGNMENT, PRIORS, toy_model, vkf
from pyro_mixdvae.testing.scenes import EXACT, toy_scene


@pytest.mark.parametrize("family", [MeanField, Factorised])
@pytest.mark.parametrize("kind", EVERY_ASSIGNMENT)
def test_a_record_is_exact_where_all_is_linear(kind: str, family: type[MeanField]) -> None:
    scene = toy_scene(2, 3, 3, 2, is_padded=kind != "learned weights")
    found = infer(toy_model(2, vkf(), EVERY_ASSIGNMENT[kind](2)), scene, family, Coordinate(3))
    guide, record = found.guide, found.records[-1]
    assert not record[STANDARD_ERROR].any()
    if kind != "learned weights":  # pi is drawn
        with torch.no_grad():
            torch.testing.assert_close(record["elbo"], by_points(found.model, guide, found.scene), **EXACT)
    else:
        expected = exact_elbo(found.model, found.scene, guide.logits, chain_of(guide), guide.latent).detach()
        torch.testing.assert_close(record["elbo"], expected, **EXACT)
    drawn = RecordingELBO().evaluate(found.model, guide, found.scene)
    assert [name for name in record if name != STANDARD_ERROR] == list(drawn)
    values = torch.stack([each["elbo"] for each in found.records])
    assert (values[1:] - values[:-1] > -1e-9).all()


def test_a_prior_with_a_step_of_its_own_is_not_taken_for_linear() -> None:
    class Mine(KinematicSources):
        def conditional(self, state: object) -> Step:
            return super().conditional(state)

    prior = vkf()
    assert prior.is_linear()
    assert not Mine(prior.network, prior.unit, prior.start_spread).is_linear()
    assert not PRIORS["relative vkf"]().is_linear()


@pytest.mark.parametrize("algorithm", [Coordinate(2), Hybrid(Coordinate(1), SVI(2)), SVI(2)])
def test_other_records_say_their_standard_error(algorithm: object) -> None:
    found = infer(toy_model(2, PRIORS["kinematic"]()), toy_scene(2, 3, 2, 2), MeanField, algorithm)
    for record in found.records:
        assert record[STANDARD_ERROR].shape == (2,)
        assert (record[STANDARD_ERROR] > 0).all()


def test_collapsed_records_and_those_of_sounds_do_too() -> None:
    found = infer(toy_model(2, vkf()), toy_scene(1, 3, 2, 2), Collapsed)
    assert all((record[STANDARD_ERROR] > 0).all() for record in found.records)
    model = AdditiveModel(sound_sources(2), ComplexNormal(PowerNoise(0.2, 0.01)))
    heard = infer(model, mixture_scene(2, 3, 2), AdditiveGuide)
    assert all((record[STANDARD_ERROR] > 0).all() for record in heard.records)
