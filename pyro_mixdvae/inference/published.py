"""The published algorithm for boxes, step by step: cascade start, tempered E-W, E-Z, and an E-S that runs forwards.

What the paper does not say and its code does: the exponent of E-W is multiplied by a temperature of .008, and 1e-10 is
added to every likelihood. All sampled values are replaced by their means.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.engines.protocol import PseudoObservation, Record
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.inference import published_spectral
from pyro_mixdvae.inference.assigned_updates import independent_frames
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.inference.records import with_errors
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.sound import SoundSources
from pyro_mixdvae.models.sources.srnn import SRNNSources

TEMPERATURE = 0.008
PIECE_LENGTH = 30
PIECE_ITERATIONS = 20
ITERATIONS = 70


def published_sources(model: MixtureModel) -> SRNNSources:
    """The SRNN of a model that the published algorithm is for.

    Raises:
        InputError: the model is not the published one: an SRNN with a Gaussian likelihood.
    """
    if not isinstance(model.sources, SRNNSources) or not model.likelihood.conjugate():
        raise InputError(
            f"the published algorithm is for an SRNN with a Gaussian likelihood, and this is "
            f"{type(model.sources).__name__} with {type(model.likelihood).__name__}."
        )
    return model.sources


def tempered_responsibilities(model: MixtureModel, scene: Scene, mean: Tensor, variance: Tensor) -> Tensor:
    """E-W: `|Phi|^(-1/2) exp(-.008 / 2 ((o - m)' Phi^-1 (o - m) + tr(Phi^-1 V))) + 1e-10`, normalised over n.

    m, V [B, N, T, D] -> eta [B, T, K, N], zero where there is no detection.
    """
    phi = model.likelihood.noise.scale(scene).square()
    residual = scene.observations.unsqueeze(-2) - mean.transpose(-3, -2).unsqueeze(-3)
    exponent = ((residual.square() + variance.transpose(-3, -2).unsqueeze(-3)) / phi).sum(-1)
    log_beta = -0.5 * phi.log().sum(-1) - 0.5 * TEMPERATURE * exponent
    floor = torch.full_like(log_beta, published_spectral.LEAST_LIKELIHOOD).log()
    return torch.logaddexp(log_beta, floor).softmax(-1) * scene.mask.unsqueeze(-1)


def encode(sources: SRNNSources, mean: Tensor) -> Tensor:
    """E-Z: the encoder's means z [B, N, T, L] along m [B, N, T, D], teacher-forced from zeros."""
    network = sources.network
    h = network.history(network.teacher_forced(mean))
    return network.latent_posterior(h, mean).central_path()


def forward_sources(
    sources: SRNNSources, start: Tensor, z: Tensor, observation: PseudoObservation
) -> tuple[Tensor, Tensor]:
    """E-S: `V = (sum_k eta / Phi + 1 / v_s)^-1`, `m = V (sum_k eta o / Phi + mu_s / v_s)`, forwards in t.

    The decoder sees the running mean m_<t and z_t; the first frame is the start [B, N, D] with variance 1e-5.
    Returns m and V, [B, N, T, D] each.
    """
    network = sources.network
    state = network.history.init_state(start)
    before = start
    means, variances = [], []
    frames = zip(z.unbind(-2), observation.value.unbind(-2), observation.precision.unbind(-2), strict=True)
    for t, (z_t, value, precision) in enumerate(frames):
        state = network.history.update_state(before, state)
        if t == 0:
            prior_mean, prior_variance = start, torch.full_like(start, sources.start_variance)
        else:
            prior_mean, prior_variance = network.emission(state[0], z_t)
        variance = 1 / (precision + 1 / prior_variance)
        before = variance * (precision * value + prior_mean / prior_variance)
        means.append(before)
        variances.append(variance)
    return torch.stack(means, -2), torch.stack(variances, -2)


