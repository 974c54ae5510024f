"""Whether the models of the sources stand by what they found."""

from dataclasses import replace

import pytest
import torch
from sounds import constant_sources, mixture_scene, sound_sources

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.models import AdditiveModel, ComplexNormal, PowerNoise, Silence, SoundSources, Sources
from pyro_mixdvae.networks.stationary_noise import StationaryNoise
from pyro_mixdvae.separation.fit import BAD, UNSTEADY, Fit, FitSums, itakura_saito


def found(sources: Sources, n_scenes: int = 2) -> Posterior:
    model = AdditiveModel(sources, ComplexNormal(PowerNoise(0.001)))
    scene = mixture_scene(n_scenes)
    return infer(model.to(scene.observations.real.dtype), scene, AdditiveGuide, Coordinate(3))


def fits_of(*posteriors: Posterior) -> tuple[Fit, ...]:
    sums = FitSums(2)
    for posterior in posteriors:
        sums.add(posterior)
    return sums.fits(("one", "other"))


def test_models_that_say_the_same_at_every_look_are_steady() -> None:
    steady = fits_of(found(constant_sources(torch.tensor([[0.0, -8.0, -1.0], [-8.0, 0.0, -1.0]]))))
    changing = fits_of(found(sound_sources()))
    for sure, unsure in zip(steady, changing, strict=True):
        assert sure.steadiness > 30
        assert unsure.steadiness < sure.steadiness - 10


def test_segments_add_up() -> None:
    posteriors = [found(sound_sources(), n_scenes) for n_scenes in (1, 3)]
    together = fits_of(*posteriors)
    one, other = FitSums(2), FitSums(2)
    one.add(posteriors[0])
    other.add(posteriors[1])
    one.include(other)
    assert one.fits(("one", "other")) == together
    assert fits_of(posteriors[0])[0].steadiness != together[0].steadiness


def test_what_a_source_is_silent_in_says_nothing_of_its_model() -> None:
    """Neither for it nor against it: the misfit is that of the frames in which it sounds."""
    scene = mixture_scene(1)
    known = torch.ones(1, scene.n_frames, 2, dtype=torch.long)
    heard = scene.n_frames // 2
    known[:, heard:, 1] = -1
    sources = constant_sources(torch.tensor([[0.0, -8.0, -1.0], [-8.0, 0.0, -1.0]]))

    def inferred(known: torch.Tensor) -> Posterior:
        model = AdditiveModel(sources, ComplexNormal(PowerNoise(0.001)), Silence(known=known))
        return infer(model.to(scene.observations.real.dtype), scene, AdditiveGuide, Coordinate(2))

    posterior = inferred(known)
    power = squared_modulus(posterior.mean) + posterior.variance
    own = posterior.model.sources.reconstructed(power).detach()
    distance = itakura_saito(power, own, 1e-6 * float(power.max()) + 1e-12)
    assert fits_of(posterior)[1].misfit == pytest.approx(float(distance[0, 1, :heard].mean()))
    assert distance[0, 1, heard:].mean() > 2 * distance[0, 1, :heard].mean()
    assert [fit.warning for fit in fits_of(inferred(-known.abs()))] == [None, None]


@pytest.mark.parametrize(
    ("misfit", "steadiness", "said"),
    [
        (BAD / 2, UNSTEADY + 1, None),
        (BAD * 2, UNSTEADY + 1, "explains its part of the mixture badly"),
        (BAD / 2, UNSTEADY - 1, "the part of voice is in doubt"),
    ],
)
def test_a_warning_names_the_source_and_what_to_do(misfit: float, steadiness: float, said: str | None) -> None:
    warning = Fit("voice", misfit, steadiness).warning
    if said is None:
        assert warning is None
    else:
        assert warning is not None
        assert said in warning
        assert "mixdvae train audio" in warning


def test_of_a_model_without_weights_nobody_is_warned() -> None:
    sources = SoundSources([*sound_sources(n_sources=1).each(), StationaryNoise(3, latent_dim=2)])
    learned, made = fits_of(found(sources))
    assert learned.is_learned
    assert not made.is_learned
    assert replace(made, misfit=2 * BAD, is_learned=True).warning
    assert replace(made, misfit=2 * BAD).warning is None
