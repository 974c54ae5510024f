"""What every p(s, z) keeps: a test class that derives from `SourcesContract` holds its prior to it."""

import torch
from torch import Tensor
from toys import EXACT, assert_mean_close, boxes

from pyro_mixdvae.models import Sources


class SourcesContract:
    """Derive, and say how the prior is made."""

    def make(self) -> Sources:
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
            memory = sources.begin(start)
            steps = []
            for t in range(n_frames):
                steps.append(sources.log_density_step(memory, s[..., t, :], z[..., t, :]))
                memory = sources.remember(memory, s[..., t, :], z[..., t, :])
            torch.testing.assert_close(sources.log_density(s, z, start), torch.stack(steps, -1), **EXACT)

    def test_transitions_at_once_equal_one_transition_after_the_other(self) -> None:
        for n_frames in (1, 2, 5):
            sources, s, _, start = self.example(n_frames)
            memory = sources.begin(start)
            at_once = sources.transitions(s, start)
            size = sources.state_size
            assert at_once.matrix.shape == at_once.noise.shape == (*s.shape, size, size)
            assert at_once.offset.shape == (*s.shape, size)
            assert not at_once.matrix[..., 0, :, :, :].any()
            for t in range(n_frames):
                self.assert_same_step(sources, memory, at_once, t)
                memory = sources.remember(memory, s[..., t, :], None)

    def assert_same_step(self, sources: Sources, memory: object, at_once: object, t: int) -> None:
        """Frame t of `transitions` is `transition`; a prior that is not linear given its memory overrides this."""
        one = sources.transition(memory)
        for of_all, of_one, n_axes in zip(at_once, one, (3, 2, 3), strict=True):
            torch.testing.assert_close(of_all.select(-n_axes - 1, t), of_one, **EXACT)

    def test_noises_are_symmetric_and_positive(self) -> None:
        sources, s, _, start = self.example()
        noise = sources.transitions(s, start).noise
        torch.testing.assert_close(noise, noise.mT)
        assert (torch.linalg.eigvalsh(noise) > 0).all()

    def test_sequence_has_one_event_for_all_sources_and_frames(self) -> None:
        sources, s, z, start = self.example()
        sequence = sources.sequence(start, torch.ones(2, 5, dtype=torch.bool))
        width = sources.content_dim + sources.latent_dim
        assert sequence.batch_shape == (2,)
        assert sequence.event_shape == (3, 5, width)
        assert sequence.sample().shape == (2, 3, 5, width)
        assert sequence.sample((4,)).shape == (4, 2, 3, 5, width)
        expected = sources.log_density(s, z, start).sum((-2, -1))
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
        per_frame = sources.log_density(s, z, start).sum(-2)
        torch.testing.assert_close(found, torch.stack([per_frame[0].sum(), per_frame[1, :3].sum()]), **EXACT)

    def test_drawn_sequences_have_the_moments_of_the_density(self) -> None:
        """Integration by parts: E[d log p(x) / dx_i] = 0 and E[(x_i - E x_i) d log p(x) / dx_i] = -1 under p itself."""
        sources, _, _, start = self.example()
        sequence = sources.sequence(self.few(start), torch.ones(1, 3, dtype=torch.bool))
        draws = sequence.sample((4000,)).requires_grad_()
        (score,) = torch.autograd.grad(sequence.log_prob(draws).sum(), draws)
        score, draws = score.flatten(1), draws.detach().flatten(1)
        assert_mean_close(score, torch.zeros(score.shape[-1]), n_errors=5)
        centred = draws - draws.mean(0)
        assert_mean_close(centred * score, -torch.ones(score.shape[-1]), n_errors=5)


class LinearSourcesContract(SourcesContract):
    """A prior that is linear and Gaussian given its memory: one step of `draw` has the moments of `transition`."""

    @torch.no_grad()
    def test_drawn_steps_have_the_moments_of_the_transition(self) -> None:
        sources, s, z, start = self.example()
        memory = sources.begin(start.expand(8000, 2, 3, 4))
        for t in range(3):
            step = sources.transition(memory)
            state = torch.stack(sources.draw(memory), -1)
            before = torch.stack([s[..., t - 1, :], z[..., t - 1, :]], -1) if t else torch.zeros(2, 3, 4, 2)
            mean = (step.matrix @ before.unsqueeze(-1)).squeeze(-1) + step.offset
            assert_mean_close(state - mean, torch.zeros_like(state[0]), n_errors=5)
            products = (state - mean).unsqueeze(-1) * (state - mean).unsqueeze(-2)
            assert_mean_close(products - step.noise, torch.zeros_like(products[0]), n_errors=5)
            memory = sources.remember(memory, s[..., t, :].expand(8000, 2, 3, 4), z[..., t, :].expand(8000, 2, 3, 4))

    def test_density_is_that_of_the_transitions(self) -> None:
        """`log p(s_t, z_t | before)` is a Gaussian with the moments of `transitions`, which inference works with."""
        sources, s, z, start = self.example()
        steps = sources.transitions(s, start)
        state = torch.stack([s, z], -1)
        before = torch.cat([torch.zeros_like(state[..., :1, :, :]), state[..., :-1, :, :]], -3)
        mean = (steps.matrix @ before.unsqueeze(-1)).squeeze(-1) + steps.offset
        density = torch.distributions.MultivariateNormal(mean, steps.noise)
        torch.testing.assert_close(sources.log_density(s, z, start), density.log_prob(state).sum(-1), **EXACT)
