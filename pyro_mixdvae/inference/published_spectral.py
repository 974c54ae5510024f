"""The published algorithm for sound, step by step: E-Z, E-S forwards in time, E-W; sampled values are their means.

As for boxes its code adds 1e-10 to every likelihood, which the paper does not say.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import as_content, squared_modulus
from pyro_mixdvae.engines.registry import spectral_engine
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.inference.assigned_updates import independent_frames
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.inference.records import with_errors
from pyro_mixdvae.inference.spectral_posterior import spectral_posterior
from pyro_mixdvae.models.likelihoods.spectral import shared_scale
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.sound import SoundSources
from pyro_mixdvae.networks.spectral_network import SpectralNetwork

LEAST_LIKELIHOOD = 1e-10


def forward_source(
    network: SpectralNetwork, power: Tensor, z: Tensor, weight: Tensor, mixture: Tensor
) -> tuple[Tensor, Tensor]:
    """E-S of one source: `V = (eta / v_o + 1 / v_s)^-1`, `m = V eta o / v_o`, forwards in t.

    The decoder's LSTM is fed the last iterate's power [B, T, F] at the first frame, then |m|^2 of the frame before.
    Shapes: z [B, T, L], weight eta / v_o [B, T, F], mixture o [B, T, F] -> m and V [B, T, F].
    """
    before = power[..., 0, :]
    state = network.history.init_state(before)
    means, variances = [], []
    for z_t, weight_t, o_t in zip(z.unbind(-2), weight.unbind(-2), mixture.unbind(-2), strict=True):
        state = network.history.update_state(network.to_input(before), state)
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
def iterate(
    model: MixtureModel,
    scene: Scene,
    iterations: int,
    record: Callable[[Tensor, Tensor, Tensor], None] = lambda eta, mean, variance: None,
) -> tuple[Tensor, Tensor, Tensor]:
    """From `eta = 1 / N` and each network's reconstruction of the mixture's power.

    Returns eta, m and V, [B, N, T, F] each; `record` is called with them after each iteration.
    """
    engine = spectral_engine(model, MeanField, scene).engine
    networks, mixture = model.sources.each(), scene.observations.squeeze(-1)
    noise = shared_scale(model.likelihood, scene).squeeze(-1).square()
    power = engine.reconstructed(model.sources.first_heard(squared_modulus(mixture), scene.present))
    eta = torch.full_like(power, 1 / len(networks))
    mean, variance = torch.zeros_like(eta, dtype=mixture.dtype), torch.ones_like(eta)
    for _ in range(iterations):
        latents = engine.encode(power).latents
        moments = [
            forward_source(network, power[:, n], latents[n], eta[:, n] / noise, mixture)
            for n, network in enumerate(networks)
        ]
        mean, variance = (torch.stack(moment, 1) for moment in zip(*moments, strict=True))
        power = squared_modulus(mean)
        eta = responsibilities(mixture, mean, variance, noise)
        record(eta, mean, variance)
    return eta, mean, variance


@torch.no_grad()
def separate(model: Any, scene: Scene, guide: Any, n_iterations: int) -> Posterior:
    """The posterior after so many iterations, with one record, of the end.

    Raises:
        InputError: another model or guide than the published one's.
    """
    if not (isinstance(model, MixtureModel) and isinstance(model.sources, SoundSources)):
        raise InputError(
            f"the published algorithm for sound is for MixtureModel over SoundSources, not {type(model).__name__}."
        )
    if not model.likelihood.conjugate():
        raise InputError(
            f"the published algorithm is for a Gaussian likelihood, and not {type(model.likelihood).__name__}."
        )
    if not (isinstance(guide, type) and issubclass(guide, MeanField)):
        raise InputError("The published algorithm moves a q(w): take the guide MeanField.")
    model = model.replace(sources=model.sources.begun(scene))
    found = guide(model, scene)
    eta, mean, variance = iterate(model, scene, n_iterations)
    found.set_chain(independent_frames(as_content(mean), (variance / 2).repeat_interleave(2, -1)))
    found.set_assignments(eta.movedim(1, -1).clamp(min=torch.finfo(eta.dtype).tiny).log())
    engine = spectral_engine(model, guide, scene).engine
    own = engine.record(found)
    records = with_errors([own], own["elbo"], lambda: engine.record(found, seed=1))
    return spectral_posterior(model, scene, found, records, engine.name)
