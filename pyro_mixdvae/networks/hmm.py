"""A hidden Markov model of displacements: discrete states, summed out exactly, so that nothing latent is left."""

from typing import ClassVar, Literal, NamedTuple

import torch
from pyro.distributions import Categorical, MixtureSameFamily, Normal
from torch import Tensor, nn

from pyro_mixdvae.errors import require_positive
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.layers import VARIANCE_FLOOR

LOG_2_PI = 1.8378770664093453


class HMMState(NamedTuple):
    """`log p(k_t | y_1, ..., y_{t-1})` [*, K]: the forward algorithm's, normalised and carried to the next frame."""

    log_probability: Tensor


class HMM(DVAE):
    """`k_t ~ A[k_{t-1}]`, `y_t ~ N(mean, variance)[k_t]`, with the forward algorithm as the state (Rabiner 1989).

    Given the past, y_t is a Gaussian mixture: `p(y_t | y_<t) = sum_k p(k_t = k | y_<t) N(y_t; mean_k, variance_k)`. The
    product over t is p(y), exactly; L = 0.

    Args:
        content_dim: D.
        n_states: K.
        gain: displacements are small numbers of box sizes; the means are learnt in units of its inverse.
    """

    latent_dim = 0
    emits: ClassVar[Literal["content", "displacement"]] = "displacement"

    def __init__(self, content_dim: int = 4, n_states: int = 16, gain: float = 10.0):
        super().__init__()
        require_positive(gain, f"a gain of {gain}")
        self.content_dim, self.n_states, self.gain = content_dim, n_states, gain
        # From states at rest to states that move fast, each of which is likely to last.
        spread = torch.logspace(-2.5, -1, n_states).unsqueeze(-1)
        self.initial_logits = nn.Parameter(torch.zeros(n_states))
        self.transition_logits = nn.Parameter(3 * torch.eye(n_states))
        self.scaled_mean = nn.Parameter(gain * spread * torch.randn(n_states, content_dim))
        self.log_variance = nn.Parameter(2 * spread.log().expand(n_states, content_dim).clone())

    def init_state(self, first_input: Tensor) -> HMMState:
        """p(k_1); the first input is no observation."""
        return HMMState(self.initial_logits.log_softmax(-1).expand(*first_input.shape[:-1], self.n_states))

    def update_state(self, state: HMMState, y: Tensor, z: Tensor) -> HMMState:
        """Bayes' rule for y_t, then one step of the Markov chain."""
        return self._carried(state, self._log_emissions(y))

    def _carried(self, state: HMMState, log_emissions: Tensor) -> HMMState:
        filtered = (state.log_probability + log_emissions).log_softmax(-1)
        transition = self.transition_logits.log_softmax(-1)
        return HMMState(torch.logsumexp(filtered.unsqueeze(-1) + transition, -2))

    def states(self, inputs: Tensor, z: Tensor) -> HMMState:
        """The forward algorithm; the emissions' densities of all frames at once."""
        state = self.init_state(inputs[..., 0, :])
        all_states = [state.log_probability]
        for log_emissions in self._log_emissions(inputs[..., 1:, :]).unbind(-2):
            state = self._carried(state, log_emissions)
            all_states.append(state.log_probability)
        return HMMState(torch.stack(all_states, -2))

    @property
    def mean(self) -> Tensor:
        """Of each state's emission, [K, D]."""
        return self.scaled_mean / self.gain

    @property
    def variance(self) -> Tensor:
        """Of each state's emission, [K, D]."""
        return self.log_variance.exp() + VARIANCE_FLOOR

    def _log_emissions(self, y: Tensor) -> Tensor:
        """`log N(y; mean_k, variance_k)`: y [*, D] -> [*, K]."""
        precision = self.variance.reciprocal()
        constant = (self.mean.square() * precision + self.variance.log() + LOG_2_PI).sum(-1)
        return -0.5 * (y.square() @ precision.mT - 2 * y @ (self.mean * precision).mT + constant)

    def prior_step(self, state: HMMState) -> Normal:
        """Nothing latent: batch [*, 0]."""
        nothing = state.log_probability[..., :0]
        return Normal(nothing, torch.ones_like(nothing))

    def emission_step(self, state: HMMState, z: Tensor) -> MixtureSameFamily:
        """p(y_t | y_<t): event (D,), as the coordinates share the discrete state."""
        batch = state.log_probability.shape
        components = Normal(self.mean.expand(*batch, -1), self.variance.sqrt().expand(*batch, -1)).to_event(1)
        return MixtureSameFamily(Categorical(logits=state.log_probability), components)
