"""How well a network of a source in training separates: what decides which epoch is kept."""

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN, blurred
from pyro_mixdvae.process_state import seeded
from pyro_mixdvae.separation.recordings.examples import ClipExamples

BATCH = 64


class FirstLook:
    """Mean gain in SI-SDR, in decibels, of held-out pieces over their mixtures: what one look at them gives.

    The source is the mixture through the Wiener filter of the power that the network makes of the mixture, and that
    which the model of the other sounds makes of it.

    Args:
        pieces: held-out ones; those that are heard alone do not count.
        partner: the model of the other sounds; without it their true power is known roughly.
        seed: of that roughness.
    """

    def __init__(self, pieces: ClipExamples, partner: SpectralSRNN | None, seed: int):
        example = pieces[torch.arange(len(pieces))]
        mixed = (example.content != example.observed).flatten(1).any(-1)
        self.content, self.observed = example.content[mixed], example.observed[mixed]
        generator = seeded(seed)
        with torch.no_grad():
            self.others = [
                blurred(squared_modulus(heard - own), generator)
                if partner is None
                else partner.reconstructed(squared_modulus(heard))
                for own, heard in zip(self.content.split(BATCH), self.observed.split(BATCH), strict=True)
            ]

    @torch.no_grad()
    def __call__(self, network: SpectralSRNN) -> float:
        """Of a network; 0 where no piece is a mixture."""
        if len(self.content) == 0:
            return 0.0
        gains = []
        for own, heard, others in zip(self.content.split(BATCH), self.observed.split(BATCH), self.others, strict=True):
            power = network.reconstructed(squared_modulus(heard))
            gains.append(_si_sdr(own, power / (power + others) * heard) - _si_sdr(own, heard))
        return float(torch.cat(gains).mean())


def _si_sdr(reference: Tensor, estimate: Tensor) -> Tensor:
    """SI-SDR of complex spectra [B, T, F], in decibels between -60 and 60: [B]."""
    inner = (reference.conj() * estimate).real.sum((-1, -2))
    energy = squared_modulus(reference).sum((-1, -2)).clamp(min=1e-20)
    target = inner.square() / energy
    rest = squared_modulus(estimate).sum((-1, -2)) - target
    return 10 * ((target + 1e-20) / (rest.clamp(min=0) + 1e-20)).log10().clamp(-6, 6)
