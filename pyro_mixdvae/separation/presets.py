"""The models of sounds that are offered by name: what `--likelihood` stands for."""

from collections.abc import Callable

from pyro_mixdvae.guides import AdditiveGuide, MeanField
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.inference.published import Published
from pyro_mixdvae.models import (
    AdditiveModel,
    ComplexNormal,
    IndependentAssignment,
    MixtureModel,
    PowerNoise,
    SoundSources,
)
from pyro_mixdvae.separation.source_files import LoadedSources

ITERATIONS = 3

ADDITIVE_NOISE = 0.001
"""Of the power of the mixture."""

ASSIGNMENT_NOISE = 0.03
"""The paper's."""


def additive(sources: LoadedSources) -> Preset:
    """Sounds overlap: the mixture is their sum."""
    model = AdditiveModel(SoundSources(sources.networks), ComplexNormal(PowerNoise(ADDITIVE_NOISE)))
    return Preset(model.float(), AdditiveGuide, Coordinate(ITERATIONS), sources.stft)


def assignment(sources: LoadedSources) -> Preset:
    """One of the sounds wins each frequency, as in the paper."""
    return Preset(_paper(sources), MeanField, Coordinate(ITERATIONS), sources.stft)


def published(sources: LoadedSources) -> Preset:
    """The paper's model by its algorithm: 70 iterations of E-Z, an E-S that runs forwards, and E-W."""
    return Preset(_paper(sources), MeanField, Published(), sources.stft)


def _paper(sources: LoadedSources) -> MixtureModel:
    prior, noise = SoundSources(sources.networks), PowerNoise(ASSIGNMENT_NOISE)
    return MixtureModel(prior, IndependentAssignment(len(sources.names)), ComplexNormal(noise)).float()


PRESETS: dict[str, Callable[[LoadedSources], Preset]] = {
    "additive": additive,
    "assignment": assignment,
    "published": published,
}
