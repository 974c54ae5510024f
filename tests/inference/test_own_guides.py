"""A guide of one's own, and a latent that a model of one's own brings: by SVI, and read by their draws."""

from typing import Any

import pyro
import pytest
import torch
from pyro.distributions import Delta, LogNormal, Normal
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import Collapsed, Guide, MeanField, contract
from pyro_mixdvae.inference.algorithms import SVI, Coordinate, Hybrid
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import MixtureModel, Scene
from pyro_mixdvae.models.mixture import plates
from pyro_mixdvae.process_state import seeded
from pyro_mixdvae.testing.parts import toy_model, vkf
from pyro_mixdvae.testing.scenes import toy_scene


class Independent(Guide):
    """q(s, z) of independent normals: nothing but `forward` is written."""

    def __init__(self, model: Any, scene: Scene):
        super().__init__(model, scene)
        start = torch.cat([scene.start, torch.zeros_like(scene.start)], -1)
        self.loc = torch.nn.Parameter(start.unsqueeze(-2).repeat(1, 1, scene.n_frames, 1))
        self.log_scale = torch.nn.Parameter(torch.full_like(self.loc, -3.0))

    def forward(self, scene: Scene) -> None:
        with plates(scene).scenes:
            density = Normal(self.loc[:, None, None], self.log_scale.exp()[:, None, None])
            pyro.sample("sz", density.to_event(3))


def program(scene: Scene) -> None:
    """The same as a plain function, with Pyro's own parameters."""
    start = torch.cat([scene.start, torch.zeros_like(scene.start)], -1).unsqueeze(-2)
    shape = (*start.shape[:2], scene.n_frames, start.shape[-1])
    loc = pyro.param("loc", lambda: start.expand(shape).clone())
    log_scale = pyro.param("log_scale", lambda: torch.full(shape, -3.0))
    with plates(scene).scenes:
        pyro.sample("sz", Normal(loc[:, None, None], log_scale.exp()[:, None, None]).to_event(3))


@pytest.mark.parametrize("guide", [Independent, program], ids=["class", "program"])
def test_a_program_as_a_guide_is_moved_by_svi_and_read_by_its_draws(guide: Any) -> None:
    scene, model = toy_scene(2, 4, 2, 2), toy_model(2, vkf())
    found = infer(model, scene, guide, SVI(30, learning_rate=0.05))
    assert found.records[-1]["elbo"].sum() > found.records[0]["elbo"].sum() + 5
    assert found.engine == "torch"
    if guide is program:
        values = found.guide.values()
        loc, scale = values["loc"], values["log_scale"].exp()
        assert not list(pyro.get_param_store().keys())
        again = infer(model, scene, guide, SVI(30, learning_rate=0.05))
        assert torch.equal(again.mean, found.mean)
    else:
        loc, scale = found.guide.loc.detach(), found.guide.log_scale.detach().exp()
    # 200 draws: a mean is off by up to four standard errors, a variance by 40 %.
    assert float(((found.mean - loc[..., :4]) / scale[..., :4]).abs().max()) < 4.5 / 200**0.5
    torch.testing.assert_close(found.variance / scale[..., :4].square(), torch.ones_like(found.mean), rtol=0, atol=0.45)
    torch.testing.assert_close(found.responsibilities.sum(-1), scene.mask.double())
    assert not torch.equal(loc[..., :4], scene.start.unsqueeze(-2).expand_as(found.mean))
    assert found.guide.sample(3, seeded(0)).shape == (3, 2, 2, 4, 4)


@pytest.mark.parametrize("algorithm", [Coordinate(), Hybrid()], ids=str)
@pytest.mark.parametrize("guide", [Independent, program], ids=["class", "program"])
def test_what_has_no_closed_form_updates_is_not_updated(guide: Any, algorithm: Any) -> None:
    with pytest.raises(InputError, match=f"{guide.__name__} has no closed-form updates: .*SVI"):
        infer(toy_model(), toy_scene(), guide, algorithm)


@pytest.mark.parametrize("family", [MeanField, Collapsed])
def test_a_family_whose_program_is_another_has_the_moments_of_its_own_draws(
    family: type[Collapsed], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that draws a tenth further to the right: inherited moments would say that it does not."""
    monkeypatch.setattr(contract, "N_DRAWS", 60)

    def forward(self: Any, scene: Scene) -> None:
        every = plates(scene)
        chain = self.chain()
        with every.scenes:
            moved = type(chain)(
                *(part[:, None, None] for part in (chain.mean + 0.1, chain.gain, chain.scale_tril, chain.present))
            )
            state = pyro.sample("q_sz", moved.to_event(1), infer={"is_auxiliary": True})
            pyro.sample("sz", Delta(torch.cat([state[..., 0], state[..., 1]], -1), event_dim=3))
        if family is MeanField:
            self.draw_assignments(scene, every)

    mine = type("Mine", (family,), {"forward": forward})
    scene, model = toy_scene(1, 4, 2, 2), toy_model(2, vkf())
    for algorithm in (Coordinate(2), SVI(2)):
        found, own = infer(model, scene, mine, algorithm), infer(model, scene, family, algorithm)
        assert found.engine == "torch"
        centre = found.guide.chain().mean[..., 0].detach() + 0.1
        spread = own.variance.sqrt()
        assert float(((found.mean - centre) / spread).abs().max()) < 0.6
        drawn = found.guide.sample(100, seeded(1))
        assert float(((drawn.mean(0) - centre) / spread).abs().max()) < 0.45


class UnknownNoise(MixtureModel):
    """The scale of all noise is a latent: `factor ~ LogNormal(0, 1)`."""

    def forward(self, scene: Scene, generate: bool = False) -> tuple[Tensor, Tensor | None]:
        with pyro.plate("factors", len(scene.present), dim=-3):
            factor = pyro.sample("factor", LogNormal(torch.zeros(()), 1.0))
        noise = self.likelihood.noise
        wider = noise.replace(relative=noise.relative * factor.reshape(-1, 1))
        return MixtureModel.forward(self.replace(likelihood=self.likelihood.replace(noise=wider)), scene, generate)


class WithFactor(Independent):
    """And its q: a log-normal of each scene."""

    def __init__(self, model: Any, scene: Scene):
        super().__init__(model, scene)
        self.log_factor = torch.nn.Parameter(torch.zeros(len(scene.present), 1, 1))

    def forward(self, scene: Scene) -> None:
        super().forward(scene)
        with pyro.plate("factors", len(scene.present), dim=-3):
            pyro.sample("factor", LogNormal(self.log_factor, 0.1))


def test_a_latent_of_ones_own_has_its_own_term_in_the_records() -> None:
    """Detections are ten times nearer to the sources than the noise would have it: the factor shrinks."""
    torch.manual_seed(0)
    scene = toy_scene(1, 10, 2, 2, missing=0.0, noise=0.003)
    plain = toy_model(2, vkf(0.01, 0.02))
    model = UnknownNoise(plain.sources, plain.assignment, plain.likelihood)
    found = infer(model, scene, WithFactor, SVI(100, learning_rate=0.05))
    assert float(found.guide.log_factor.detach()) < -0.3
    for record in found.records:
        assert "log p(factor) - log q(factor)" in record
        terms = torch.stack([term for name, term in record.items() if name not in ("elbo", "standard error")]).sum(0)
        torch.testing.assert_close(terms, record["elbo"])
    with pytest.raises(InputError, match="`forward` of its own"):
        infer(model, scene)
