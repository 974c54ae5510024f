"""q(z | y) = p(z | y) of networks whose latents are linear and Gaussian given what they are fed."""

import torch
from pyro.distributions import TransformedDistribution
from pyro.distributions.transforms import Permute
from torch import Tensor
from torch.distributions.transforms import ReshapeTransform

from pyro_mixdvae.distributions import kalman
from pyro_mixdvae.distributions.gaussian_chain import GaussianChain
from pyro_mixdvae.distributions.small_matrices import cholesky


def exact_posterior(
    transitions: kalman.Transition, y: Tensor, variance: Tensor, present: Tensor | None = None
) -> TransformedDistribution:
    """p(x | y) of `y_t ~ N(first entry of x_t, variance_t)`, coordinate by coordinate, by Kalman smoothing.

    Args:
        transitions: of the latent state x_t of each coordinate, [*, T, D, S, S] and [*, T, D, S]; its first entry holds
            the moments of x_1.
        y: [*, T, D].
        variance: [*, T, D].
        present: [*, T], False for frames that do not count: padding after the end.

    Returns:
        a distribution with event (T, D S): the first entries of all coordinates, then the second ones.
    """
    precision = variance.reciprocal()
    if present is not None:
        precision = torch.where(present.unsqueeze(-1), precision, 0.0)
    chain = kalman.posterior(transitions, y, precision)
    gain, conditional = chain.gain, chain.conditional
    if present is not None:
        # The chain is drawn backwards from the last frame that is present, and does not reach beyond it.
        linked = torch.cat([present[..., 1:], torch.zeros_like(present[..., :1])], -1)[..., None, None, None]
        gain = torch.where(linked, gain, 0.0)
        conditional = torch.where(linked, conditional, chain.covariance)
    n_frames, width, size = chain.mean.shape[-3:]
    flat = ReshapeTransform(torch.Size((n_frames, width, size)), torch.Size((n_frames, width * size)))
    by_entry = torch.arange(width * size).reshape(width, size).T.flatten()
    path = GaussianChain(chain.mean, gain, cholesky(conditional), present)
    return TransformedDistribution(path, [flat] if size == 1 else [flat, Permute(by_entry)])
