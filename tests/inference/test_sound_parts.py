"""What is no part of the updates of sounds is refused, with the reason; a guide of one's own runs by SVI."""

from typing import Any

import pyro
import pytest
import torch
from pyro.distributions import Delta, Normal
from sounds import complex_normal, sound_sources
from torch import Tensor, nn

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import AdditiveGuide, Guide, MeanField, contract
from pyro_mixdvae.inference.algorithms import SVI, Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import (
    AdditiveModel,
    ComplexNormal,
    ExclusiveAssignment,
    IndependentAssignment,
    MixtureModel,
    PowerNoise,
    Scene,
    SizedClutter,
    SoundSources,
    Step,
    sound_scene,
)
from pyro_mixdvae.models.mixture import plates
from pyro_mixdvae.testing.scenes import EXACT

N, T, F = 2, 4, 3


def scene() -> Scene:
    return sound_scene(complex_normal(2, T, F), N)


def likelihood() -> ComplexNormal:
    return ComplexNormal(PowerNoise(0.1, 0.01))


class OtherSum(AdditiveModel):
    def forward(self, scene: Scene, generate: bool = False) -> Tensor:
        return super().forward(scene, generate)


class OtherPrior(SoundSources):
    def conditional(self, state: Any) -> Step:
        return super().conditional(state)


class OtherView(ComplexNormal):
    def locate(self, contents: Tensor) -> Tensor:
        return 2 * super().locate(contents)


def other_prior() -> OtherPrior:
    return OtherPrior(sound_sources(F, N).each())


@pytest.mark.parametrize(
    ("make", "guide", "sentence"),
    [
        (lambda: OtherSum(sound_sources(F, N), likelihood()), AdditiveGuide, "OtherSum has a `forward` of its own"),
        (
            lambda: AdditiveModel(other_prior(), likelihood()),
            AdditiveGuide,
            "OtherPrior has a `conditional` of its own",
        ),
        (
            lambda: MixtureModel(sound_sources(F, N), IndependentAssignment(N), OtherView(PowerNoise())),
            MeanField,
            "OtherView sees contents through a `locate`",
        ),
        (lambda: AdditiveModel(sound_sources(F, N), likelihood()), MeanField, "MeanField is no guide of AdditiveModel"),
        (
            lambda: MixtureModel(sound_sources(F, N), IndependentAssignment(N), likelihood()),
            AdditiveGuide,
            "AdditiveGuide is no guide of MixtureModel",
        ),
        (
            lambda: MixtureModel(sound_sources(F, N), ExclusiveAssignment(N), likelihood(), SizedClutter()),
            MeanField,
            "one choice a frame",
        ),
        (lambda: AdditiveModel(sound_sources(F, 3), likelihood()), AdditiveGuide, "3 sources, and the scene 2"),
        (lambda: AdditiveModel(sound_sources(4, N), likelihood()), AdditiveGuide, "4 frequencies, and the scene 3"),
    ],
)
def test_parts_that_do_not_go_together(make: Any, guide: type, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        infer(make(), scene(), guide, Coordinate(1))


class Halved(AdditiveGuide):
    """A family of one's own: its q(s | o) is that of half the powers."""

    def posterior(self) -> Any:
        whole = super().posterior()
        whole.powers = whole.powers / 2
        return whole


def test_a_guide_that_overrides_anything_changes_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "N_DRAWS", 20)
    model, own = AdditiveModel(sound_sources(F, N), likelihood()), scene()
    plain, halved = (infer(model, own, guide, Coordinate(1)) for guide in (AdditiveGuide, Halved))
    assert halved.engine == "torch"
    assert not torch.allclose(plain.mean, halved.mean)
    mean, _ = halved.guide.marginals()
    torch.testing.assert_close(torch.view_as_real(halved.mean).flatten(-2), mean)


class Diagonal(Guide):
    """Every number of s by itself, and z by its prior's width."""

    def __init__(self, model: Any, scene: Scene):
        super().__init__(model, scene)
        shape = (*scene.start.shape[:2], scene.n_frames)
        self.mean = nn.Parameter(torch.zeros(*shape, model.sources.content_dim))
        self.log_scale = nn.Parameter(torch.full((*shape, model.sources.content_dim), -1.0))
        self.latent = nn.Parameter(torch.zeros(*shape, model.sources.latent_dim))

    def forward(self, scene: Scene) -> None:
        with plates(scene).scenes:
            hidden = {"is_auxiliary": True}
            q = Normal(self.mean[:, None, None], self.log_scale.exp()[:, None, None])
            s = pyro.sample("q_s", q.to_event(3), infer=hidden)
            z = pyro.sample("q_z", Normal(self.latent[:, None, None], 1.0).to_event(3), infer=hidden)
            pyro.sample("sz", Delta(torch.cat([s, z], -1), event_dim=3))


@pytest.mark.parametrize("kind", ["sum", "mixture"])
@pytest.mark.parametrize("is_program", [False, True], ids=["class", "program"])
def test_a_guide_of_one_s_own_runs_by_svi(kind: str, is_program: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "N_DRAWS", 20)
    sources, own = sound_sources(F, N), scene()
    model: AdditiveModel | MixtureModel = AdditiveModel(sources, likelihood())
    if kind == "mixture":
        model = MixtureModel(sources, IndependentAssignment(N), likelihood())
    guide = Diagonal(model, own) if is_program else Diagonal
    found = infer(model, own, guide, SVI(30, 0.05))
    elbo = torch.stack([record["elbo"].sum() for record in found.records])
    assert float(elbo[-10:].mean()) > float(elbo[:10].mean()) + 1
    assert found.mean.shape == found.variance.shape == (2, N, T, F)
    assert found.mean.is_complex()
    assert ((found.responsibilities >= 0) & (found.responsibilities <= 1)).all()
    with pytest.raises(InputError, match="no closed-form updates"):
        infer(model, own, guide, Coordinate(1))


def test_shares_of_sounds_that_add_up_are_those_of_the_expected_power() -> None:
    """Of any guide; of the Wiener filter's they are its gains, where the powers are those that the mixture shows."""
    model, own = AdditiveModel(sound_sources(F, N), likelihood()), scene()
    found = infer(model, own, Diagonal, SVI(2))
    power = (squared_modulus(found.mean) + found.variance).movedim(1, -1)
    noise = model.likelihood.noise.variance(own.observations)
    torch.testing.assert_close(found.responsibilities, power / (power.sum(-1, keepdim=True) + noise), **EXACT)
