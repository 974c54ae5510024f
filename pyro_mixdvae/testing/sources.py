"""What every p(s, z) keeps: a test class that derives from `SourcesContract` holds its prior to it."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from pyro_mixdvae.distributions.kalman import Gaussian, Transition
from pyro_mixdvae.guides import AdditiveGuide, MeanField
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import AdditiveModel, ComplexNormal, PowerNoise, Sources, Step, sound_scene
from pyro_mixdvae.models.sources.contract import Before, map_state
from pyro_mixdvae.testing.contract import Contract, assert_used
from pyro_mixdvae.testing.gaussians import fed
from pyro_mixdvae.testing.parts import toy_model
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close, boxes, toy_scene


def derived(sources: Sources) -> Sources:
    """The same prior from `init_state`, `conditional` and `update_state` alone: closed forms are gone."""
    base: Any = type(sources)

    class Derived(base):  # type: ignore[misc]
        def conditional(self, state: Any) -> Step:
            return super().conditional(state)

    other = sources.replace()
    other.__class__ = Derived
    return other


def state_of(s: Tensor, z: Tensor, size: int) -> Tensor:
    """s [*, D] and z [*, L] as states [*, D, S]."""
    if size == 1:
        return s.unsqueeze(-1)
    return torch.cat([s.unsqueeze(-1), z.unflatten(-1, (size - 1, s.shape[-1])).mT], -1)


class SequenceContract(Contract):
    """What every prior keeps, of boxes or of sounds. Derive, and say how the prior is made."""

    def make(self) -> Sources:
        """The prior."""
        raise NotImplementedError

    def example(self, n_frames: int = 5) -> tuple[Sources, Tensor, Tensor, Tensor]:
        """The prior, and s [2, 3, T, D], z [2, 3, T, L], start [2, 3, D] to try it on."""
        sources = self.make()
        start = boxes(2, 3)
        s = start.unsqueeze(-2) + 0.05 * torch.randn(2, 3, n_frames, sources.content_dim).cumsum(-2)
        return sources, s, torch.randn(2, 3, n_frames, sources.latent_dim), start

    def few(self, start: Tensor) -> Tensor:
        """Of start [2, 3, D] what is enough to draw from thousands of times; a prior of three given sources: [:1]."""
        return start[:1, :1]

    def test_density_of_a_sequence_is_the_sum_over_its_steps(self) -> None:
        for n_frames in (1, 2, 5):
            sources, s, z, start = self.example(n_frames)
            state = sources.init_state(start)
            steps = []
            for t in range(n_frames):
                steps.append(sources.conditional(state).log_prob_pair(s[..., t, :], z[..., t, :]))
                state = sources.update_state(state, s[..., t, :], z[..., t, :])
            torch.testing.assert_close(sources.log_prob(s, z, start), torch.stack(steps, -1), **EXACT)

    def test_inference_uses_it(self) -> None:
        def run(part: Sources) -> None:
            if part.n_sources is not None:
                scene = sound_scene(torch.randn(1, 3, part.content_dim // 2, dtype=torch.complex128), part.n_sources)
                likelihood = ComplexNormal(PowerNoise(0.2, 0.01))
                infer(AdditiveModel(part, likelihood), scene, AdditiveGuide, Coordinate(1))
            else:
                infer(toy_model(2, part), toy_scene(1, 2, 2, 2), MeanField, Coordinate(1))

        assert_used(self.make(), "conditional", run)

    def test_sequence_has_one_event_for_all_sources_and_frames(self) -> None:
        sources, s, z, start = self.example()
        sequence = sources.sequence(start, torch.ones(2, 5, dtype=torch.bool))
        width = sources.content_dim + sources.latent_dim
        assert sequence.batch_shape == (2,)
        assert sequence.event_shape == (3, 5, width)
        assert sequence.sample().shape == (2, 3, 5, width)
        assert sequence.sample(torch.Size([4])).shape == (4, 2, 3, 5, width)
        expected = sources.log_prob(s, z, start).sum((-2, -1))
        torch.testing.assert_close(sequence.log_prob(torch.cat([s, z], -1)), expected, **EXACT)

    def test_expanded_sequence_is_the_same_prior(self) -> None:
        sources, s, z, start = self.example()
        sequence = sources.sequence(start, torch.ones(2, 5, dtype=torch.bool))
        larger = sequence.expand(torch.Size([4, 2]))
        value = torch.cat([s, z], -1).expand(4, 2, 3, 5, -1)
        assert larger.batch_shape == (4, 2)
        assert larger.sample().shape == value.shape
        assert sequence.batch_shape == (2,)
        torch.testing.assert_close(larger.log_prob(value), sequence.log_prob(value), **EXACT)

    def test_frames_after_the_end_do_not_count(self) -> None:
        sources, s, z, start = self.example()
        present = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
        found = sources.sequence(start, present).log_prob(torch.cat([s, z], -1))
        per_frame = sources.log_prob(s, z, start).sum(-2)
        torch.testing.assert_close(found, torch.stack([per_frame[0].sum(), per_frame[1, :3].sum()]), **EXACT)

    def test_drawn_sequences_have_the_moments_of_the_density(self) -> None:
        """Integration by parts: E[d log p(x) / dx_i] = 0 and E[(x_i - E x_i) d log p(x) / dx_i] = -1 under p itself."""
        sources, _, _, start = self.example()
        sequence = sources.sequence(self.few(start), torch.ones(1, 3, dtype=torch.bool))
        draws = sequence.sample(torch.Size([4000])).requires_grad_()
        (score,) = torch.autograd.grad(sequence.log_prob(draws).sum(), draws)
        score, draws = score.flatten(1), draws.detach().flatten(1)
        assert_mean_close(score, torch.zeros(score.shape[-1]), n_errors=5)
        centred = draws - draws.mean(0)
        assert_mean_close(centred * score, -torch.ones(score.shape[-1]), n_errors=5)


class SourcesContract(SequenceContract):
    """And what priors of boxes keep as well: every source has the same network, and states have closed forms."""

    def test_a_step_is_one_event_of_s_and_z(self) -> None:
        sources, s, z, start = self.example()
        step = sources.conditional(sources.init_state(start))
        width = sources.content_dim + sources.latent_dim
        assert step.batch_shape == (2, 3)
        assert step.event_shape == (width,)
        assert step.sample().shape == (2, 3, width)
        assert step.sample(torch.Size([4, 5])).shape == (4, 5, 2, 3, width)
        value = torch.cat([s[..., 0, :], z[..., 0, :]], -1)
        expected = step.log_prob_pair(s[..., 0, :], z[..., 0, :])
        assert expected.shape == (2, 3)
        torch.testing.assert_close(step.log_prob(value), expected, **EXACT)

    def test_moments_of_a_step_are_those_of_its_draws(self) -> None:
        sources, s, z, start = self.example()
        start = self.few(start)
        state = sources.init_state(start)
        for t in range(2):
            mean, covariance = sources.conditional(state).moments(sources.state_size)
            many = map_state(lambda part: part.expand(4000, *part.shape), state)
            pair = sources.conditional(many).sample_pair()
            self.assert_same_moments(state_of(*pair, sources.state_size), mean.detach(), covariance.detach())
            n_scenes, n_sources = start.shape[:2]
            here = s[:n_scenes, :n_sources, t], z[:n_scenes, :n_sources, t]
            state = sources.update_state(state, *here)

    def assert_same_moments(self, draws: Tensor, mean: Tensor, covariance: Tensor) -> None:
        """Exact where the emission's mean is linear in z; a prior that is not overrides this."""
        assert_mean_close(draws - mean, torch.zeros(()), n_errors=5)
        products = (draws - mean).unsqueeze(-1) * (draws - mean).unsqueeze(-2)
        assert_mean_close(products - covariance, torch.zeros(()), n_errors=5)

    def test_looped_and_parallel_densities_are_one(self) -> None:
        sources, s, z, start = self.example()
        looped = derived(sources)
        assert type(looped).log_prob is Sources.log_prob
        torch.testing.assert_close(sources.log_prob(s, z, start), looped.log_prob(s, z, start), **EXACT)
        sequence, other = (each.sequence(start, torch.ones(2, 5, dtype=torch.bool)) for each in (sources, looped))
        value = torch.cat([s, z], -1)
        torch.testing.assert_close(sequence.log_prob(value), other.log_prob(value), **EXACT)

    def test_transitions_at_once_equal_one_transition_after_the_other(self) -> None:
        for n_frames in (1, 2, 5):
            sources, s, z, start = self.example(n_frames)
            at_once = sources.transitions(self.filtered(sources, s, z), start)
            size = sources.state_size
            assert at_once.matrix.shape == at_once.noise.shape == (*s.shape, size, size)
            assert at_once.offset.shape == (*s.shape, size)
            assert not at_once.matrix[..., 0, :, :, :].any()
            self.assert_same_steps(sources, at_once, self.one_by_one(sources, s, z, start))

    def filtered(self, sources: Sources, s: Tensor, z: Tensor) -> Gaussian:
        """A belief whose means are (s, z)."""
        belief = fed(s, sources.state_size)
        return Gaussian(state_of(s, z, sources.state_size), belief.covariance)

    def one_by_one(self, sources: Sources, s: Tensor, z: Tensor, start: Tensor) -> Transition:
        """`transition` frame after frame, the memory being fed s and z."""
        state, before, steps = sources.init_state(start), None, []
        carries = sources.state_size > 1
        filtered = self.filtered(sources, s, z)
        for t in range(s.shape[-2]):
            steps.append(sources.transition(state, before))
            belief = Gaussian(filtered.mean[..., t, :, :], filtered.covariance[..., t, :, :, :])
            before = Before(state, belief)
            state = sources.update_state(state, s[..., t, :], z[..., t, :] if carries else None)
        return Transition(*(torch.stack(part, -n) for n, part in zip((4, 3, 4), zip(*steps, strict=True), strict=True)))

    def assert_same_steps(self, sources: Sources, at_once: Transition, one_by_one: Transition) -> None:
        """A prior whose `transitions` know more than its `transition` overrides this."""
        for found, expected in zip(at_once, one_by_one, strict=True):
            torch.testing.assert_close(found, expected, **EXACT)

    def test_noises_are_symmetric_and_positive(self) -> None:
        sources, s, z, start = self.example()
        for each in (sources, derived(sources)):
            noise = each.transitions(self.filtered(each, s, z), start).noise
            torch.testing.assert_close(noise, noise.mT)
            assert (torch.linalg.eigvalsh(noise) > 0).all()

    def test_derived_transitions_lead_where_the_closed_ones_lead(self) -> None:
        """Of a belief next to certain: means and noises of every frame; how far one of them is sure is linear's own."""
        sources, s, z, start = self.example()
        other = derived(sources)
        assert type(other).transition is Sources.transition
        assert type(other).transitions is Sources.transitions
        belief = self.filtered(sources, s, z)
        found = other.transitions(belief, start)
        self.assert_same_place(belief, found, self.one_by_one(sources, s, z, start))

    def assert_same_place(self, belief: Gaussian, found: Transition, expected: Transition) -> None:
        """The moments of the next state; a prior whose step is not linear in z overrides this."""
        before = torch.cat([torch.zeros_like(belief.mean[..., :1, :, :]), belief.mean[..., :-1, :, :]], -3)
        means = [(each.matrix @ before.unsqueeze(-1)).squeeze(-1) + each.offset for each in (found, expected)]
        torch.testing.assert_close(*means, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(found.noise, expected.noise, rtol=1e-5, atol=1e-7)


class LinearSourcesContract(SourcesContract):
    """A prior that is linear and Gaussian in (s, z) given its memory; z is carried as velocity, acceleration, ..."""

    @torch.no_grad()
    def test_drawn_steps_have_the_moments_of_the_transition(self) -> None:
        sources, s, z, start = self.example()
        size, n_latent = sources.state_size, sources.latent_dim
        steps = self.one_by_one(sources, s, z, start)
        state = sources.init_state(start.expand(8000, 2, 3, 4))
        for t in range(3):
            drawn = state_of(*sources.conditional(state).sample_pair(), size)
            before = state_of(s[..., t - 1, :], z[..., t - 1, :], size) if t else torch.zeros(2, 3, 4, size)
            step = Transition(steps.matrix[..., t, :, :, :], steps.offset[..., t, :, :], steps.noise[..., t, :, :, :])
            mean = (step.matrix @ before.unsqueeze(-1)).squeeze(-1) + step.offset
            assert_mean_close(drawn - mean, torch.zeros_like(drawn[0]), n_errors=5)
            products = (drawn - mean).unsqueeze(-1) * (drawn - mean).unsqueeze(-2)
            assert_mean_close(products - step.noise, torch.zeros_like(products[0]), n_errors=5)
            here = s[..., t, :].expand(8000, 2, 3, 4), z[..., t, :].expand(8000, 2, 3, n_latent)
            state = sources.update_state(state, *here)

    def test_density_is_that_of_the_transitions(self) -> None:
        """`log p(s_t, z_t | before)` is a Gaussian with the moments of `transitions`, which inference works with."""
        sources, s, z, start = self.example()
        steps = sources.transitions(self.filtered(sources, s, z), start)
        state = state_of(s, z, sources.state_size)
        before = torch.cat([torch.zeros_like(state[..., :1, :, :]), state[..., :-1, :, :]], -3)
        mean = (steps.matrix @ before.unsqueeze(-1)).squeeze(-1) + steps.offset
        density = MultivariateNormal(mean, steps.noise)
        torch.testing.assert_close(sources.log_prob(s, z, start), density.log_prob(state).sum(-1), rtol=1e-6, atol=1e-6)


class LinearInSContract(LinearSourcesContract):
    """And linear in s too, whatever the memory holds: sigma points of any width find the step exactly."""

    def test_derived_transitions_are_the_closed_ones(self) -> None:
        sources, s, z, start = self.example()
        mean = state_of(s, z, sources.state_size)
        root = 0.3 * torch.randn(*mean.shape, sources.state_size)
        belief = Gaussian(mean, root @ root.mT + 0.01 * torch.eye(sources.state_size))
        found = derived(sources).transitions(belief, start)
        for own, expected in zip(found, sources.transitions(belief, start), strict=True):
            torch.testing.assert_close(own, expected, rtol=1e-8, atol=1e-8)
