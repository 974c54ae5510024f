"""Small parts and models to try another part in."""

import torch
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.models import (
    Assignment,
    DVAESources,
    ExclusiveAssignment,
    Huber,
    IndependentAssignment,
    KinematicSources,
    Laplace,
    LearnedScale,
    LearnedWeights,
    Likelihood,
    MixtureModel,
    NearlyExactLabels,
    PersistentAssignment,
    PresentAssignment,
    RelativeNoise,
    Scene,
    SizedClutter,
    Sources,
    SRNNSources,
    Step,
    StudentT,
)
from pyro_mixdvae.models import Normal as NormalLikelihood
from pyro_mixdvae.networks.autoregressive import Autoregressive
from pyro_mixdvae.networks.kinematic import ConstantVelocity, KinematicNetwork
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.representations.boxes import CentreLogSize


def gentle_srnn() -> SRNNSources:
    """An SRNN whose first frame is not so narrow that nothing else counts."""
    return SRNNSources(SRNN(content_dim=4, latent_dim=3), start_variance=0.01)


def lively_kinematic(hidden: int = 6) -> KinematicSources:
    """A learned prior of motion whose four quantities differ from frame to frame."""
    network = KinematicNetwork(hidden=hidden)
    with torch.no_grad():
        network.heads.weight.mul_(20)
        network.heads.bias[4:8] = -4.0
        network.heads.bias[12:] = -3.0
    return KinematicSources(network, CentreLogSize().unit)


def vkf(velocity_noise: float = 0.05, position_noise: float = 0.1, start_spread: float = 0.3) -> KinematicSources:
    """The prior of VKF, linear and Gaussian in (s, z)."""
    network = ConstantVelocity(4, velocity_noise, position_noise, damping=0.9)
    return KinematicSources(network, torch.ones_like, start_spread)


def relative_vkf() -> KinematicSources:
    """Constant velocity in units of the box's size."""
    return KinematicSources(ConstantVelocity(4, 0.1, 0.2, damping=0.95), CentreLogSize().unit)


class ConstantAcceleration(Sources):
    """`a_t ~ N(.9 a_{t-1}, .02^2)`, `v_t ~ N(v_{t-1} + a_{t-1}, .03^2)`, `s_t ~ N(s_{t-1} + v_t + a_t, .05^2)`.

    Written with the three methods alone; z is (v, a), so that S = 3.
    """

    content_dim, latent_dim = 4, 8

    def init_state(self, start: Tensor) -> tuple[Tensor, Tensor]:
        return start, start.new_zeros(*start.shape[:-1], 8)

    def conditional(self, state: tuple[Tensor, Tensor]) -> Step:
        s, (velocity, acceleration) = state[0], state[1].chunk(2, -1)
        spread = torch.tensor([0.03] * 4 + [0.02] * 4)
        latent = Normal(torch.cat([velocity + acceleration, 0.9 * acceleration], -1), spread)
        return Step(latent, lambda z: Normal(s + z[..., :4] + z[..., 4:], 0.05))

    def update_state(self, state: tuple[Tensor, Tensor], s: Tensor, z: Tensor | None) -> tuple[Tensor, Tensor]:
        return s, state[1] if z is None else z


def lively_autoregressive() -> DVAESources:
    """A prior without z whose mean and variance differ from frame to frame."""
    network = Autoregressive(hidden=6)
    with torch.no_grad():
        network.emission_network.mean.weight.mul_(20)
        network.emission_network.log_variance.weight.mul_(20)
        network.emission_network.log_variance.bias.fill_(-3.0)
    return DVAESources(network, CentreLogSize().unit)


PRIORS = {
    "srnn": gentle_srnn,
    "kinematic": lively_kinematic,
    "vkf": vkf,
    "relative vkf": relative_vkf,
    "autoregressive": lively_autoregressive,
}
ASSIGNMENTS = {
    "independent": lambda n: IndependentAssignment(n),
    "independent with clutter": lambda n: IndependentAssignment(n, 0.1),
    "exclusive": lambda n: ExclusiveAssignment(n, 0.8, 0.1),
}
"""Without latents of their own."""
FILTERED = ASSIGNMENTS | {"persistent": lambda n: PersistentAssignment(n, 0.8, 0.1, hide=0.2, reappear=0.3)}
"""With one that a filter weighs by what it has seen."""
EVERY_ASSIGNMENT = FILTERED | {"learned weights": lambda n: LearnedWeights(n, 2.0, clutter=0.5)}
BY_FRAME, PRESENT = "by frame", "present"
LIKELIHOODS = {
    "normal": NormalLikelihood,
    "student t": StudentT,
    "laplace": Laplace,
    "huber": Huber,
    "learned scale": LearnedScale,
}


def relative_noise(relative: float = 0.3, relative_to: str = "start") -> RelativeNoise:
    """Relative to the size of a box."""
    return RelativeNoise(CentreLogSize().unit, relative, relative_to)  # type: ignore[arg-type]


def gaussian_likelihood(relative: float = 0.3, relative_to: str = "start") -> NormalLikelihood:
    """With that noise."""
    return NormalLikelihood(relative_noise(relative, relative_to))


def by_frame(scene: Scene) -> ExclusiveAssignment:
    """Exclusive with P_D of each scene, frame and source; some frames are as the one before but for one source."""
    probability = 0.1 + 0.8 * torch.rand(*scene.present.shape, scene.n_sources)
    probability[:, 1:2] = probability[:, :1]
    probability[:, 2:3, 1:] = probability[:, 1:2, 1:]
    probability[:, 3:4, :-1] = probability[:, 2:3, :-1]
    return ExclusiveAssignment(scene.n_sources, probability, 0.05 + torch.rand(len(scene.present)))


def present(scene: Scene) -> PresentAssignment:
    """Sources that come and go; known is that the first is there at first, and that the last is absent then."""
    known = torch.zeros(*scene.present.shape, scene.n_sources)
    known[:, 0, 0], known[:, 1:2, -1] = 1.0, -1.0
    return PresentAssignment(scene.n_sources, known, 0.8, 0.1, hide=0.2, reappear=0.3, leave=0.1, come=0.25)


def assignment_for(kind: str, scene: Scene) -> Assignment:
    """One of `EVERY_ASSIGNMENT`, or `BY_FRAME`, or `PRESENT`."""
    if kind == PRESENT:
        return present(scene)
    return by_frame(scene) if kind == BY_FRAME else EVERY_ASSIGNMENT[kind](scene.n_sources)


def toy_model(
    n_sources: int = 2,
    sources: Sources | None = None,
    assignment: Assignment | None = None,
    likelihood: Likelihood | None = None,
) -> MixtureModel:
    """With the plainest of parts in the place of those that are not given; a prior, as a rule, linear and Gaussian."""
    return MixtureModel(
        sources or vkf(),
        assignment or IndependentAssignment(n_sources),
        likelihood or gaussian_likelihood(),
        SizedClutter(),
        NearlyExactLabels(CentreLogSize().unit),
    )
