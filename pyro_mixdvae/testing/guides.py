"""What every guide keeps: a test class that derives from `GuideContract` holds it to a dense Gaussian."""

from collections.abc import Callable
from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from torch import Tensor
from torch.distributions import MultivariateNormal

from pyro_mixdvae.distributions.kalman import Chain, posterior
from pyro_mixdvae.guides import Collapsed
from pyro_mixdvae.guides.contract import Guide
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import MixtureModel, Scene, Sources
from pyro_mixdvae.process_state import seeded
from pyro_mixdvae.testing.contract import Contract
from pyro_mixdvae.testing.gaussians import fed, joint_of, joint_of_chain
from pyro_mixdvae.testing.parts import EVERY_ASSIGNMENT, PRIORS, ConstantAcceleration, toy_model, vkf
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close, toy_scene

EVERY_PRIOR = PRIORS | {"constant acceleration": ConstantAcceleration}
"""With one of S = 3."""

EACH_PRIOR = pytest.mark.parametrize("make_sources", EVERY_PRIOR.values(), ids=EVERY_PRIOR.keys())
Make = Callable[[], Sources]


def some_chain(sources: Sources, scene: Scene) -> Chain:
    """A posterior of the prior: random contents, seen in half of the frames."""
    shape = (*scene.start.shape[:2], scene.n_frames, 4)
    path = scene.start.unsqueeze(-2) + 0.03 * torch.randn(shape)
    precision = 100 * torch.rand(shape) * (torch.rand(shape) < 0.5) * scene.present[:, None, :, None]
    with torch.no_grad():
        return posterior(sources.transitions(fed(path, sources.state_size), scene.start), path, precision)


