"""Small scenes and models with known answers, and Gaussians written out as one dense matrix."""

import pytest
import torch
from pyro import poutine
from pyro.distributions import Dirichlet, Normal
from pyro.infer import TraceEnum_ELBO
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from pyro_mixdvae.distributions.kalman import Chain, Gaussian, Transition
from pyro_mixdvae.guides import MeanField
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
    RelativeNoise,
    Scene,
    SizedClutter,
    Sources,
    SRNNSources,
    Step,
    StudentT,
)
from pyro_mixdvae.models import Normal as NormalLikelihood
from pyro_mixdvae.models.assignments.contract import Factor
from pyro_mixdvae.models.assignments.learned_weights import Weights
from pyro_mixdvae.networks.autoregressive import Autoregressive
from pyro_mixdvae.networks.kinematic import ConstantVelocity, KinematicNetwork
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.representations.boxes import CentreLogSize

EXACT = {"rtol": 1e-9, "atol": 1e-9}
N_ERRORS = 4.0  # how many standard errors a sample mean may be off


def boxes(*shape: int, spread: float = 0.2) -> Tensor:
    """Contents (cx, cy, log w, log h) [*shape, 4]: boxes of about a tenth of the image, anywhere in it."""
    centre = 0.5 + spread * torch.randn(*shape, 2)
    return torch.cat([centre, -2.3 + 0.2 * torch.randn(*shape, 2)], -1)


