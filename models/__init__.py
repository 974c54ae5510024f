"""Generative models: p(o|w,s), p(w) and p(s,z) as Pyro statements, and the choices that they are made of."""

from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.assignments import (
    AdaptiveIndependentAssignment,
    Assignment,
    ExclusiveAssignment,
    IndependentAssignment,
)
from pyro_mixdvae.models.autoregressive_sources import AutoregressiveSources
from pyro_mixdvae.models.complex_likelihood import ComplexLikelihood
from pyro_mixdvae.models.kinematic_sources import KinematicSources
from pyro_mixdvae.models.likelihoods import GaussianLikelihood, Likelihood
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.persistent_assignment import PersistentAssignment
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.single_source import SingleSource
from pyro_mixdvae.models.sound_sources import SoundSources
from pyro_mixdvae.models.sources import Sources
from pyro_mixdvae.models.srnn_sources import SRNNSources
from pyro_mixdvae.models.summed import SummedMixtureModel

__all__ = [
    "AdaptiveIndependentAssignment",
    "AdditiveModel",
    "Assignment",
    "AutoregressiveSources",
    "ComplexLikelihood",
    "ExclusiveAssignment",
    "GaussianLikelihood",
    "IndependentAssignment",
    "KinematicSources",
    "Likelihood",
    "MixtureModel",
    "PersistentAssignment",
    "SRNNSources",
    "Scene",
    "SingleSource",
    "SoundSources",
    "Sources",
    "SummedMixtureModel",
]
