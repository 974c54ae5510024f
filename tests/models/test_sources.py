"""The priors that exist keep the contract of `Sources`, and so does one with the three methods alone."""

import pytest
import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian, Transition
from pyro_mixdvae.engines.registry import only_torch
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import KinematicSources, Scene, Sources, SRNNSources, Step
from pyro_mixdvae.models.sources.contract import Before, map_state
from pyro_mixdvae.models.sources.step import Moments
from pyro_mixdvae.networks.kinematic import ConstantVelocity
from pyro_mixdvae.testing.gaussians import fed
from pyro_mixdvae.testing.parts import (
    ConstantAcceleration,
    gaussian_likelihood,
    gentle_srnn,
    lively_autoregressive,
    lively_kinematic,
    relative_vkf,
    toy_model,
    vkf,
)
from pyro_mixdvae.testing.scenes import EXACT, toy_scene
from pyro_mixdvae.testing.sources import LinearInSContract, LinearSourcesContract, SourcesContract, derived


class TestSRNN(SourcesContract):
    def make(self) -> SRNNSources:
        return gentle_srnn()

    def assert_same_steps(self, sources: Sources, at_once: Transition, one_by_one: Transition) -> None:
        """An SRNN knows s where it gives all transitions: it emits at the encoder's z, not at the prior's."""
        torch.testing.assert_close(at_once.offset[..., 0, :, :], one_by_one.offset[..., 0, :, :], **EXACT)
        torch.testing.assert_close(at_once.noise[..., 0, :, :, :], one_by_one.noise[..., 0, :, :, :], **EXACT)
        assert not at_once.matrix.any()

    def assert_same_place(self, belief: Gaussian, found: Transition, expected: Transition) -> None:
        """Derived, z is integrated out; in closed form the emission is at its mean: a little narrower."""
        torch.testing.assert_close(found.offset[..., 0, :, :], expected.offset[..., 0, :, :], **EXACT)
        torch.testing.assert_close(found.noise[..., 0, :, :, :], expected.noise[..., 0, :, :, :], **EXACT)
        before = torch.cat([torch.zeros_like(belief.mean[..., :1, :, :]), belief.mean[..., :-1, :, :]], -3)
        means = [(each.matrix @ before.unsqueeze(-1)).squeeze(-1) + each.offset for each in (found, expected)]
        torch.testing.assert_close(*means, rtol=0.2, atol=0.05)

    def assert_same_moments(self, draws: Tensor, mean: Tensor, covariance: Tensor) -> None:
        """The emission is not linear in z: cubature is near."""
        torch.testing.assert_close(draws.mean(0), mean, rtol=0.1, atol=0.05)
        torch.testing.assert_close(draws.var(0).unsqueeze(-1), covariance, rtol=0.15, atol=0.02)

    def test_transitions_are_emissions_at_the_central_path_of_the_encoder(self) -> None:
        sources, s, _, start = self.example()
        at_once = sources.transitions(fed(s), start)
        state = sources.init_state(start)
        for t in range(5):
            z, _ = sources.network.encoder(torch.cat([state.network.h, s[..., t, :]], -1), state.network.z)
            mean, variance = sources.network.emission(state.network.h, z)
            if t > 0:
                torch.testing.assert_close(at_once.offset[..., t, :, 0], mean, **EXACT)
                torch.testing.assert_close(at_once.noise[..., t, :, 0, 0], variance, **EXACT)
            state = sources.update_state(state, s[..., t, :], None)  # its z is the encoder's mean

    def test_first_frame_is_the_start_and_as_narrow_as_it_is_told(self) -> None:
        sources, _, _, start = self.example()
        step = sources.transition(sources.init_state(start))
        torch.testing.assert_close(step.offset.squeeze(-1), start)
        torch.testing.assert_close(step.noise[..., 0, 0], torch.full_like(start, sources.start_variance))


class TestKinematicNetwork(LinearSourcesContract):
    def make(self) -> Sources:
        return lively_kinematic()


class TestConstantVelocity(LinearInSContract):
    def make(self) -> Sources:
        return vkf()


class TestConstantVelocityInBoxSizes(LinearSourcesContract):
    def make(self) -> Sources:
        return relative_vkf()


class TestAutoregressive(SourcesContract):
    def make(self) -> Sources:
        return lively_autoregressive()


