"""The families that a declaration can name: a dictionary a table, and a line a family."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from pyro_mixdvae.guides import AdditiveGuide, Collapsed, Factorised, Guide, MeanField
from pyro_mixdvae.inference.algorithms import SVI, Algorithm, Coordinate, Hybrid
from pyro_mixdvae.inference.camera import Camera, ShakenCamera
from pyro_mixdvae.inference.published import Published
from pyro_mixdvae.models import (
    AdaptiveIndependentAssignment,
    AdditiveModel,
    Assignment,
    Clutter,
    ComplexNormal,
    ComplexStudentT,
    CountedAssignment,
    DVAESources,
    EstimatedNoise,
    EstimatedSources,
    ExclusiveAssignment,
    Huber,
    IndependentAssignment,
    KinematicSources,
    Labels,
    Laplace,
    LastingError,
    LearnedScale,
    LearnedWeights,
    LengthNoise,
    Likelihood,
    LinearSources,
    NearlyExactLabels,
    Noise,
    Normal,
    PersistentAssignment,
    PosedClutter,
    PowerNoise,
    RelativeNoise,
    RepeatedError,
    Silence,
    SizedClutter,
    SoundSources,
    Sources,
    SRNNSources,
    StudentT,
    SystematicError,
)
from pyro_mixdvae.networks.autoregressive import Autoregressive
from pyro_mixdvae.networks.constant_acceleration import ConstantAcceleration
from pyro_mixdvae.networks.dkf import DKF
from pyro_mixdvae.networks.hmm import HMM
from pyro_mixdvae.networks.kinematic import ConstantVelocity, KinematicNetwork
from pyro_mixdvae.networks.random_walk import RandomWalk
from pyro_mixdvae.networks.rvae import RVAE
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.networks.stationary_noise import StationaryNoise
from pyro_mixdvae.networks.storn import STORN
from pyro_mixdvae.networks.vae import VAE
from pyro_mixdvae.networks.vrnn import VRNN


def hybrid(
    start: Literal["coordinate", "published"] = "coordinate",
    n_iterations: int | None = None,
    n_steps: int = SVI.n_steps,
    learning_rate: float = SVI.learning_rate,
    n_particles: int = SVI.n_particles,
    fine_tunes_prior: bool = SVI.fine_tunes_prior,
) -> Hybrid:
    """Closed-form updates or the published algorithm, then SVI from where they end."""
    first = Published if start == "published" else Coordinate
    svi = SVI(n_steps, learning_rate, n_particles, fine_tunes_prior)
    return Hybrid(first() if n_iterations is None else first(n_iterations), svi)


class OfNetwork(NamedTuple):
    """A prior over the sources that a network gives: its class, the class of its network, and of others beside it."""

    sources: type[Sources]
    network: type[Any]
    beside: tuple[type[Any], ...] = ()

    def takes(self, network: object) -> bool:
        """Whether the prior is made of such networks."""
        return isinstance(network, (self.network, *self.beside))


Family = Callable[..., Any] | OfNetwork

FAMILIES: dict[str, dict[str, Family]] = {
    "sources": {
        "kinematic": OfNetwork(KinematicSources, KinematicNetwork),
        "constant_velocity": OfNetwork(KinematicSources, ConstantVelocity),
        "estimated": OfNetwork(EstimatedSources, ConstantVelocity),
        "constant_acceleration": OfNetwork(LinearSources, ConstantAcceleration),
        "random_walk": OfNetwork(DVAESources, RandomWalk),
        "autoregressive": OfNetwork(DVAESources, Autoregressive),
        "hmm": OfNetwork(DVAESources, HMM),
        "srnn": OfNetwork(SRNNSources, SRNN),
        "vrnn": OfNetwork(DVAESources, VRNN),
        "dkf": OfNetwork(DVAESources, DKF),
        "storn": OfNetwork(DVAESources, STORN),
        "rvae": OfNetwork(DVAESources, RVAE),
        "vae": OfNetwork(DVAESources, VAE),
        "spectral_srnn": OfNetwork(SoundSources, SpectralSRNN, (StationaryNoise,)),
    },
    "assignment": {
        "independent": IndependentAssignment,
        "adaptive": AdaptiveIndependentAssignment,
        "learned_weights": LearnedWeights,
        "exclusive": ExclusiveAssignment,
        "persistent": PersistentAssignment,
        "counted": CountedAssignment,
        "additive": AdditiveModel,
    },
    "likelihood": {
        "normal": Normal,
        "student_t": StudentT,
        "laplace": Laplace,
        "huber": Huber,
        "learned": LearnedScale,
        "complex_normal": ComplexNormal,
        "complex_student_t": ComplexStudentT,
    },
    "noise": {
        "estimated": EstimatedNoise,
        "relative": RelativeNoise,
        "length": LengthNoise,
        "power": PowerNoise,
    },
    "clutter": {
        "sized": SizedClutter,
        "posed": PosedClutter,
    },
    "labels": {
        "nearly_exact": NearlyExactLabels,
    },
    "systematic": {
        "repeated": RepeatedError,
        "lasting": LastingError,
    },
    "silence": {
        "chain": Silence,
    },
    "camera": {
        "shaken": ShakenCamera,
    },
    "guide": {
        "mean_field": MeanField,
        "collapsed": Collapsed,
        "factorised": Factorised,
        "additive": AdditiveGuide,
    },
    "inference": {
        "coordinate": Coordinate,
        "svi": SVI,
        "hybrid": hybrid,
        "published": Published,
    },
}

CONTRACTS: dict[str, tuple[type[Any], ...]] = {
    "sources": (Sources,),
    "assignment": (Assignment, AdditiveModel),
    "likelihood": (Likelihood,),
    "noise": (Noise,),
    "clutter": (Clutter,),
    "labels": (Labels,),
    "systematic": (SystematicError,),
    "silence": (Silence,),
    "camera": (Camera,),
    "guide": (Guide, AdditiveGuide),
    "inference": (Algorithm,),
}
"""What a class of a user's own derives from; a guide may also be a Pyro program, an algorithm anything that runs."""

OPTIONAL = ("clutter", "labels", "systematic", "silence", "camera")
"""Tables of parts that a model can be without: family = "none"."""

NONE = "none"
