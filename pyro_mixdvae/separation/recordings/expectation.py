"""What to expect of a model: how well it separates held-out clips from held-out ones of other sounds."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from pyro_mixdvae.declaration.shipped import shipped, with_weights
from pyro_mixdvae.models.sources.sound import SoundSources
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.separation.mixtures.mixing import mixing_gains
from pyro_mixdvae.separation.presets import build
from pyro_mixdvae.separation.recordings.melodies import Melodies
from pyro_mixdvae.separation.recordings.power_shapes import fitted_shapes, heard
from pyro_mixdvae.separation.recordings.recipes import TrainingClips
from pyro_mixdvae.separation.recordings.starting import Start
from pyro_mixdvae.separation.scores.measures import si_sdr
from pyro_mixdvae.separation.separator import DEFAULT_SOURCES, Separator

N_MIXTURES = 24
N_FRAMES = 100
RATIOS = (-5.0, 0.0, 5.0)
"""Power of the source above that of the other sound, in decibels."""

N_HEARD = 1000
"""Frequencies of a mixture at which what was found of the sources is compared with what they are."""


class Expectation(NamedTuple):
    """Mean gains in SI-SDR over the mixture in decibels, of the source and of the other sound.

    Attributes:
        partner: what the model of the other sound is called; None where no other sounds were given.
        source, other: the gains, NaN without other sounds.
        power_shapes: how far the powers of the source and of the other sound were off, for their networks; infinite
            without other sounds.
    """

    partner: str | None
    source: float = np.nan
    other: float = np.nan
    power_shapes: tuple[float, float] = (math.inf, math.inf)

    def of_other(self, partner: str) -> "Expectation":
        """The same, told of the other sound, whose partner is called so."""
        return Expectation(partner, self.other, self.source, self.power_shapes[::-1])

    def as_dict(self) -> dict[str, Any]:
        """For a card."""
        if self.partner is None:
            return {}
        return {
            "partner": self.partner,
            "gain": round(self.source, 2),
            "gain_of_other": round(self.other, 2),
            "power_shape": self.power_shapes[0],
        }

    @property
    def sentence(self) -> str:
        """For the user."""
        if self.partner is None:
            return (
                "How well it separates was not tried, and its posterior will be too sure of itself: name other sounds "
                "with --against, and it will be said here."
            )
        return (
            f"Expect separation to gain about {self.source:.0f} dB SI-SDR for the source and {self.other:.0f} dB for "
            f"the other sound, modelled by {self.partner}: so it was on {N_MIXTURES} mixtures of held-out clips."
        )


@torch.no_grad()
def expected(network: SpectralSRNN, partner: Start | None, clips: TrainingClips, seed: int) -> Expectation:
    """Separate held-out clips from other held-out sounds, of which `partner` is the model where there are any."""
    if clips.others is None or partner is None:
        return Expectation(None)
    sources = SoundSources([network.eval(), partner.network.eval()])
    preset = build(with_weights(shipped("additive", "sounds"), list(DEFAULT_SOURCES)))
    separator = Separator(("source", "other"), replace(preset, model=preset.model.replace(sources=sources)))
    random = np.random.default_rng([seed, N_MIXTURES])
    length = (N_FRAMES - 1) * clips.stft.hop
    drawn = [Melodies(part.samples, length, clips.stft.rate) for part in (clips.source[1], clips.others[1])]
    gains, found = [], []
    for number in range(N_MIXTURES):
        noise = 1e-6 * random.standard_normal((2, length), dtype=np.float32)  # no part is silent
        parts = np.stack([one.draw(random) for one in drawn]) + noise
        parts *= mixing_gains(parts, RATIOS[number % len(RATIOS)])[:, None]
        parts /= np.abs(parts.sum(0)).max()
        mixture = torch.from_numpy(parts.sum(0)).unsqueeze(0)
        posterior = separator.infer(mixture)
        stems = separator.stems(mixture, posterior)[0].numpy()
        gains.append([si_sdr(part, stem) - si_sdr(part, parts.sum(0)) for part, stem in zip(parts, stems, strict=True)])
        found.append(heard(posterior, 0, clips.stft.spectrum(torch.from_numpy(parts)), N_HEARD, random))
    source, other = np.mean(gains, axis=0).tolist()
    first, second = (round(shape, 3) for shape in fitted_shapes(found))
    return Expectation(partner.name, source, other, (first, second))