class TestConstantAcceleration(LinearInSContract):
    """A user's own, with S = 3 and no closed form at all."""

    def make(self) -> Sources:
        return ConstantAcceleration()

    def test_transition_is_the_matrix_that_the_program_says(self) -> None:
        """`v' = v + a`, `a' = .9 a`, `s' = s + v' + a'`, and the noise of v' and a' is in s' too."""
        sources, s, z, start = self.example()
        found = sources.transitions(self.filtered(sources, s, z), start)
        matrix = torch.tensor([[1.0, 1.0, 1.9], [0.0, 1.0, 1.0], [0.0, 0.0, 0.9]])
        v, a = 0.03**2, 0.02**2
        noise = torch.tensor([[0.05**2 + v + a, v, a], [v, v, 0], [a, 0, a]])
        torch.testing.assert_close(
            found.matrix[..., 1:, :, :, :], matrix.expand(2, 3, 4, 4, 3, 3), rtol=1e-6, atol=1e-6
        )
        torch.testing.assert_close(found.noise, noise.expand(2, 3, 5, 4, 3, 3), rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(found.offset[..., 1:, :, :], torch.zeros(2, 3, 4, 4, 3), rtol=0, atol=1e-6)
        assert sources.state_size == 3

    def test_it_follows_a_source_that_speeds_up(self) -> None:
        """And better than one that knows no acceleration, of equal noise."""
        n_frames = 12
        t = torch.arange(n_frames).double()
        start = torch.tensor([[[0.1, 0.1, -2.0, -2.0]]])
        path = start.unsqueeze(-2) + (0.5 * 0.04 * t.square()).unsqueeze(-1) * torch.tensor([1.0, 0.5, 0.0, 0.0])
        observations = (path + 0.002 * torch.randn_like(path)).transpose(1, 2)
        observations[:, 5:8] = torch.nan
        scene = Scene.of(observations, start)
        found = infer(
            toy_model(1, ConstantAcceleration(), likelihood=gaussian_likelihood(0.05)), scene, algorithm=Coordinate(2)
        )
        assert found.engine == "torch"
        assert float((found.mean - path).abs().max()) < 0.03
        with only_torch():  # as the other is
            plain = infer(toy_model(1, vkf(), likelihood=gaussian_likelihood(0.05)), scene, algorithm=Coordinate(2))
        gap = slice(5, 8)
        off = [float((each.mean - path)[..., gap, :].abs().max()) for each in (found, plain)]
        assert off[0] < off[1]


class OwnKinematic(KinematicSources):
    """Half the noise of position of the prior that it derives from."""

    def conditional(self, state: object) -> Step:
        step = super().conditional(state)

        def emission(z: Tensor) -> Normal:
            density = step.emission(z)
            return Normal(density.mean, 0.5 * density.stddev)

        return Step(step.latent, emission)


def test_overriding_the_next_step_changes_density_and_transitions() -> None:
    """None of the closed forms of the base class is left."""
    own = OwnKinematic(ConstantVelocity(4, 0.05, 0.1, damping=0.9), torch.ones_like, 0.3)
    narrow = KinematicSources(ConstantVelocity(4, 0.05, 0.05, damping=0.9), torch.ones_like, 0.15)
    for name in ("log_prob", "transition", "transitions"):
        assert getattr(OwnKinematic, name) is getattr(Sources, name)
    start = toy_scene().start
    s, z = start.unsqueeze(-2) + 0.1 * torch.randn(2, 2, 5, 4), torch.randn(2, 2, 5, 4)
    torch.testing.assert_close(own.log_prob(s, z, start), narrow.log_prob(s, z, start), **EXACT)
    for found, expected in zip(own.transitions(fed(s, 2), start), narrow.transitions(fed(s, 2), start), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    scene = toy_scene(2, 5, 3, 2)
    results = [infer(toy_model(2, sources), scene, algorithm=Coordinate(2)) for sources in (own, narrow, vkf())]
    torch.testing.assert_close(results[0].mean, results[1].mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(results[0].variance, results[1].variance, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(results[0].variance, results[2].variance, rtol=1e-2)


def test_overriding_the_memory_gives_the_derived_forms_back() -> None:
    class Restless(KinematicSources):
        def update_state(self, state: object, s: Tensor, z: Tensor | None) -> object:
            after = super().update_state(state, s, z)
            return after._replace(z=2 * after.z)

    sources = Restless(ConstantVelocity(4, 0.05, 0.1, damping=0.4), torch.ones_like, 0.3)
    faster = KinematicSources(ConstantVelocity(4, 0.05, 0.1, damping=0.8), torch.ones_like, 0.3)
    start = toy_scene().start
    s, z = start.unsqueeze(-2) + 0.1 * torch.randn(2, 2, 5, 4), torch.randn(2, 2, 5, 4)
    torch.testing.assert_close(sources.log_prob(s, z, start), faster.log_prob(s, z, start), **EXACT)
    for found, expected in zip(
        sources.transitions(fed(s, 2), start), faster.transitions(fed(s, 2), start), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


class Doubling(Sources):
    """s grows twofold, and has no z; its memory is a dictionary with a list."""

    content_dim, latent_dim = 4, 0

    def init_state(self, start: Tensor) -> dict:
        return {"path": [start], "n": 1}

    def conditional(self, state: dict) -> Step:
        return Step(None, lambda z: Normal(state["path"][0] * 2, 0.1))

    def update_state(self, state: dict, s: Tensor, z: Tensor | None) -> dict:
        return {"path": [s], "n": state["n"] + 1}


class TestWithoutZ(SourcesContract):
    def make(self) -> Sources:
        return Doubling()

    def test_the_regression_finds_the_slope(self) -> None:
        sources, s, _, start = self.example()
        mean = s[..., 1, :].unsqueeze(-1)
        belief = Gaussian(mean, 0.3 + torch.rand(*mean.shape, 1))
        before = Before(sources.update_state(sources.init_state(start), s[..., 0, :], None), belief)
        step = sources.transition(sources.update_state(before.state, s[..., 1, :], None), before)
        torch.testing.assert_close(step.matrix, torch.full_like(step.matrix, 2.0), **EXACT)
        torch.testing.assert_close(step.offset, torch.zeros_like(step.offset), **EXACT)
        torch.testing.assert_close(step.noise, torch.full_like(step.noise, 0.01), **EXACT)


class Bent(Doubling):
    """`s_t ~ N(sin s_{t-1}, .1^2)`: not linear."""

    def conditional(self, state: dict) -> Step:
        return Step(None, lambda z: Normal(state["path"][0].sin(), 0.1))


def test_the_regression_of_a_step_that_is_not_linear_has_the_moments_of_its_sigma_points() -> None:
    """Of one number the points are one standard deviation away: slope by difference, the rest is noise."""
    sources, mean, variance = Bent(), torch.randn(3, 4, 1), torch.rand(3, 4, 1, 1)
    state = sources.init_state(torch.zeros(3, 4))
    spread = variance.sqrt().squeeze(-1)
    ahead, behind = (mean + spread).sin(), (mean - spread).sin()
    step = sources.transition(sources.update_state(state, mean[..., 0], None), Before(state, Gaussian(mean, variance)))
    slope = (ahead - behind) / (2 * spread)
    torch.testing.assert_close(step.matrix.squeeze(-1), slope, **EXACT)
    torch.testing.assert_close(step.offset, (ahead + behind) / 2 - slope * mean, **EXACT)
    torch.testing.assert_close(step.noise.squeeze(-1), torch.full_like(slope, 0.01), **EXACT)


def test_memories_may_be_of_any_kind() -> None:
    state = {"a": [torch.ones(2), (torch.ones(3), None)], "b": Moments(torch.ones(1), torch.ones(2))}
    found = map_state(lambda part: part + 1, state)
    assert bool((found["a"][1][0] == 2).all())
    assert isinstance(found["b"], Moments)
    assert bool((found["b"].covariance == 2).all())
    assert found["a"][1][1] is None


class Uneven(Doubling):
    latent_dim = 6


def test_a_latent_that_fits_no_coordinate_is_refused() -> None:
    with pytest.raises(InputError, match="Uneven has 6 numbers of z for 4 of s, and no encoder"):
        _ = Uneven().state_size


def test_without_an_encoder_there_is_no_posterior_of_z() -> None:
    with pytest.raises(TypeError, match="no q\\(z"):
        Doubling().latent_posterior(torch.ones(1, 4), torch.ones(4))


def test_sources_that_start_nowhere_near_are_refused() -> None:
    for spread in (0.0, -1.0):
        with pytest.raises(InputError, match="start with a spread"):
            KinematicSources(ConstantVelocity(4), torch.ones_like, spread)


@pytest.mark.parametrize("content_dim", [1, 5, 8])
def test_a_prior_of_another_width_is_refused_before_anything_runs(content_dim: int) -> None:
    """And does not reach a kernel, which would write where it has no memory."""
    sources = KinematicSources(ConstantVelocity(content_dim), torch.ones_like)
    with pytest.raises(InputError, match=f"KinematicSources has contents of {content_dim} numbers, and the scene of 4"):
        infer(toy_model(2, sources), toy_scene())


@pytest.mark.parametrize("content_dim", [1, 5])
def test_a_prior_of_another_width_follows_contents_of_that_width(content_dim: int) -> None:
    """Scenes that are no boxes: any D runs."""
    from pyro_mixdvae.models import IndependentAssignment, MixtureModel, Normal, RelativeNoise

    start = torch.randn(1, 2, content_dim)
    path = start.unsqueeze(-2) + 0.02 * torch.randn(1, 2, 6, content_dim).cumsum(-2)
    scene = Scene.of(path.transpose(1, 2) + 0.01 * torch.randn(1, 6, 2, content_dim), start)
    sources = KinematicSources(ConstantVelocity(content_dim, 0.05, 0.1), torch.ones_like)
    model = MixtureModel(sources, IndependentAssignment(2), Normal(RelativeNoise(torch.ones_like, 0.05)))
    with only_torch():  # kernels for these widths would be compiled for this test alone
        found = infer(model, scene)
    assert found.mean.shape == path.shape
    assert float((found.mean - path).abs().max()) < 0.2


def test_a_class_derived_for_a_test_is_the_same_prior() -> None:
    sources = vkf()
    assert derived(sources).network is sources.network