def toy_scene(
    n_scenes: int = 2,
    n_frames: int = 4,
    n_detections: int = 3,
    n_sources: int = 2,
    missing: float = 0.25,
    is_padded: bool = False,
    is_labelled: bool = False,
    noise: float = 0.02,
) -> Scene:
    """Sources that wander, detections near them in any order (further ones where K > N), some of them missing."""
    start = boxes(n_scenes, n_sources)
    path = start.unsqueeze(-2) + 0.02 * torch.randn(n_scenes, n_sources, n_frames, 4).cumsum(-2)
    whose = torch.randint(n_sources, (n_scenes, n_frames, n_detections))
    seen = torch.take_along_dim(path.transpose(1, 2), whose.unsqueeze(-1), -2)
    observations = seen + noise * torch.randn_like(seen)
    observations[torch.rand(observations.shape[:-1]) < missing] = torch.nan
    present = torch.ones(n_scenes, n_frames, dtype=torch.bool)
    if is_padded:
        present[-1, -(n_frames // 2) :] = False
    labels = None
    if is_labelled:
        labels = path + 0.01 * torch.randn_like(path)
        labels[torch.rand(labels.shape[:-1]) < 0.6] = torch.nan
        labels[:, 0, 1] = path[:, 0, 1]
    return Scene.of(observations, start, present, labels)


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
BY_FRAME = "by frame"
LIKELIHOODS = {
    "normal": NormalLikelihood,
    "student t": StudentT,
    "laplace": Laplace,
    "huber": Huber,
    "learned scale": LearnedScale,
}


def relative_noise(relative: float = 0.3, relative_to: str = "start") -> RelativeNoise:
    return RelativeNoise(CentreLogSize().unit, relative, relative_to)  # type: ignore[arg-type]


def gaussian_likelihood(relative: float = 0.3, relative_to: str = "start") -> NormalLikelihood:
    return NormalLikelihood(relative_noise(relative, relative_to))


def by_frame(scene: Scene) -> ExclusiveAssignment:
    """Exclusive with P_D of each scene, frame and source; some frames are as the one before but for one source."""
    probability = 0.1 + 0.8 * torch.rand(*scene.present.shape, scene.n_sources)
    probability[:, 1:2] = probability[:, :1]
    probability[:, 2:3, 1:] = probability[:, 1:2, 1:]
    probability[:, 3:4, :-1] = probability[:, 2:3, :-1]
    return ExclusiveAssignment(scene.n_sources, probability, 0.05 + torch.rand(len(scene.present)))


def assignment_for(kind: str, scene: Scene) -> Assignment:
    """One of `EVERY_ASSIGNMENT`, or `BY_FRAME`."""
    return by_frame(scene) if kind == BY_FRAME else EVERY_ASSIGNMENT[kind](scene.n_sources)


def toy_model(
    n_sources: int = 2,
    sources: Sources | None = None,
    assignment: Assignment | None = None,
    likelihood: Likelihood | None = None,
) -> MixtureModel:
    return MixtureModel(
        sources or vkf(),
        assignment or IndependentAssignment(n_sources),
        likelihood or gaussian_likelihood(),
        SizedClutter(),
        NearlyExactLabels(CentreLogSize().unit),
    )


def fed(path: Tensor, state_size: int = 1) -> Gaussian:
    """A path of contents [*, T, D] as what feeds the memory of a prior: certain, and with no z."""
    mean = torch.cat([path.unsqueeze(-1), path.new_zeros(*path.shape, state_size - 1)], -1)
    return Gaussian(mean, 1e-9 * torch.eye(state_size).expand(*path.shape, -1, -1))


def joint_of_transitions(transitions: Transition) -> tuple[Tensor, Tensor]:
    """Mean [*, D, T S] and covariance [*, D, T S, T S] of the states of all frames, as one Gaussian."""
    offset = transitions.offset.transpose(-3, -2)
    step = _blocks(transitions.matrix, -1)
    noise = _blocks(transitions.noise, 0)
    carried = torch.linalg.inv(torch.eye(step.shape[-1]) - step)
    return (carried @ offset.flatten(-2).unsqueeze(-1)).squeeze(-1), carried @ noise @ carried.mT


def joint_of_chain(mean: Tensor, gain: Tensor, conditional: Tensor) -> tuple[Tensor, Tensor]:
    """The same of a chain that runs backwards: mean [*, T, D, S], gain and conditional [*, T, D, S, S]."""
    lean = _blocks(gain, +1)
    noise = _blocks(conditional, 0)
    carried = torch.linalg.inv(torch.eye(lean.shape[-1]) - lean)
    return mean.transpose(-3, -2).flatten(-2), carried @ noise @ carried.mT


def joint_of(chain: Chain) -> tuple[Tensor, Tensor]:
    return joint_of_chain(chain.mean, chain.gain, chain.conditional)


def condition(
    mean: Tensor, covariance: Tensor, value: Tensor, precision: Tensor, state_size: int
) -> MultivariateNormal:
    """Condition a joint [*, D, T S] on observations of the contents: value, precision [*, T, D]; zero: none."""
    information = torch.linalg.inv(covariance)
    pull = (information @ mean.unsqueeze(-1)).squeeze(-1)
    diagonal = torch.zeros_like(mean)
    diagonal[..., ::state_size] = precision.transpose(-2, -1)
    added = torch.zeros_like(mean)
    added[..., ::state_size] = (precision * value).transpose(-2, -1)
    posterior = information + torch.diag_embed(diagonal)
    return MultivariateNormal(
        torch.linalg.solve(posterior, (pull + added).unsqueeze(-1)).squeeze(-1), precision_matrix=posterior
    )


def _blocks(matrix: Tensor, offset: int) -> Tensor:
    """[*, T, D, S, S] -> [*, D, T S, T S]: block t in row t, `offset` columns away from the diagonal."""
    matrix = matrix.transpose(-4, -3)
    n_frames, size = matrix.shape[-3], matrix.shape[-1]
    dense = matrix.new_zeros(*matrix.shape[:-3], n_frames, size, n_frames, size)
    for t in range(n_frames):
        if 0 <= t + offset < n_frames:
            dense[..., t, :, t + offset, :] = matrix[..., t, :, :]
    return dense.flatten(-4, -3).flatten(-2)


def assert_mean_close(draws: Tensor, expected: Tensor, n_errors: float = N_ERRORS) -> None:
    """The mean over the first axis is within `n_errors` standard errors of what is expected, everywhere."""
    error = draws.std(0) / len(draws) ** 0.5
    off = (draws.mean(0) - expected).abs() / error.clamp(min=1e-12)
    assert float(off.max()) < n_errors, f"{float(off.max()):.1f} standard errors off"


def exact_elbo(model: MixtureModel, scene: Scene, logits: Tensor, chain: Chain, latent: Factor | None = None) -> Tensor:
    """The mean-field bound [B] in closed form: q(w) by its logits, q(s, z) by its chain, a linear-Gaussian prior.

    `latent` is the guide's factor of what the assignment brings.
    """
    assignment = model.assignment if latent is None else latent.expected(model.assignment)
    log_q = logits.log_softmax(-1)
    unnormalised = assignment.prior_logits(scene.mask)
    # E_q[log pi] are no logarithms of a distribution, and are not to be normalised.
    log_prior = unnormalised if isinstance(latent, Weights) else unnormalised.log_softmax(-1)
    gap = torch.where(log_q > -1e20, log_q.exp() * (log_prior - log_q), 0.0)
    if assignment.per_observation:
        gap = gap * scene.mask.unsqueeze(-1)
    eta = assignment.marginals(logits, scene.mask)
    variance = chain.covariance[..., 0, 0]
    expected = model.expected_log_likelihood(scene, chain.mean[..., 0], variance)
    bound = (eta * expected).sum((-3, -2, -1)) + gap.sum((-3, -2, -1))
    count = assignment.log_count(scene.mask)
    if count is not None:
        bound = bound + torch.where(scene.present, count, 0.0).sum(-1)
    if latent is not None:
        bound = bound - latent_divergence(model.assignment, latent, scene)
    start = scene.start
    steps = model.sources.transitions(fed(start.unsqueeze(-2).expand(-1, -1, scene.n_frames, -1)), start)
    divergence = kl_divergence(MultivariateNormal(*joint_of(chain)), MultivariateNormal(*joint_of_transitions(steps)))
    return bound - divergence.sum((-2, -1))


def latent_divergence(assignment: Assignment, latent: Factor, scene: Scene) -> Tensor:
    """KL(q(v) || p(v)) [B] of what an assignment brings."""
    prior = assignment.latent_prior(scene)
    if isinstance(latent, Weights):
        found = kl_divergence(Dirichlet(latent.log_concentration.exp()[:, None, None]), prior)
    else:
        node = poutine.trace(latent).get_trace().nodes[assignment.latent_name]
        found = node["fn"].log_prob(node["value"]) - prior.log_prob(node["value"])
    return found.squeeze(-1).squeeze(-1)


def gradient_in_logits(model: MixtureModel, guide: MeanField, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Of the expected bound, exactly: log p(o|w,s) is quadratic in s, so noise of +1 and of -1 have its mean."""
    total = torch.zeros_like(guide.logits)
    for sign in (1.0, -1.0):
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randn", lambda shape, sign=sign, **kind: torch.full(shape, sign, **kind))
            loss = TraceEnum_ELBO(max_plate_nesting=3).differentiable_loss(model, guide, scene)
        (gradient,) = torch.autograd.grad(loss, guide.logits)
        total += gradient / 2
    return total
