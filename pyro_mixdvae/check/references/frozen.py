"""A prior whose memory has been fed: linear and Gaussian, with transitions that no longer depend on the path."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from pyro_mixdvae.distributions.kalman import Transition
from pyro_mixdvae.models.sources.contract import Sources
from pyro_mixdvae.models.sources.step import Step


class FrozenSources(Sources):
    """`x_t ~ N(A_t x_{t-1} + b_t, Q_t)` with the transitions that an E-S was given: what it is exact for.

    Where an encoder knows z (S = 1), p(z | s) is that very encoder, so that z adds nothing to the bound.

    Args:
        sources: the prior that the transitions are of.
        transitions: [B, N, T, D, S, S] and so on.
    """

    def __init__(self, sources: Sources, transitions: Transition):
        super().__init__()
        self.content_dim, self.latent_dim, self.n_sources = sources.content_dim, sources.latent_dim, sources.n_sources
        self.own, self.transitions_ = sources, Transition(*(part.detach() for part in transitions))

    @property
    def state_size(self) -> int:
        """S of the prior."""
        return self.own.state_size

    def log_prob(self, s: Tensor, z: Tensor, start: Tensor) -> Tensor:
        """[*, B, N, T], whatever axes stand in front of and behind B."""
        matrix, offset, noise = self.transitions_
        size = offset.shape[-1]
        state = s.unsqueeze(-1)
        if size > 1:
            state = torch.cat([state, z.unflatten(-1, (size - 1, s.shape[-1])).mT], -1)
        before = torch.cat([torch.zeros_like(state[..., :1, :, :]), state[..., :-1, :, :]], -3)
        # Contents are [*, B, 1, 1, N, T, D] in the program.
        own = [part[:, None, None] for part in (matrix, offset, noise)]
        mean = (own[0] @ before.unsqueeze(-1)).squeeze(-1) + own[1]
        found = MultivariateNormal(mean, own[2], validate_args=False).log_prob(state).sum(-1)
        if size == 1 and self.latent_dim:
            where = start.expand(s.shape[:-2] + s.shape[-1:])
            encoded = self.own.latent_posterior(s, where).log_prob(z)
            found = torch.cat([found[..., :1] + encoded.unsqueeze(-1), found[..., 1:]], -1)
        return found

    def latent_posterior(self, s: Tensor, start: Tensor, present: Tensor | None = None) -> Any:
        """The prior's own."""
        return self.own.latent_posterior(s, start, present)

    def init_state(self, start: Tensor) -> Any:
        """Nothing is drawn from it."""
        raise TypeError("a frozen prior is evaluated, and never drawn from")

    def conditional(self, state: Any) -> Step:
        """Nothing is drawn from it."""
        raise TypeError("a frozen prior is evaluated, and never drawn from")

    def update_state(self, state: Any, s: Tensor, z: Tensor | None) -> Any:
        """Nothing is drawn from it."""
        raise TypeError("a frozen prior is evaluated, and never drawn from")
