"""Generative models: p(o|w,s), p(w) and p(s,z) as Pyro statements, and the parts that they are made of."""

from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.assignments.counted import CountedAssignment
from pyro_mixdvae.models.assignments.exclusive import ExclusiveAssignment
from pyro_mixdvae.models.assignments.independent import AdaptiveIndependentAssignment, IndependentAssignment
from pyro_mixdvae.models.assignments.learned_weights import LearnedWeights
from pyro_mixdvae.models.assignments.persistent import PersistentAssignment
from pyro_mixdvae.models.assignments.present import PresentAssignment
from pyro_mixdvae.models.clutter import Clutter, PosedClutter, SizedClutter
from pyro_mixdvae.models.labels import Labels, NearlyExactLabels
from pyro_mixdvae.models.lasting import LastingError
from pyro_mixdvae.models.likelihoods.complex_normal import ComplexNormal
from pyro_mixdvae.models.likelihoods.complex_student_t import ComplexStudentT
from pyro_mixdvae.models.likelihoods.contract import Likelihood
from pyro_mixdvae.models.likelihoods.heavy_tailed import Huber, Laplace, StudentT
from pyro_mixdvae.models.likelihoods.learned import LearnedScale
from pyro_mixdvae.models.likelihoods.normal import Normal
from pyro_mixdvae.models.likelihoods.spectral import PowerNoise, SpectralLikelihood, sound_scene
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.noise import EstimatedNoise, LengthNoise, Noise, RelativeNoise
from pyro_mixdvae.models.part import Part, closed_form
from pyro_mixdvae.models.reappearance import Reappearance
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.silence import Silence
from pyro_mixdvae.models.single_source import SingleSource
from pyro_mixdvae.models.sources.contract import Sources
from pyro_mixdvae.models.sources.dvae import DVAESources
from pyro_mixdvae.models.sources.estimated import EstimatedSources
from pyro_mixdvae.models.sources.kinematic import KinematicSources
from pyro_mixdvae.models.sources.linear import LinearSources
from pyro_mixdvae.models.sources.sound import SoundSources
from pyro_mixdvae.models.sources.srnn import SRNNSources
from pyro_mixdvae.models.sources.step import Step
from pyro_mixdvae.models.stepwise import StepwiseMixtureModel
from pyro_mixdvae.models.systematic import RepeatedError, SystematicError, Wander

__all__ = [
    "AdaptiveIndependentAssignment",
    "AdditiveModel",
    "Assignment",
    "Clutter",
    "ComplexNormal",
    "ComplexStudentT",
    "CountedAssignment",
    "DVAESources",
    "EstimatedNoise",
    "EstimatedSources",
    "ExclusiveAssignment",
    "Huber",
    "IndependentAssignment",
    "KinematicSources",
    "Labels",
    "Laplace",
    "LastingError",
    "LearnedScale",
    "LearnedWeights",
    "LengthNoise",
    "Likelihood",
    "LinearSources",
    "MixtureModel",
    "NearlyExactLabels",
    "Noise",
    "Normal",
    "Part",
    "PersistentAssignment",
    "PosedClutter",
    "PowerNoise",
    "PresentAssignment",
    "Reappearance",
    "RelativeNoise",
    "RepeatedError",
    "SRNNSources",
    "Scene",
    "Silence",
    "SingleSource",
    "SizedClutter",
    "SoundSources",
    "Sources",
    "SpectralLikelihood",
    "Step",
    "StepwiseMixtureModel",
    "StudentT",
    "SystematicError",
    "Wander",
    "closed_form",
    "sound_scene",
]