def iterate(
    model: MixtureModel,
    scene: Scene,
    mean: Tensor,
    variance: Tensor,
    iterations: int,
    record: Callable[[Tensor, Tensor, Tensor], None] = lambda eta, mean, variance: None,
) -> tuple[Tensor, Tensor, Tensor]:
    """E-W, E-Z, E-S, over and over, from m and V [B, N, T, D]; returns eta [B, T, K, N] and the last m and V.

    `record` is called with eta, m and V after each iteration.
    """
    sources, engine = published_sources(model), TorchChainEngine(model, scene)
    eta = scene.mask.unsqueeze(-1) / mean.new_full((scene.n_sources,), scene.n_sources)
    for _ in range(iterations):
        eta = tempered_responsibilities(model, scene, mean, variance)
        z = encode(sources, mean)
        mean, variance = forward_sources(sources, scene.start, z, engine.observe(eta, None))
        record(eta, mean, variance)
    return eta, mean, variance


def cascade(model: MixtureModel, scene: Scene) -> tuple[Tensor, Tensor]:
    """The start: constant boxes in pieces of 30 frames, each where 20 iterations on the piece before ended.

    Returns m and V [B, N, T, D]; V is the likelihood's Phi.
    """
    box = scene.start
    phi = model.likelihood.noise.at(scene.start).square().unsqueeze(-2)
    pieces = []
    for first in range(0, scene.n_frames, PIECE_LENGTH):
        piece = scene.frames(slice(first, first + PIECE_LENGTH))
        constant = box.unsqueeze(-2).expand(-1, -1, piece.n_frames, -1)
        pieces.append(constant)
        if first + PIECE_LENGTH < scene.n_frames:
            piece = piece.starting_at(box)
            spread = phi.expand_as(constant)
            _, mean, _ = iterate(model, piece, constant, spread, PIECE_ITERATIONS)
            box = mean[..., -1, :]
    mean = torch.cat(pieces, -2)
    return mean, phi.expand_as(mean)


@dataclass(frozen=True)
class Published:
    """The published algorithm (this module), recorded by the same evaluator as the others.

    Attributes:
        n_iterations: of E-W, E-Z and E-S.
    """

    n_iterations: int = ITERATIONS

    def __post_init__(self) -> None:
        if self.n_iterations < 1:
            raise InputError(f"{self.n_iterations} iterations are too few: give 1 or more.")

    @torch.no_grad()
    def run(self, model: Any, scene: Scene, guide: Any, first: int, seed: int) -> Posterior:
        """From the cascade; it starts at frame 0, and moves a q(w). Sounds: see `published_spectral`."""
        _check_assignment(model)
        if isinstance(model.sources, SoundSources):
            return published_spectral.separate(model, scene, guide, self.n_iterations)
        published_sources(model)
        if first > 0:
            raise InputError(
                f"The published algorithm starts in frame 1, but the first frame that says where {scene.n_sources} "
                f"sources are is frame {first + 1}: label them in frame 1, or use another algorithm."
            )
        if not (isinstance(guide, type) and issubclass(guide, MeanField)):
            name = getattr(guide, "__name__", type(guide).__name__)
            raise InputError(f"The published algorithm moves a q(w), and the guide {name} has none: take mean_field.")
        found, engine, records = guide(model, scene), TorchChainEngine(model, scene), list[Record]()

        def record(eta: Tensor, mean: Tensor, variance: Tensor) -> None:
            found.set_chain(independent_frames(mean, variance))
            found.set_assignments(eta.clamp(min=torch.finfo(eta.dtype).tiny).log())
            records.append(engine.record(found))

        mean, variance = cascade(model, scene)
        eta, mean, variance = iterate(model, scene, mean, variance, self.n_iterations, record)
        records = with_errors(records, records[-1]["elbo"], lambda: engine.record(found, seed=1))
        return Posterior(model, scene, found, *found.marginals(), eta, records, engine.name)


def _check_assignment(model: Any) -> None:
    """Whether p(w) is the paper's, which E-W here is of; a model without w is none that the algorithm knows.

    Raises:
        InputError: it is another.
    """
    if not isinstance(model, MixtureModel):
        return
    assignment = model.assignment
    if not assignment.per_observation or assignment.has_clutter or assignment.latent_name is not None:
        raise InputError(
            "the published algorithm is for an independent p(w) without clutter, and this is "
            f"{type(assignment).__name__}."
        )
