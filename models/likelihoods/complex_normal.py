"""p(o | w, s) for sound: each frequency of the mixture is one source's, but for a little noise."""

import math

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import ComplexNormal as ComplexNormalDistribution
from pyro_mixdvae.distributions.complex_normal import as_spectrum, squared_modulus
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.likelihoods.contract import Likelihood, Site
from pyro_mixdvae.models.noise import Noise
from pyro_mixdvae.models.part import closed_form
from pyro_mixdvae.models.scene import Scene


class PowerNoise(Noise):
    """`scale^2 = v_o = r |o|^2 + floor`, the same for all sources.

    Args:
        relative: r (.03 in the paper).
        floor: of v_o, which would be 0 on digital silence.

    Raises:
        InputError: one of the two is not positive.
    """

    def __init__(self, relative: float = 0.03, floor: float = 1e-6):
        super().__init__()
        if not (relative > 0 and floor > 0):
            raise InputError(f"noise of {relative} of the power and {floor} at least: both have to be positive.")
        self.relative, self.floor = relative, floor

    def variance(self, observations: Tensor) -> Tensor:
        """v_o, of the shape of o."""
        return self.relative * squared_modulus(observations) + self.floor

    def scale(self, scene: Scene) -> Tensor:
        """[B, T, F, N, 1]."""
        scale = self.variance(scene.observations).sqrt().unsqueeze(-2)
        return scale.expand(*scale.shape[:-2], scene.n_sources, 1)


class SpectralLikelihood(Likelihood):
    """Observations are the F frequencies of a spectrum, one complex number each (E = 1).

    The content of a source at a frame is its complex spectrum as 2F real numbers (`as_content`); half of a variance
    belongs to either part.
    """

    def locate(self, contents: Tensor) -> Tensor:
        """The complex number of each class at each frequency: [*, C, T, 2F] -> [*, T, F, C, 1]."""
        return as_spectrum(contents).movedim(-3, -1).unsqueeze(-1)

    def locate_variance(self, variances: Tensor) -> Tensor:
        """The variances of both parts together, which is the paper's: [*, C, T, 2F] -> [*, T, F, C, 1]."""
        return variances.unflatten(-1, (-1, 2)).sum(-1).movedim(-3, -1).unsqueeze(-1)


class ComplexNormal(SpectralLikelihood):
    """`o_tf | w_tf = n ~ N_c(s_n,tf, v_o,tf)`, v_o the square of the scale."""

    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        """N_c(content, scale^2)."""
        return ComplexNormalDistribution(content, scale.square()).to_event(1)

    @closed_form("observe")
    def log_prob(self, observed: Tensor, content: Tensor, scale: Tensor) -> Tensor:
        """`-|o - s|^2 / v_o - log(pi v_o)`."""
        variance = scale.square()
        return (-squared_modulus(observed - content) / variance - variance.log() - math.log(math.pi)).sum(-1)

    @closed_form("observe", "log_prob")
    def expected_log_prob(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Tensor:
        """`log N_c(o; m, v_o) - V / v_o`, V the variance of both parts together."""
        return self.log_prob(observed, mean, scale) - (variance / scale.square()).sum(-1)

    @closed_form("observe", "log_prob", "expected_log_prob")
    def site(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Site:
        """The observation itself, with precision 1 / v_o (of both parts together)."""
        return Site(*torch.broadcast_tensors(observed, scale.square().reciprocal()))

    @closed_form("observe", "log_prob", "expected_log_prob", "site")
    def conjugate(self) -> bool:
        """A site is the observation, wherever q(s) is."""
        return True
