"""Small mixtures of sounds and models of them with known answers; what `toys` is for boxes."""

from typing import NamedTuple

import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.models import Scene, SoundSources, Sources, Step, sound_scene
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN


def complex_normal(*shape: int) -> Tensor:
    """Complex numbers of variance 1."""
    return torch.randn(*shape, dtype=torch.complex128)


def spectral_srnn(n_frequencies: int = 3, hidden: int = 6, encoder_input: str = "log-power") -> SpectralSRNN:
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
        encoder_input=encoder_input,  # type: ignore[arg-type]
        floor=1e-3,
    )
    with torch.no_grad():
        network.emission_log_power.weight.mul_(1 if encoder_input == "log-power" else 4)
        network.prior_network.mean.weight.mul_(3)
        network.encoder_network.mean.weight.mul_(3)
    return network


def sound_sources(n_frequencies: int = 3, n_sources: int = 2) -> SoundSources:
    """Sources whose networks differ, also in their widths."""
    return SoundSources([spectral_srnn(n_frequencies, hidden=5 + n) for n in range(n_sources)])


def constant_sources(log_powers: Tensor) -> SoundSources:
    """Sources whose powers are what they are whatever is fed in, and whose encoder knows no more than the prior."""
    sources = sound_sources(log_powers.shape[-1], len(log_powers))
    with torch.no_grad():
        for network, own in zip(sources.each(), log_powers, strict=True):
            network.emission_log_power.weight.zero_()
            network.emission_log_power.bias.copy_((own + 4) / 4)
            for head in (network.prior_network, network.encoder_network):
                for layer in (head.mean, head.log_variance):
                    layer.weight.zero_()
                    layer.bias.fill_(0.1)
    return sources


class SteadyState(NamedTuple):
    """Which frame is next; `like` [*, N, any] says how many scenes there are."""

    frame: int
    like: Tensor


class SteadySound(Sources):
    """`s_ntf ~ N_c(0, v_ntf)` with v given: what p(s | z) is when z is known. There is none.

    Args:
        powers: v [N, T, F].
    """

    latent_dim = 0

    def __init__(self, powers: Tensor):
        super().__init__()
        self.powers, self.n_sources = powers, len(powers)
        self.content_dim = 2 * powers.shape[-1]

    def init_state(self, start: Tensor) -> SteadyState:
        return SteadyState(0, start)

    def conditional(self, state: SteadyState) -> Step:
        spread = (self.powers[:, state.frame] / 2).sqrt().repeat_interleave(2, -1)
        spread = spread.expand(*state.like.shape[:-1], -1)
        return Step(None, lambda _: Normal(torch.zeros_like(spread), spread))

    def update_state(self, state: SteadyState, s: Tensor, z: Tensor | None) -> SteadyState:
        return SteadyState(state.frame + 1, state.like)


def mixture_scene(
    n_scenes: int = 2, n_frames: int = 4, n_frequencies: int = 3, n_sources: int = 2, is_padded: bool = False
) -> Scene:
    """Mixtures of unit power."""
    present = torch.ones(n_scenes, n_frames, dtype=torch.bool)
    if is_padded:
        present[-1, -(n_frames // 2) :] = False
    mixture = complex_normal(n_scenes, n_frames, n_frequencies)
    return sound_scene(torch.where(present.unsqueeze(-1), mixture, 0.0), n_sources, present)


def wiener(powers: Tensor, mixture: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [N] and covariance [N, N] of N Gaussians given their noisy sum, at one frame and frequency.

    Conditioning as in any textbook: `v_n` the covariance of s_n and o, `sum v + v_o` the variance of o.
    """
    evidence = powers.sum() + noise
    return powers * mixture / evidence, torch.diag(powers) - torch.outer(powers, powers) / evidence
