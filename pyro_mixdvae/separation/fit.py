"""How well the models of the sources explain what separation gave to them, and whether they stand by it."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.engines.registry import spectral_engine
from pyro_mixdvae.inference.posterior import Posterior

BAD = 1.0
"""A misfit that sounds of a model's own kind do not have: on speech with flute it is .15 to .75, on noise and on tones
that are neither it is mostly above 1."""

UNSTEADY = 15.25
"""Decibels of steadiness below which most mixtures were separated badly (`benchmarks/NOTES.md`)."""


@dataclass(frozen=True)
class Fit:
    """Of one source.

    Attributes:
        name: of the source.
        misfit: mean Itakura-Saito distance between the power of the source's estimate and what its model makes of it.
        steadiness: how much closer the estimate is to what the models make of the mixture at first look, and of the
            estimates when they are fed these, than to the mixture: mean difference in SI-SDR, in decibels.
        is_learned: whether the model has weights; one that is made of the mixture itself gives no warnings.
    """

    name: str
    misfit: float
    steadiness: float
    is_learned: bool = True

    @property
    def warning(self) -> str | None:
        """A sentence, where the model explains the estimate badly, or would separate otherwise a second time."""
        if not self.is_learned:
            return None
        if self.misfit > BAD:
            return (
                f"the model of {self.name} explains its part of the mixture badly (their spectra differ by "
                f"{self.misfit:.2f}, those of sounds that it knows by less than {BAD:g}): {_ADVICE}"
            )
        if self.steadiness < UNSTEADY:
            return (
                f"the part of {self.name} is in doubt: the models change their mind about it from look to look "
                f"({self.steadiness:.0f} dB closer to each other than to the mixture; of good separations they are "
                f"more than {UNSTEADY:.0f}): {_ADVICE}"
            )
        return None


_ADVICE = "expect errors, or train a model on sounds like these (`mixdvae train audio --against` the others)."


class FitSums:
    """What is added up over the segments of a sound.

    Args:
        n_sources: N.
    """

    def __init__(self, n_sources: int):
        self._distance = torch.zeros(n_sources, dtype=torch.float64)
        self._count = torch.zeros(n_sources, dtype=torch.float64)
        self._learned = [True] * n_sources
        self._products = torch.zeros(3, 3, n_sources, dtype=torch.float64)

    @torch.no_grad()
    def add(self, posterior: Posterior) -> None:
        """One batch of segments more.

        What lies more than 60 dB below the loudest of the batch counts little in the distance, and what a source that
        may be silent is not thought to sound in counts as little for it.
        """
        self._learned = [any(True for _ in network.parameters()) for network in posterior.model.sources.each()]
        power = squared_modulus(posterior.mean) + posterior.variance
        engine = spectral_engine(posterior.model, type(posterior.guide), posterior.scene).engine
        heard_again = engine.reconstructed(power)
        distance = itakura_saito(power, heard_again, 1e-6 * float(power.max()) + 1e-12)
        weight = torch.ones_like(power[..., :1])
        if posterior.presence is not None:
            weight = posterior.presence.unsqueeze(-1).to(power)
        self._distance += (weight * distance).sum((0, 2, 3)).double().cpu()
        self._count += weight.expand_as(distance).sum((0, 2, 3)).double().cpu()
        mixture = posterior.scene.observations.squeeze(-1).unsqueeze(1)
        heard = squared_modulus(mixture.squeeze(1))
        first = engine.reconstructed(posterior.model.sources.first_heard(heard, posterior.scene.present))
        found = posterior.mean
        for row, other in enumerate((mixture, _filtered(first, mixture), _filtered(heard_again, mixture))):
            other = weight * other
            products = (squared_modulus(found), squared_modulus(other), (found.conj() * other).real)
            for column, product in enumerate(products):
                self._products[row, column] += product.sum((-1, -2)).expand(-1, found.shape[1]).sum(0).double().cpu()

    def include(self, other: "FitSums") -> None:
        """What another has added up, too."""
        self._distance += other._distance
        self._count += other._count
        self._products += other._products
        self._learned = [own and others for own, others in zip(self._learned, other._learned, strict=True)]

    def fits(self, names: tuple[str, ...]) -> tuple[Fit, ...]:
        """Of each source."""
        misfits = (self._distance / self._count.clamp(min=1)).tolist()
        found, others, inner = self._products.unbind(1)  # each [3, N]
        target = inner.square() / found.clamp(min=1e-30)
        ratios = 10 * ((target + 1e-30) / ((others - target).clamp(min=0) + 1e-30)).log10()
        with_mixture, *with_looks = ratios
        steadiness = sum(with_looks) / len(with_looks) - with_mixture
        steadiness[(others[0] == 0) | (found[0] == 0)] = math.inf  # silence has no parts
        return tuple(Fit(*parts) for parts in zip(names, misfits, steadiness.tolist(), self._learned, strict=True))


def itakura_saito(power: Tensor, model: Tensor, floor: float) -> Tensor:
    """`P / v - log(P / v) - 1` of each bin, [*]; the floor, added to both, keeps silence from counting."""
    ratio = (power + floor) / (model + floor)
    return ratio - ratio.log() - 1


def _filtered(powers: Tensor, mixture: Tensor) -> Tensor:
    """The mixture [B, 1, T, F] through the Wiener filter of powers [B, N, T, F]."""
    return powers / powers.sum(1, keepdim=True).clamp(min=1e-30) * mixture
