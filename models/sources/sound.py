"""p(s, z) of sounds: each source has an SRNN of its own, which gives the power of each frequency."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from pyro.distributions import Normal, TorchDistribution, constraints
from torch import Tensor, nn

from pyro_mixdvae.distributions.complex_normal import as_spectrum, squared_modulus
from pyro_mixdvae.distributions.kalman import Gaussian, Transition
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.part import closed_form
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.contract import Before, Sources
from pyro_mixdvae.models.sources.step import Step
from pyro_mixdvae.networks.spectral_network import SpectralNetwork
from pyro_mixdvae.networks.stationary_noise import without_noise


class SoundState(NamedTuple):
    """Of one source: h_t and the LSTM's cell, [*, H] each, and z_{t-1} [*, L]."""

    h: Tensor
    cell: Tensor
    z: Tensor


class SoundSources(Sources):
    """`h_t = LSTM(|s_{t-1}|^2, h_{t-1})`, `z_t ~ N(mu_z, v_z)(h_t, z_{t-1})`, `s_tf ~ N_c(0, v_s,f)(h_t, z_t)`.

    The content of a source is its complex spectrum as 2F real numbers (`as_content`). Sounds begin
    in silence, so that a `start` [*, N, any] says nothing here.

    Args:
        networks: the pre-trained network of each source, in the order of the sources; equal F and L.

    Raises:
        InputError: networks of unequal F or L.
    """

    def __init__(self, networks: Sequence[SpectralNetwork]):
        super().__init__()
        sizes = [(network.content_dim, network.latent_dim) for network in networks]
        if len(set(sizes)) > 1:
            raise InputError(
                f"networks of different numbers of frequencies or latents, {sizes}: they have to be equal."
            )
        self.networks = nn.ModuleList(networks)
        self.n_sources = len(networks)
        self.content_dim, self.latent_dim = 2 * networks[0].content_dim, networks[0].latent_dim

    def check(self, scene: Scene) -> None:
        """N and F."""
        if self.n_sources != scene.n_sources:
            raise InputError(f"{type(self).__name__} has {self.n_sources} sources, and the scene {scene.n_sources}.")
        n_frequencies = scene.mask.shape[-1]
        if self.content_dim != 2 * n_frequencies:
            raise InputError(
                f"{type(self).__name__} has {self.content_dim // 2} frequencies, and the scene {n_frequencies}."
            )

    def begun(self, scene: Scene) -> "SoundSources":
        """With constants of the mixtures, for networks that have any."""
        power = squared_modulus(scene.observations.squeeze(-1))
        networks = [network.begun(power, scene.present) for network in self.each()]
        return self.replace(networks=nn.ModuleList(networks))

    def init_state(self, start: Tensor) -> list[SoundState]:
        """Silence is what was there before the first frame."""
        states = []
        for network in self.each():
            silence = start.new_zeros(*start.shape[:-2], network.content_dim)
            h, cell = network.history.update_state(network.to_input(silence), network.history.init_state(silence))
            states.append(SoundState(h, cell, start.new_zeros(*start.shape[:-2], self.latent_dim)))
        return states

    def conditional(self, state: list[SoundState]) -> Step:
        """p(z_t | h_t, z_{t-1}), and p(s_t | h_t, z_t): Gaussian real and imaginary parts of half the power each."""
        each = list(zip(self.each(), state, strict=True))
        priors = [network.latent_prior(memory.h, memory.z) for network, memory in each]
        mean, variance = (torch.stack(part, -2) for part in zip(*priors, strict=True))

        def emission(z: Tensor) -> Normal:
            powers = [network.power(memory.h, z[..., n, :]) for n, (network, memory) in enumerate(each)]
            spread = (torch.stack(powers, -2) / 2).sqrt().repeat_interleave(2, -1)
            return Normal(torch.zeros_like(spread), spread)

        return Step(Normal(mean, variance.sqrt()), emission)

    def update_state(self, state: list[SoundState], s: Tensor, z: Tensor | None) -> list[SoundState]:
        """Feed |s_t|^2 to the LSTMs; without a z, the mean of p(z_t) stands for it: q(z | s) reads the future."""
        states = []
        for n, (network, before) in enumerate(zip(self.each(), state, strict=True)):
            latent = network.latent_prior(before.h, before.z)[0] if z is None else z[..., n, :]
            fed = network.to_input(squared_modulus(as_spectrum(s[..., n, :])))
            states.append(SoundState(*network.history.update_state(fed, (before.h, before.cell)), latent))
        return states

    @closed_form("init_state", "conditional", "update_state")
    def transition(self, state: list[SoundState], before: Before | None = None) -> Transition:
        """The emission at the mean of p(z_t | h_t, z_{t-1})."""
        powers = []
        for network, memory in zip(self.each(), state, strict=True):
            z, _ = network.latent_prior(memory.h, memory.z)
            powers.append(network.power(memory.h, z))
        return _from_nothing(torch.stack(powers, -2))

    @closed_form("init_state", "conditional", "update_state")
    def log_prob(self, s: Tensor, z: Tensor, start: Tensor) -> Tensor:
        """One LSTM call a source over |s_{t-1}|^2, then all frames in parallel: [*, N, T, 2F] -> [*, N, T]."""
        spectrum = as_spectrum(s)
        per_source = []
        for n, network in enumerate(self.each()):
            h = network.history(network.teacher_forced(squared_modulus(spectrum[..., n, :, :])))
            latent = z[..., n, :, :]
            before = torch.cat([torch.zeros_like(latent[..., :1, :]), latent[..., :-1, :]], -2)
            mean, variance = network.latent_prior(h, before)
            log_z = Normal(mean, variance.sqrt()).log_prob(latent).sum(-1)
            per_source.append(log_z + network.density(h, latent).log_prob(spectrum[..., n, :, :]).sum(-1))
        return torch.stack(per_source, -2)

    @closed_form("init_state", "conditional", "update_state", "transition")
    def transitions(self, filtered: Gaussian, start: Tensor) -> Transition:
        """The emissions at the central path of q(z | s)."""
        return _from_nothing(self.reconstructed(squared_modulus(as_spectrum(filtered.mean[..., 0]))))

    def first_heard(self, power: Tensor, present: Tensor) -> Tensor:
        """What networks are fed of mixtures of power |o|^2 [B, T, F] before anything is known of their sources.

        The mixture itself, but for the steady noise that others know of: [B, N, T, F]. Frames that are not `present`
        [B, T] do not count.
        """
        steady = torch.stack([network.steady_power(power) for network in self.each()]).sum(0)
        heard = without_noise(power, steady, present) if bool((steady > 0).any()) else power
        return heard.unsqueeze(1).expand(-1, len(self.networks), -1, -1)

    def reconstructed(self, power: Tensor, present: Tensor | None = None) -> Tensor:
        """v_s of all frames, the networks being fed |s|^2, at the central path of q(z | s): [*, N, T, F] -> same.

        Frames where `present` [*, N, T] is False are not seen by those before.
        """
        each = [
            network.reconstructed(power[..., n, :, :], None if present is None else present[..., n, :])
            for n, network in enumerate(self.each())
        ]
        return torch.stack(each, -3)

    def latent_posterior(self, s: Tensor, start: Tensor, present: Tensor | None = None) -> "EachLatentPosterior":
        """q(z | s): the encoder of each source; s [*, N, T, 2F] -> event (T, L), batch [*, N]."""
        power = squared_modulus(as_spectrum(s))
        encoders = []
        for n, network in enumerate(self.each()):
            own = None if present is None else present[..., n, :]
            encoders.append(network.encode_power(power[..., n, :, :], own)[1])
        return EachLatentPosterior(encoders)

    @property
    def power_shapes(self) -> Tensor:
        """How far the power of each source may be from the v that is found of it, k [N] (`CompoundSum`)."""
        return torch.tensor([network.power_shape for network in self.each()])

    def each(self) -> list[SpectralNetwork]:
        """The N networks."""
        return list(self.networks)  # type: ignore[arg-type]