class GuideContract(Contract):
    """Derive, and say how the guide is made."""

    def family(self, model: MixtureModel, scene: Scene) -> Collapsed:
        """The guide of a model and a scene."""
        raise NotImplementedError

    def make(self, sources: Sources, scene: Scene) -> Collapsed:
        """In a model with the plainest of assignments."""
        return self.family(toy_model(scene.n_sources, sources), scene)

    @EACH_PRIOR
    @pytest.mark.parametrize("n_frames", [1, 2, 5])
    def test_guide_keeps_the_chain_that_it_is_given(self, make_sources: Make, n_frames: int) -> None:
        sources, scene = make_sources(), toy_scene(n_frames=n_frames)
        chain, guide = some_chain(sources, scene), self.make(sources, scene)
        guide.set_chain(chain)
        kept = guide.chain()
        torch.testing.assert_close(kept.mean, chain.mean, **EXACT)
        torch.testing.assert_close(kept.gain, chain.gain, **EXACT)
        torch.testing.assert_close(kept.scale_tril @ kept.scale_tril.mT, chain.conditional, **EXACT)

    @EACH_PRIOR
    def test_given_its_own_chain_the_guide_does_not_move(self, make_sources: Make) -> None:
        """Parameters that an optimiser has moved are part of the chain."""
        sources, scene = make_sources(), toy_scene(n_frames=3)
        guide = self.make(sources, scene)
        guide.set_chain(some_chain(sources, scene))
        with torch.no_grad():
            for parameter in (guide.offset, guide.gain, guide.log_scale, guide.below):
                parameter.add_(0.1 * torch.randn_like(parameter))
        moved = guide.chain()
        conditional = moved.scale_tril @ moved.scale_tril.mT
        _, covariance = joint_of_chain(moved.mean, moved.gain, conditional)
        size = sources.state_size
        marginal = torch.stack(
            [covariance[..., t * size : (t + 1) * size, t * size : (t + 1) * size] for t in range(3)], -4
        )
        guide.set_chain(Chain(moved.mean.detach(), moved.gain.detach(), conditional.detach(), marginal.detach()))
        kept = guide.chain()
        assert not guide.offset.any()
        for after, before in ((kept.mean, moved.mean), (kept.gain, moved.gain), (kept.scale_tril, moved.scale_tril)):
            torch.testing.assert_close(after, before, **EXACT)

    @EACH_PRIOR
    def test_after_the_end_of_a_scene_frames_are_cut_off(self, make_sources: Make) -> None:
        """The last frame of a shorter scene does not lean on padding, and its marginal is the posterior's."""
        sources, scene = make_sources(), toy_scene(n_frames=6, is_padded=True)
        chain, guide = some_chain(sources, scene), self.make(sources, scene)
        guide.set_chain(chain)
        kept = guide.chain()
        assert not kept.gain[1, :, 2:].any()
        mean, covariance = joint_of(chain)
        cut = slice(0, 3 * sources.state_size)
        short = joint_of_chain(
            kept.mean[1, :, :3], kept.gain[1, :, :3], (kept.scale_tril @ kept.scale_tril.mT)[1, :, :3]
        )
        torch.testing.assert_close(short[0], mean[1, ..., cut], **EXACT)
        torch.testing.assert_close(short[1], covariance[1, ..., cut, cut], **EXACT)

    @EACH_PRIOR
    def test_marginals_are_the_diagonal_of_the_dense_covariance(self, make_sources: Make) -> None:
        sources, scene = make_sources(), toy_scene(n_frames=4)
        chain, guide = some_chain(sources, scene), self.make(sources, scene)
        guide.set_chain(chain)
        mean, variance = guide.marginals()
        dense_mean, covariance = joint_of(chain)
        own = slice(None, None, sources.state_size)
        torch.testing.assert_close(mean, dense_mean[..., own].transpose(-2, -1), **EXACT)
        diagonal = torch.diagonal(covariance, dim1=-2, dim2=-1)[..., own]
        torch.testing.assert_close(variance, diagonal.transpose(-2, -1), **EXACT)

    @EACH_PRIOR
    @pytest.mark.parametrize("is_padded", [False, True])
    def test_density_of_what_is_drawn_is_that_of_the_dense_gaussian(self, make_sources: Make, is_padded: bool) -> None:
        """The sum of the guide's densities is log q(s, z | o), in the frames that exist."""
        sources, scene = make_sources(), toy_scene(n_frames=4, is_padded=is_padded)
        chain, guide = some_chain(sources, scene), self.make(sources, scene)
        guide.set_chain(chain)
        trace = poutine.trace(guide).get_trace(scene)
        trace.compute_log_prob()
        sz = trace.nodes["sz"]["value"]
        s, z = (part[:, 0, 0] for part in sz.split([4, sources.latent_dim], -1))
        assert s.shape == (2, 2, 4, 4)
        found = sum(trace.nodes[name]["log_prob"] for name in ("q_sz", "q_s", "q_z") if name in trace.nodes)
        for b in range(2):
            n = int(scene.present[b].sum())
            cut = slice(0, n * sources.state_size)
            mean, covariance = (part[b] for part in joint_of(chain))
            dense = MultivariateNormal(mean[..., cut], covariance[..., cut, cut])
            latent = (
                z[b].unflatten(-1, (sources.state_size - 1, 4)).mT if sources.state_size > 1 else s[b][..., None, :0]
            )
            state = torch.cat([s[b].unsqueeze(-1), latent.expand(*s[b].shape, -1)], -1)
            expected = dense.log_prob(state[:, :n].transpose(-3, -2).flatten(-2)).sum()
            if sources.state_size == 1 and sources.latent_dim:
                start = scene.start[b]
                expected = expected + self.encoder_density(sources, s[b, :, :n], z[b, :, :n], start)
            torch.testing.assert_close(found[b].sum(), expected, **EXACT)

    def encoder_density(self, sources: Sources, s: Tensor, z: Tensor, start: Tensor) -> Tensor:
        return sources.latent_posterior(s, start).log_prob(z).sum()

    @pytest.mark.parametrize("prior", ["kinematic", "srnn"])
    def test_moments_and_draws_are_those_of_the_program(self, prior: str) -> None:
        """The closed forms, and what any guide derives of its draws."""
        sources, scene = PRIORS[prior](), toy_scene(n_frames=3)
        guide = self.make(sources, scene)
        guide.set_chain(some_chain(sources, scene))
        mean, variance = guide.marginals()
        for drawn in (guide.sample(2000, seeded(0)), Guide.sample(guide, 400, seeded(0))):
            assert drawn.shape[1:] == (2, 2, 3, 4)
            assert_mean_close(drawn, mean, n_errors=5)
            assert_mean_close((drawn - mean).square(), variance, n_errors=5)
        derived_mean, derived_variance = Guide.marginals(guide)
        torch.testing.assert_close(derived_mean, mean, rtol=0, atol=0.5 * float(variance.max().sqrt()))
        torch.testing.assert_close(derived_variance, variance, rtol=0.6, atol=0.0)

    def test_a_subclass_of_another_program_is_read_by_its_draws(self) -> None:
        sources, scene = vkf(), toy_scene(n_frames=3)
        guide = self.make(sources, scene)
        base: Any = type(guide)

        class Shifted(base):  # type: ignore[misc]
            def draw_sources(self, scene: Scene, scenes: pyro.plate) -> tuple[Tensor, Tensor]:
                own: Any = self
                centre, own.centre = own.centre, own.centre + 1.0
                try:
                    return super().draw_sources(scene, scenes)
                finally:
                    own.centre = centre

        assert Shifted.marginals is Guide.marginals
        assert Shifted.sample is Guide.sample
        guide.set_chain(some_chain(sources, scene))
        mean, variance = guide.marginals()
        guide.__class__ = Shifted
        found, _ = guide.marginals()
        torch.testing.assert_close(found, mean + 1.0, rtol=0, atol=0.5 * float(variance.max().sqrt()))

    @pytest.mark.parametrize("kind", EVERY_ASSIGNMENT)
    def test_a_latent_of_the_assignment_has_its_factor(self, kind: str) -> None:
        """Under the site of the model, with a density of its own; at first q is the prior."""
        scene = toy_scene(n_frames=3)
        model = toy_model(2, vkf(), EVERY_ASSIGNMENT[kind](2))
        guide = self.family(model, scene)
        trace = poutine.trace(guide).get_trace(scene)
        name = model.assignment.latent_name
        assert (guide.latent is None) == (name is None)
        assert ({"v", "pi"} & set(trace.nodes)) == ({name} if name else set())
        if name is None:
            return
        trace.compute_log_prob()
        node, prior = trace.nodes[name], model.assignment.latent_prior(scene)
        assert node["log_prob"].shape == (2, 1, 1)
        torch.testing.assert_close(node["log_prob"], prior.log_prob(node["value"]), **EXACT)
        assert {key for key, _ in guide.named_parameters() if key.startswith("latent.")}

    def test_inference_uses_it(self) -> None:
        """Its records are of its own program."""
        calls: list[str] = []
        base: Any = type(self.family(toy_model(2), toy_scene(1, 2, 2, 2)))

        class Watched(base):  # type: ignore[misc]
            def forward(self, scene: Scene) -> Any:
                calls.append("forward")
                return super().forward(scene)

        infer(toy_model(2), toy_scene(1, 2, 2, 2), Watched, Coordinate(1))
        assert calls

    def test_nothing_enters_the_global_parameter_store(self) -> None:
        sources, scene = PRIORS["kinematic"](), toy_scene()
        guide = self.make(sources, scene)
        guide(scene)
        assert not list(pyro.get_param_store().keys())
        assert {name for name, _ in guide.named_parameters()} >= {"offset", "gain", "log_scale", "below"}
