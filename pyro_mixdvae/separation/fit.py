"""How well the model of a source explains what separation gave to it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.inference.sound import InferredSound
from pyro_mixdvae.models.sound_sources import SoundSources
from pyro_mixdvae.models.sources import Sources

TOLERATED = 2.0  # times the misfit of clean sounds


@dataclass(frozen=True)
class Fit:
    """Of one source.

    Attributes:
        name: of the source.
        misfit: mean Itakura-Saito distance between the power of the source's estimate and what its model makes of it.
        expected: the same of clean sounds that the model was validated with; NaN where it is not known.
    """

    name: str
    misfit: float
    expected: float

    @property
    def warning(self) -> str | None:
        """A sentence, where the model explains the estimate much worse than clean sounds."""
        if not self.misfit > TOLERATED * self.expected:
            return None
        return (
            f"the model of {self.name} explains its part of the mixture badly (Itakura-Saito distance "
            f"{self.misfit:.2f}, {self.expected:.2f} for sounds that it knows): expect errors, or train it on sounds "
            "like these (`mixdvae train audio`)."
        )


def itakura_saito(power: Tensor, model: Tensor, floor: float) -> Tensor:
    """`P / v - log(P / v) - 1` of each bin, [*]; the floor, added to both, keeps silence from counting."""
    ratio = (power + floor) / (model + floor)
    return ratio - ratio.log() - 1


@torch.no_grad()
def fit_of(sources: Sources, inferred: InferredSound) -> tuple[Tensor, Tensor]:
    """Sum of the distances of each source over frames and frequencies, and their number: [N] each.

    What lies more than 60 dB below the loudest of the batch counts little.
    """
    assert isinstance(sources, SoundSources)
    power = squared_modulus(inferred.mean) + inferred.variance
    model = sources.reconstructed(power)
    distance = itakura_saito(power, model, 1e-6 * float(power.max()) + 1e-12)
    count = distance[:, 0].numel()
    return distance.sum((0, 2, 3)).double().cpu(), torch.full((distance.shape[1],), count, dtype=torch.float64)