class EachLatentPosterior(TorchDistribution):
    """q(z | s) of N sources whose networks differ: batch [*, N], event (T, L)."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 2)
    has_rsample = True

    def __init__(self, encoders: Sequence[TorchDistribution]):
        self.encoders = list(encoders)
        first = self.encoders[0]
        super().__init__((*first.batch_shape, len(self.encoders)), first.event_shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "EachLatentPosterior":
        """The same with a larger batch; N stays its last axis."""
        return EachLatentPosterior([encoder.expand(torch.Size(batch_shape)[:-1]) for encoder in self.encoders])

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw [*sample_shape, *, N, T, L]."""
        return torch.stack([encoder.rsample(sample_shape) for encoder in self.encoders], -3)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density [*, N]."""
        return torch.stack([encoder.log_prob(value[..., n, :, :]) for n, encoder in enumerate(self.encoders)], -1)


def _from_nothing(power: Tensor) -> Transition:
    """The step of a prior that keeps nothing and has zero mean: power [*, F] -> noise [*, 2F, 1, 1]."""
    variance = (power / 2).repeat_interleave(2, -1)
    matrix = torch.zeros_like(variance)[..., None, None]
    return Transition(matrix, torch.zeros_like(variance).unsqueeze(-1), variance[..., None, None])
