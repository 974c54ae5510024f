"""p(o | w, s) for sound: each frequency of the mixture is one source's, but for a little noise."""

import math

import torch
from pyro.distributions import Independent
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import ComplexNormal, squared_modulus
from pyro_mixdvae.models.likelihoods import Likelihood
from pyro_mixdvae.models.scene import Scene


class ComplexLikelihood(Likelihood):
    """`o_tf | w_tf = n ~ N_c(s_n,tf, v_o,tf)`, `v_o = r |o|^2 + floor`: K = F observations of one complex number each.

    The content of a source at a frame is its complex spectrum as 2F real numbers (`as_content`); half of a variance
    belongs to either part.

    Args:
        relative_noise: r (.03 in the paper).
        floor: of v_o, which would be 0 on digital silence.
    """

    def __init__(self, relative_noise: float = 0.03, floor: float = 1e-6):
        super().__init__()
        self.relative_noise = relative_noise
        self.floor = floor

    def centres(self, contents: Tensor) -> Tensor:
        """The complex number of each class at each frequency: [*, C, T, 2F] -> [*, T, F, C, 1]."""
        return as_spectrum(contents).movedim(-3, -1).unsqueeze(-1)

    def noise(self, observations: Tensor) -> Tensor:
        """v_o, of the shape of o."""
        return self.relative_noise * squared_modulus(observations) + self.floor

    def variances(self, scene: Scene) -> Tensor:
        """v_o, the same for all sources: [B, T, F, N, 1]."""
        noise = self.noise(scene.observations).unsqueeze(-2)
        return noise.expand(*noise.shape[:-2], scene.n_sources, 1)

    def observe(self, mean: Tensor, variance: Tensor) -> Independent:
        """N_c, [*, 1] each -> event (1,)."""
        return ComplexNormal(mean, variance).to_event(1)

    def log_prob(self, observed: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """`log N_c(o_f; s_n,f, v_o,f)`: o [*, F, 1], s [*, F, N, 1], v_o [*, F, N, 1] -> [*, F, N]."""
        distance = squared_modulus(observed.unsqueeze(-2) - mean) / variance
        return (-distance - variance.log() - math.log(math.pi)).sum(-1)

    def clutter(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """There is none.

        Raises:
            TypeError: always.
        """
        raise TypeError("ComplexLikelihood has no class of clutter: whatever is heard belongs to a source")

    def expected_log_prob(self, scene: Scene, mean: Tensor, variance: Tensor, has_clutter: bool) -> Tensor:
        """`E_q(s)[log p(o_tf | s_n,tf)] = log N_c(o; m, v_o) - V / v_o`: m, V [B, N, T, 2F] -> [B, T, F, N].

        V holds the variances of real and imaginary part, whose sum is the paper's.
        """
        if has_clutter:
            self.clutter(scene)
        noise = self.variances(scene)
        spread = variance.unflatten(-1, (-1, 2)).sum(-1).movedim(-3, -1).unsqueeze(-1)
        return self.log_prob(scene.observations, self.centres(mean), noise) - (spread / noise).sum(-1)


def as_spectrum(content: Tensor) -> Tensor:
    """Real and imaginary parts side by side, [*, 2F], as complex numbers [*, F]."""
    return torch.view_as_complex(content.unflatten(-1, (-1, 2)).contiguous())


def as_content(spectrum: Tensor) -> Tensor:
    """Complex numbers [*, F] as real and imaginary parts side by side, [*, 2F]."""
    return torch.view_as_real(spectrum).flatten(-2)
