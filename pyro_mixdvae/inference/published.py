"""The published algorithm for boxes, step by step: cascade start, tempered E-W, E-Z, and an E-S that runs forwards.

What the paper does not say and its code does: the exponent of E-W is multiplied by a temperature of .008, and 1e-10 is
added to every likelihood. All sampled values are replaced by their means.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from pyro_mixdvae.inference.updates import PseudoObservation, pseudo_observation
from pyro_mixdvae.models.likelihoods import GaussianLikelihood
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.srnn_sources import SRNNSources

TEMPERATURE = 0.008
LEAST_LIKELIHOOD = 1e-10
PIECE_LENGTH = 30
PIECE_ITERATIONS = 20
ITERATIONS = 70


def tempered_responsibilities(likelihood: GaussianLikelihood, scene: Scene, mean: Tensor, variance: Tensor) -> Tensor:
    """E-W: `|Phi|^(-1/2) exp(-.008 / 2 ((o - m)' Phi^-1 (o - m) + tr(Phi^-1 V))) + 1e-10`, normalised over n.

    m, V [B, N, T, D] -> eta [B, T, K, N], zero where there is no detection.
    """
    phi = likelihood.variances(scene)
    residual = scene.observations.unsqueeze(-2) - mean.transpose(-3, -2).unsqueeze(-3)
    exponent = ((residual.square() + variance.transpose(-3, -2).unsqueeze(-3)) / phi).sum(-1)
    log_beta = -0.5 * phi.log().sum(-1) - 0.5 * TEMPERATURE * exponent
    floor = torch.full_like(log_beta, LEAST_LIKELIHOOD).log()
    return torch.logaddexp(log_beta, floor).softmax(-1) * scene.mask.unsqueeze(-1)


def encode(sources: SRNNSources, mean: Tensor) -> Tensor:
    """E-Z: the encoder's means z [B, N, T, L] along m [B, N, T, D], teacher-forced from zeros."""
    network = sources.network
    h = network.history(network.teacher_forced(mean))
    return network.latent_posterior(h, mean).central_path()


def forward_sources(
    sources: SRNNSources, start: Tensor, z: Tensor, observation: PseudoObservation
) -> tuple[Tensor, Tensor]:
    """E-S: `V = (sum_k eta / Phi + 1 / v_s)^-1`, `m = V (sum_k eta o / Phi + mu_s / v_s)`, forwards in t.

    The decoder sees the running mean m_<t and z_t; the first frame is the start [B, N, D] with variance 1e-5.
    Returns m and V, [B, N, T, D] each.
    """
    network = sources.network
    state = network.history.begin(start)
    before = start
    means, variances = [], []
    frames = zip(z.unbind(-2), observation.value.unbind(-2), observation.precision.unbind(-2), strict=True)
    for t, (z_t, value, precision) in enumerate(frames):
        state = network.history.step(before, state)
        if t == 0:
            prior_mean, prior_variance = start, torch.full_like(start, sources.start_variance)
        else:
            prior_mean, prior_variance = network.emission(state[0], z_t)
        variance = 1 / (precision + 1 / prior_variance)
        before = variance * (precision * value + prior_mean / prior_variance)
        means.append(before)
        variances.append(variance)
    return torch.stack(means, -2), torch.stack(variances, -2)


def iterate(
    sources: SRNNSources,
    likelihood: GaussianLikelihood,
    scene: Scene,
    mean: Tensor,
    variance: Tensor,
    iterations: int,
    record: Callable[[Tensor, Tensor, Tensor], None] = lambda eta, mean, variance: None,
) -> tuple[Tensor, Tensor, Tensor]:
    """E-W, E-Z, E-S, over and over, from m and V [B, N, T, D]; returns eta [B, T, K, N] and the last m and V.

    `record` is called with eta, m and V after each iteration.
    """
    eta = scene.mask.unsqueeze(-1) / mean.new_full((scene.n_sources,), scene.n_sources)
    for _ in range(iterations):
        eta = tempered_responsibilities(likelihood, scene, mean, variance)
        z = encode(sources, mean)
        mean, variance = forward_sources(sources, scene.start, z, pseudo_observation(likelihood, scene, eta))
        record(eta, mean, variance)
    return eta, mean, variance


def cascade(sources: SRNNSources, likelihood: GaussianLikelihood, scene: Scene) -> tuple[Tensor, Tensor]:
    """The start: constant boxes in pieces of 30 frames, each where 20 iterations on the piece before ended.

    Returns m and V [B, N, T, D]; V is the likelihood's Phi.
    """
    box = scene.start
    phi = likelihood.start_variances(scene).unsqueeze(-2)
    pieces = []
    for first in range(0, scene.n_frames, PIECE_LENGTH):
        piece = scene.frames(slice(first, first + PIECE_LENGTH))
        constant = box.unsqueeze(-2).expand(-1, -1, piece.n_frames, -1)
        pieces.append(constant)
        if first + PIECE_LENGTH < scene.n_frames:
            piece = piece.starting_at(box)
            spread = phi.expand_as(constant)
            _, mean, _ = iterate(sources, likelihood, piece, constant, spread, PIECE_ITERATIONS)
            box = mean[..., -1, :]
    mean = torch.cat(pieces, -2)
    return mean, phi.expand_as(mean)
