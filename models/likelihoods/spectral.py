"""What likelihoods of sound share: each frequency of a spectrum is an observation, and noise is that of a power."""

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import as_spectrum, squared_modulus
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.likelihoods.contract import Likelihood
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
        """[*, B, T, F, N, 1]."""
        scale = self.variance(scene.observations).sqrt().unsqueeze(-2)
        return scale.expand(*scale.shape[:-2], scene.n_sources, 1)

    @closed_form("scale")
    def is_shared(self) -> bool:
        """It is that of the mixture."""
        return True


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


def shared_scale(likelihood: Likelihood, scene: Scene) -> Tensor:
    """The scale of a noise that all sources share, [*, B, T, F, 1]."""
    return likelihood.noise.scale(scene)[..., 0, :]


def sound_scene(mixture: Tensor, n_sources: int, present: Tensor | None = None) -> Scene:
    """Complex spectra o [B, T, F] as the scene that models of sound observe; `present` [B, T] as in `Scene`."""
    batch, n_frames, n_frequencies = mixture.shape
    nothing = torch.zeros((), dtype=mixture.real.dtype, device=mixture.device)
    if present is None:
        present = torch.ones(batch, n_frames, dtype=torch.bool, device=mixture.device)
    return Scene(
        observations=mixture.unsqueeze(-1),
        mask=present.unsqueeze(-1).expand(mixture.shape),
        start=nothing.expand(batch, n_sources, 2 * n_frequencies),
        present=present,
        labels=nothing.expand(batch, n_sources, n_frames, 2 * n_frequencies),
        label_mask=torch.zeros_like(present).unsqueeze(1).expand(batch, n_sources, n_frames),
        given=present[..., None, None].expand(*mixture.shape, 1),
        label_given=torch.zeros_like(present)[:, None, :, None].expand(batch, n_sources, n_frames, 2 * n_frequencies),
    )
