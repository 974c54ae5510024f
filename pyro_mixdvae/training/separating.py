"""What a source of sound is trained for beside its ELBO: to be told from the other sounds in a mixture."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.spectral_network import SpectralNetwork
from pyro_mixdvae.networks.spectral_srnn import SECOND_PASSES, blurred, expected_power
from pyro_mixdvae.training.data import Example
from pyro_mixdvae.training.objectives import Value

DECIBEL = 200.0
"""Nats a frame that a decibel of separation counts for.

It was not tuned: the slope of G in the log powers is then of the order of that of the ELBO (`benchmarks/NOTES.md`).
"""

DEEPEST = 1e-5
"""Of the weaker source, the share of error from which on a mixture is as good as separated."""


class Separating:
    """The ELBOs of two sources, learned together, and how well they separate their mixtures.

    `ELBO(s) + ELBO(r) + DECIBEL G` a frame is maximised, where the mixture is o = s + r, and G is the mean of the gains
    of both sources in decibels over the mixture, by the Wiener filter of their powers,

    `G = 5 log10(|s|^2 |r|^2 / |e|^4)`, `e = s - g o`, `g = v_s / (v_s + v_r)`,

    so that the posterior of each source given the other is near the truth, and not only its prior. G is the score.
    The networks hear what they will hear in use: the mixture, or what their first look at it makes of it.

    Args:
        source, other: their networks.
    """

    def __init__(self, source: SpectralNetwork, other: SpectralNetwork):
        self.networks = (source, other)
        self.module = nn.ModuleList(self.networks)

    def __call__(
        self, example: Tensor | Example, own_output_probability: float, kl_scale: float, generator: torch.Generator
    ) -> Value:
        """See `Objective`; examples of content s and observed o, complex spectra [B, T, F].

        Raises:
            InputError: they are contents alone, and no examples.
        """
        if not isinstance(example, Example):
            raise InputError("learning to separate takes examples of mixtures.")
        source, other = example.content, example.observed - example.content
        is_mixed = squared_modulus(other).sum((-1, -2)) > 0
        parts = [_Part(source, other), _Part(other, source)]
        inputs = self._inputs(example.observed, parts, is_mixed, own_output_probability, generator)
        elbos, powers = [], []
        for network, part, (seen, past) in zip(self.networks, parts, inputs, strict=True):
            h, z, latent = network.drawn(network.teacher_forced(past), seen)
            elbos.append(network.density(h, z).to_event(2).log_prob(part.content) + kl_scale * latent)
            powers.append(network.power(h, z))
        gain = mean_of(separated(source, example.observed, *powers), is_mixed)
        per_frame = (elbos[0].mean() + mean_of(elbos[1], is_mixed)) / source.shape[-2]
        return Value(-per_frame - DECIBEL * gain, gain)

    @torch.no_grad()
    def _inputs(
        self,
        observed: Tensor,
        parts: list["_Part"],
        is_mixed: Tensor,
        own_output_probability: float,
        generator: torch.Generator,
    ) -> list[tuple[Tensor, Tensor]]:
        """Powers [B, T, F] that each network sees, and that its memory is fed.

        Some sequences are what a first look at the mixture leaves to the source; of these one half takes the others as
        their model sees them, the other as they are, `blurred`. Of the frames that the memory is fed, some are what
        the first look made of them (`SpectralSRNN.mixed_inputs`).
        """
        power = squared_modulus(observed)
        first = [network.reconstructed(power) for network in self.networks]
        inputs = []
        for number, part in enumerate(parts):
            again, rough = (_chance(power[:, :1, :1], share, generator) for share in (SECOND_PASSES, 0.5))
            rough |= ~is_mixed[:, None, None]
            others = torch.where(rough, blurred(squared_modulus(part.rest), generator), first[1 - number])
            seen = torch.where(again, expected_power(power, first[number], others), power)
            some = _chance(power[:, :1, :1], 2 * own_output_probability, generator)
            share = max(0.5, own_output_probability)
            replaced = some & _chance(power[..., :1], share, generator)
            inputs.append((seen, torch.where(replaced, first[number], seen)))
        return inputs


class _Part(NamedTuple):
    """A source of a mixture, and all else in it; [B, T, F] each."""

    content: Tensor
    rest: Tensor


def separated(source: Tensor, observed: Tensor, own: Tensor, others: Tensor) -> Tensor:
    """G [B]: the mean of the gains of a source and of the rest in decibels, as `Separating` has it.

    Args:
        source, observed: s and o, complex spectra [B, T, F].
        own, others: the variances v of s and of the rest, [B, T, F].
    """
    energy, rest, error = (
        squared_modulus(part).sum((-1, -2))
        for part in (source, observed - source, source - own / (own + others) * observed)
    )
    tiny = torch.finfo(error.dtype).tiny
    least = DEEPEST * torch.minimum(energy, rest) + tiny
    return 5 * ((energy + tiny).log10() + (rest + tiny).log10()) - 10 * (error + least).log10()


def mean_of(values: Tensor, counts: Tensor) -> Tensor:
    """The mean of those values [B] that count, [B] True or False: a number, 0 where none does."""
    return torch.where(counts, values, 0.0).sum() / counts.sum().clamp(min=1)


def _chance(like: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Booleans of a shape, true in so large a share."""
    return torch.rand(like.shape, generator=generator, dtype=like.dtype) < share
