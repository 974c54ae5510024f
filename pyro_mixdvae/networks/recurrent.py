"""DVAEs whose recurrence sees y alone: all of it is known before z is drawn."""

from abc import abstractmethod
from typing import NamedTuple

from pyro.distributions import Normal, TorchDistribution
from torch import Tensor

from pyro_mixdvae.distributions.markov_gaussian import MarkovGaussian
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.layers import History, NoHistory
from pyro_mixdvae.networks.states import RecurrentState, late, normal


class Drawn(NamedTuple):
    """h [B, T, H], z [B, T, L], and what z adds to an ELBO [B]."""

    h: Tensor
    z: Tensor
    latent: Tensor


class RecurrentDVAE(DVAE):
    """`p(y_t | h_t, z_t) p(z_t | h_t, z_{t-1})` with `h_t = LSTM(y_{t-1}, h_{t-1})`, and `q(z | y)`.

    One run of the LSTM gives h of all frames, whatever z is.

    Attributes:
        history: the LSTM that gives h.
    """

    history: History | NoHistory

    @abstractmethod
    def latent_prior(self, h: Tensor, z_before: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of p(z_t | h_t, z_{t-1}): h [*, H], z_before [*, L] -> two of [*, L]."""

    @abstractmethod
    def emission(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of p(y_t | h_t, z_t): h [*, H], z [*, L] -> two of [*, D]."""

    def density(self, h: Tensor, z: Tensor) -> TorchDistribution:
        """p(y_t | h_t, z_t) as a distribution: batch shape [*, D]."""
        mean, variance = self.emission(h, z)
        return Normal(mean, variance.sqrt())

    @abstractmethod
    def latent_posterior(self, h: Tensor, y: Tensor, present: Tensor | None = None) -> TorchDistribution:
        """q(z | y) over a whole sequence: h [*, T, H], y [*, T, D] -> a distribution with event (T, L)."""

    def init_state(self, first_input: Tensor) -> RecurrentState:
        """The first input is fed to the LSTM, and z_0 = 0."""
        h, cell = self.history.update_state(first_input, self.history.init_state(first_input))
        return RecurrentState(h, cell, first_input.new_zeros(*first_input.shape[:-1], self.latent_dim))

    def update_state(self, state: RecurrentState, y: Tensor, z: Tensor) -> RecurrentState:
        """Feed y_t to the LSTM, and keep z_t."""
        return RecurrentState(*self.history.update_state(y, (state.h, state.cell)), z)

    def states(self, inputs: Tensor, z: Tensor) -> RecurrentState:
        """One call of the LSTM; the cells are left out."""
        h = self.history(inputs)
        return RecurrentState(h, h[..., :0], late(z))

    def prior_step(self, state: RecurrentState) -> Normal:
        """p(z_t | h_t, z_{t-1})."""
        return normal(self.latent_prior(state.h, state.z))

    def emission_step(self, state: RecurrentState, z: Tensor) -> TorchDistribution:
        """p(y_t | h_t, z_t)."""
        return self.density(state.h, z)

    def sequence_prior(self, inputs: Tensor) -> MarkovGaussian:
        """A Markov chain in z: h is that of the inputs."""
        return MarkovGaussian(self.latent_prior, self.history(inputs), self.latent_dim)

    def sequence_emission(self, inputs: Tensor, z: Tensor) -> TorchDistribution:
        """All frames in parallel."""
        return self.density(self.history(inputs), z).to_event(2)

    def sequence_posterior(self, inputs: Tensor, y: Tensor, present: Tensor | None = None) -> TorchDistribution:
        """The encoder, with h of the inputs."""
        return self.latent_posterior(self.history(inputs), y, present)

    def drawn(self, inputs: Tensor, seen: Tensor) -> Drawn:
        """h of inputs [B, T, D], a draw of q(z | seen) of [B, T, D], and `log p(z | h) - log q(z | seen)` [B]."""
        h = self.history(inputs)
        posterior = self.latent_posterior(h, seen)
        z = posterior.rsample()
        prior = MarkovGaussian(self.latent_prior, h, self.latent_dim)
        return Drawn(h, z, prior.log_prob(z) - posterior.log_prob(z))

    def elbo(self, y: Tensor, inputs: Tensor, kl_scale: float, seen: Tensor) -> Tensor:
        """What `SingleSource` and `SingleSourceGuide` come to, at one draw of z: a number.

        `log p(y | h, z) + kl_scale (log p(z | h) - log q(z | seen))`, summed over y [B, T, D]; the encoder sees `seen`
        [B, T, D]. The three densities are those of the sequence, but the recurrence over `inputs` [B, T, D] runs once,
        and not once for each.
        """
        h, z, latent = self.drawn(inputs, seen)
        return self.density(h, z).to_event(2).log_prob(y).sum() + kl_scale * latent.sum()

    @classmethod
    def has_elbo(cls) -> bool:
        """Whether `elbo` is that of the class: not where one of the sequence's densities is another one."""
        names = ("sequence_prior", "sequence_emission", "sequence_posterior")
        return all(getattr(cls, name) is getattr(RecurrentDVAE, name) for name in names)
