"""The guides that exist keep the contract of a guide; so does a program of one's own, by its draws."""

import pyro
import pytest
import torch
from pyro import poutine
from pyro.distributions import Delta, Normal

from pyro_mixdvae.distributions.kalman import posterior
from pyro_mixdvae.guides import Collapsed, Factorised, Guide, MeanField, Program
from pyro_mixdvae.models import ExclusiveAssignment, MixtureModel, Scene
from pyro_mixdvae.process_state import seeded
from pyro_mixdvae.testing.gaussians import fed, joint_of
from pyro_mixdvae.testing.guides import GuideContract, some_chain
from pyro_mixdvae.testing.parts import EVERY_ASSIGNMENT, toy_model, vkf
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close, toy_scene


class TestCollapsed(GuideContract):
    def family(self, model: MixtureModel, scene: Scene) -> Collapsed:
        return Collapsed(model, scene)

    def test_w_is_left_to_the_model(self) -> None:
        scene = toy_scene()
        guide = self.make(vkf(), scene)
        assert "w" not in poutine.trace(guide).get_trace(scene).nodes
        assert guide.responsibilities() is None

    def test_the_exact_chain_is_its_own_projection(self) -> None:
        scene = toy_scene()
        chain = some_chain(vkf(), scene)
        steps = vkf().transitions(fed(chain.mean[..., 0], 2), scene.start)
        assert self.make(vkf(), scene).project(chain, steps, torch.ones(2, 2, 4, 4)) is chain


class TestMeanField(GuideContract):
    def family(self, model: MixtureModel, scene: Scene) -> Collapsed:
        return MeanField(model, scene)

    @pytest.mark.parametrize("kind", EVERY_ASSIGNMENT)
    def test_responsibilities_are_those_of_the_update(self, kind: str) -> None:
        scene = toy_scene(n_detections=3, n_sources=2)
        assignment = EVERY_ASSIGNMENT[kind](2)
        guide = MeanField(toy_model(2, vkf(), assignment), scene)
        log_likelihood = 3 * torch.randn(2, 4, 3, assignment.n_classes)
        guide.set_assignments(assignment.posterior_logits(log_likelihood, scene.mask))
        expected = assignment.responsibilities(log_likelihood, scene.mask)
        torch.testing.assert_close(guide.responsibilities(), expected, **EXACT)

    @pytest.mark.parametrize("kind", EVERY_ASSIGNMENT)
    def test_before_any_update_q_of_w_is_the_prior(self, kind: str) -> None:
        scene = toy_scene()
        assignment = EVERY_ASSIGNMENT[kind](2)
        guide = MeanField(toy_model(2, vkf(), assignment), scene)
        torch.testing.assert_close(guide.logits.softmax(-1), assignment.prior(scene.mask).probs)

    def test_where_events_are_too_many_to_list_w_is_left_to_the_model(self) -> None:
        scene = toy_scene(1, 2, 25, 4)
        guide = MeanField(toy_model(4, vkf(), ExclusiveAssignment(4)), scene)
        assert guide.logits is None
        assert guide.responsibilities() is None
        assert "w" not in poutine.trace(guide).get_trace(scene).nodes
        guide.set_assignments(torch.zeros(1))  # nothing to move


class TestFactorised(TestMeanField):
    def family(self, model: MixtureModel, scene: Scene) -> Collapsed:
        return Factorised(model, scene)

    def test_its_projection_has_the_means_and_no_links(self) -> None:
        """Variances are the inverses of the diagonal of the joint precision."""
        scene = toy_scene()
        path, precision = scene.start.unsqueeze(-2) + 0.03 * torch.randn(2, 2, 4, 4), 100 * torch.rand(2, 2, 4, 4)
        steps = vkf().transitions(fed(path, 2), scene.start)
        chain = posterior(steps, path, precision)
        found = self.make(vkf(), scene).project(chain, steps, precision)
        torch.testing.assert_close(found.mean, chain.mean)
        assert not found.gain.any()
        _, covariance = joint_of(chain)
        information = torch.diagonal(torch.linalg.inv(covariance), dim1=-2, dim2=-1)
        own = torch.diagonal(found.covariance, dim1=-2, dim2=-1).transpose(-3, -2).flatten(-2)
        torch.testing.assert_close(own, information.reciprocal(), rtol=1e-7, atol=1e-9)


class Still(Guide):
    """A user's own: every source stays where it starts, give or take .1."""

    def forward(self, scene: Scene) -> None:
        with pyro.plate("scenes", len(scene.start), dim=-3):
            s = scene.start[:, None, None, :, None].expand(-1, 1, 1, -1, scene.n_frames, -1)
            place = pyro.sample("place", Normal(s, 0.1).to_event(3), infer={"is_auxiliary": True})
            velocity = pyro.sample("z", Normal(torch.zeros_like(s), 0.01).to_event(3), infer={"is_auxiliary": True})
            pyro.sample("sz", Delta(torch.cat([place, velocity], -1), event_dim=3))


def test_a_guide_of_one_s_own_writes_its_program_alone() -> None:
    scene = toy_scene()
    guide = Still(toy_model(2), scene)
    drawn = guide.sample(1000, seeded(0))
    assert drawn.shape == (1000, 2, 2, 4, 4)
    assert_mean_close(drawn, scene.start.unsqueeze(-2).expand(2, 2, 4, 4), n_errors=4.5)
    mean, variance = guide.marginals()
    assert float((mean - scene.start.unsqueeze(-2)).abs().max()) < 0.05
    torch.testing.assert_close(variance, torch.full_like(variance, 0.01), rtol=0.5, atol=0.0)
    assert guide.responsibilities() is None
    state = torch.get_rng_state()
    torch.testing.assert_close(guide.marginals(), (mean, variance))  # the same draws, and none of the caller's
    assert torch.equal(torch.get_rng_state(), state)


def test_any_callable_that_takes_the_scene_is_a_guide() -> None:
    scene = toy_scene()

    def still(scene: Scene) -> None:
        Still.forward(None, scene)  # type: ignore[arg-type]

    guide = Program(still, scene, 4)
    assert guide.name == "still"
    assert guide.content_dim == 4
    assert guide.sample(3, seeded(0)).shape == (3, 2, 2, 4, 4)
