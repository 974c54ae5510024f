"""Small mixtures of sounds and models of them with known answers; what `toys` is for boxes."""

from typing import NamedTuple

import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import ComplexNormal
from pyro_mixdvae.distributions.kalman import Transition
from pyro_mixdvae.models import Scene, SoundSources, Sources
from pyro_mixdvae.models.complex_likelihood import as_content, as_spectrum
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN


def complex_normal(*shape: int) -> Tensor:
    """Complex numbers of variance 1."""
    return torch.randn(*shape, dtype=torch.complex128)


def spectral_srnn(n_frequencies: int = 3, hidden: int = 6, hears: str = "log-power") -> SpectralSRNN:
    """A network of small and unequal widths whose powers differ a lot from frame to frame."""
    network = SpectralSRNN(
        n_frequencies,
        latent_dim=2,
        input_sizes=[5],
        hidden=hidden,
        backward_sizes=[4],
        backward_hidden=hidden + 1,
        prior_sizes=[7],
        emission_sizes=[8],
        encoder_sizes=[9, 4],
        hears=hears,  # type: ignore[arg-type]
        floor=1e-3,
    )
    with torch.no_grad():
        network.emission_log_power.weight.mul_(1 if hears == "log-power" else 4)
        network.prior_network.mean.weight.mul_(3)
        network.encoder_network.mean.weight.mul_(3)
    return network


def sound_sources(n_frequencies: int = 3, n_sources: int = 2) -> SoundSources:
    """Sources whose networks differ, also in their widths."""
    return SoundSources([spectral_srnn(n_frequencies, hidden=5 + n) for n in range(n_sources)])


class SteadyMemory(NamedTuple):
    """Which frame is next; `like` [*, N, any] says how many scenes there are."""

    frame: int
    like: Tensor


class SteadySound(Sources):
    """`s_ntf ~ N_c(0, v_ntf)` with v given: what p(s | z) is when z is known. There is none.

    Args:
        powers: v [N, T, F].
    """

    state_size = 1
    latent_dim = 0

    def __init__(self, powers: Tensor):
        super().__init__()
        self.powers = powers
        self.content_dim = 2 * powers.shape[-1]

    def begin(self, start: Tensor) -> SteadyMemory:
        return SteadyMemory(0, start)

    def draw(self, memory: SteadyMemory) -> tuple[Tensor, Tensor]:
        power = self.powers[:, memory.frame].expand(*memory.like.shape[:-1], -1)
        s = as_content(ComplexNormal(None, power).sample())
        return s, s[..., :0]

    def log_density_step(self, memory: SteadyMemory, s: Tensor, z: Tensor) -> Tensor:
        spread = (self.powers[:, memory.frame] / 2).sqrt().repeat_interleave(2, -1)
        return Normal(0.0, spread).log_prob(s).sum(-1)

    def remember(self, memory: SteadyMemory, s: Tensor, z: Tensor | None) -> SteadyMemory:
        return SteadyMemory(memory.frame + 1, memory.like)

    def transition(self, memory: SteadyMemory) -> Transition:
        return self._step(self.powers[:, memory.frame].expand(*memory.like.shape[:-1], -1))

    def transitions(self, s: Tensor, start: Tensor) -> Transition:
        return self._step(self.powers[:, : s.shape[-2]].expand(*s.shape[:-1], -1))

    def log_density(self, s: Tensor, z: Tensor, start: Tensor) -> Tensor:
        return ComplexNormal(None, self.powers[:, : s.shape[-2]]).log_prob(as_spectrum(s)).sum(-1)

    def _step(self, power: Tensor) -> Transition:
        noise = (power / 2).repeat_interleave(2, -1)[..., None, None]
        return Transition(torch.zeros_like(noise), torch.zeros_like(noise[..., 0]), noise)


def mixture_scene(
    n_scenes: int = 2, n_frames: int = 4, n_frequencies: int = 3, n_sources: int = 2, is_padded: bool = False
) -> Scene:
    """Mixtures of unit power; a start of width 1 says nothing, as sounds have none."""
    present = torch.ones(n_scenes, n_frames, dtype=torch.bool)
    if is_padded:
        present[-1, -(n_frames // 2) :] = False
    observations = complex_normal(n_scenes, n_frames, n_frequencies, 1)
    return Scene.of(observations, torch.zeros(n_scenes, n_sources, 1), present)


def wiener(powers: Tensor, mixture: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [N] and covariance [N, N] of N Gaussians given their noisy sum, at one frame and frequency.

    Conditioning as in any textbook: `v_n` the covariance of s_n and o, `sum v + v_o` the variance of o.
    """
    evidence = powers.sum() + noise
    return powers * mixture / evidence, torch.diag(powers) - torch.outer(powers, powers) / evidence
