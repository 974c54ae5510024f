"""The published algorithm for sound, step by step: E-Z, E-S forwards in time, E-W; sampled values are their means.

As for boxes its code adds 1e-10 to every likelihood, which the paper does not say.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.inference.published import LEAST_LIKELIHOOD
from pyro_mixdvae.models.complex_likelihood import ComplexLikelihood
from pyro_mixdvae.models.sound_sources import SoundSources
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN

ITERATIONS = 70


def forward_source(
    network: SpectralSRNN, power: Tensor, z: Tensor, weight: Tensor, mixture: Tensor
) -> tuple[Tensor, Tensor]:
    """E-S of one source: `V = (eta / v_o + 1 / v_s)^-1`, `m = V eta o / v_o`, forwards in t.

    The decoder's LSTM is fed the last iterate's power [B, T, F] at the first frame, then |m|^2 of the frame before.
    Shapes: z [B, T, L], weight eta / v_o [B, T, F], mixture o [B, T, F] -> m and V [B, T, F].
    """
    before = power[..., 0, :]
    state = network.history.begin(before)
    means, variances = [], []
    for z_t, weight_t, o_t in zip(z.unbind(-2), weight.unbind(-2), mixture.unbind(-2), strict=True):
        state = network.history.step(network.heard(before), state)
        variance = 1 / (weight_t + 1 / network.power(state[0], z_t))
        mean = variance * weight_t * o_t
        before = squared_modulus(mean)
        means.append(mean)
        variances.append(variance)
    return torch.stack(means, -2), torch.stack(variances, -2)


def responsibilities(mixture: Tensor, mean: Tensor, variance: Tensor, noise: Tensor) -> Tensor:
    """E-W: `eta_tfn ∝ exp(-(|o - m_n|^2 + V_n) / v_o) / v_o + 1e-10`.

    Shapes: o, v_o [B, T, F], m, V [B, N, T, F] -> eta [B, N, T, F].
    """
    distance = (squared_modulus(mixture.unsqueeze(-3) - mean) + variance) / noise.unsqueeze(-3)
    log_likelihood = -distance - noise.log().unsqueeze(-3)
    floor = torch.full_like(log_likelihood, LEAST_LIKELIHOOD).log()
    return torch.logaddexp(log_likelihood, floor).softmax(-3)


@torch.no_grad()
def separate(
    sources: SoundSources,
    likelihood: ComplexLikelihood,
    mixture: Tensor,
    iterations: int = ITERATIONS,
    record: Callable[[Tensor, Tensor, Tensor], None] = lambda eta, mean, variance: None,
) -> tuple[Tensor, Tensor, Tensor]:
    """From `eta = 1 / N` and each network's reconstruction of the mixture's power: o [B, T, F], complex.

    Returns eta, m and V, [B, N, T, F] each; `record` is called with them after each iteration.
    """
    networks = sources.each()
    noise = likelihood.noise(mixture)
    every = squared_modulus(mixture).unsqueeze(-3).expand(-1, len(networks), -1, -1)
    power = sources.reconstructed(every)
    eta = torch.full_like(power, 1 / len(networks))
    mean, variance = torch.zeros_like(eta, dtype=mixture.dtype), torch.ones_like(eta)
    for _ in range(iterations):
        moments = []
        for n, network in enumerate(networks):
            own = power[:, n]
            h = network.history(network.teacher_forced(own))
            z = network.latent_posterior(h, own).central_path()
            moments.append(forward_source(network, own, z, eta[:, n] / noise, mixture))
        mean, variance = (torch.stack(moment, 1) for moment in zip(*moments, strict=True))
        power = squared_modulus(mean)
        eta = responsibilities(mixture, mean, variance, noise)
        record(eta, mean, variance)
    return eta, mean, variance
