"""How well the model of a source explains what separation gave to it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.engines.registry import spectral_engine
from pyro_mixdvae.inference.posterior import Posterior

BAD = 1.0
"""A misfit that sounds of a model's own kind do not have: on speech with flute it is .15 to .75, on noise and on tones
that are neither it is mostly above 1."""


@dataclass(frozen=True)
class Fit:
    """Of one source.

    Attributes:
        name: of the source.
        misfit: mean Itakura-Saito distance between the power of the source's estimate and what its model makes of it.
    """

    name: str
    misfit: float

    @property
    def warning(self) -> str | None:
        """A sentence, where the model explains the estimate badly."""
        if not self.misfit > BAD:
            return None
        return (
            f"the model of {self.name} explains its part of the mixture badly (their spectra differ by "
            f"{self.misfit:.2f}, those of sounds that it knows by less than {BAD:g}): expect errors, or "
            "train a model on sounds like these (`mixdvae train audio`)."
        )


def itakura_saito(power: Tensor, model: Tensor, floor: float) -> Tensor:
    """`P / v - log(P / v) - 1` of each bin, [*]; the floor, added to both, keeps silence from counting."""
    ratio = (power + floor) / (model + floor)
    return ratio - ratio.log() - 1


@torch.no_grad()
def fit_of(posterior: Posterior) -> tuple[Tensor, Tensor]:
    """Sum of the distances of each source over frames and frequencies, and their number: [N] each.

    What lies more than 60 dB below the loudest of the batch counts little.
    """
    power = squared_modulus(posterior.mean) + posterior.variance
    engine = spectral_engine(posterior.model, type(posterior.guide), posterior.scene).engine
    distance = itakura_saito(power, engine.reconstructed(power), 1e-6 * float(power.max()) + 1e-12)
    count = distance[:, 0].numel()
    return distance.sum((0, 2, 3)).double().cpu(), torch.full((distance.shape[1],), count, dtype=torch.float64)
