"""One run of inference on a batch of scenes, by any of the ways to move the guide."""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.guides.source_guide import SourceGuide
from pyro_mixdvae.inference import compiled, published
from pyro_mixdvae.inference.coordinate import coordinate_ascent
from pyro_mixdvae.inference.records import Record, evaluate, judged
from pyro_mixdvae.inference.search import searched
from pyro_mixdvae.inference.start import Filtered, bidirectional, filtering_pass
from pyro_mixdvae.inference.svi import svi
from pyro_mixdvae.models.assignments import ExclusiveAssignment
from pyro_mixdvae.models.likelihoods import GaussianLikelihood
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.srnn_sources import SRNNSources

Method = Literal["coordinate", "svi", "hybrid"]
METHODS: tuple[Method, ...] = ("coordinate", "svi", "hybrid")

COORDINATE_ITERATIONS = 3
SVI_ITERATIONS = 100


class Inferred(NamedTuple):
    """What inference gives: the model as it was fitted to the scenes, the guide (q itself), the responsibilities

    [B, T, K, C], and a record an iteration; after SVI, whose records are of its own draws, one more of the guide that
    it ends with.
    """

    model: MixtureModel
    guide: SourceGuide
    responsibilities: Tensor
    records: list[Record]


def infer(
    model: MixtureModel,
    scene: Scene,
    method: Method = "coordinate",
    first: int = 0,
    n_iterations: int | None = None,
    is_factorised: bool = False,
    is_collapsed: bool = False,
    fine_tunes_prior: bool = False,
    seed: int = 0,
    n_updates: int = COORDINATE_ITERATIONS,
) -> Inferred:
    """The default algorithm: a filtering start with a search, then updates by `method`.

    Args:
        model: p(o, w, s, z); with `fine_tunes_prior` the weights of its prior change.
        scene: where `start` says where the sources are at frame `first`.
        method: how the guide moves.
        n_iterations: of coordinate updates (None: `n_updates`) or, for `svi` and `hybrid`, SVI steps (None: 100).
        is_factorised: q(s) of independent frames, the paper's family.
        is_collapsed: no q(w) in the guide; w is enumerated in the model.
        seed: of the draws of SVI.
        n_updates: of coordinate updates, where `n_iterations` does not give their number; `svi` makes one.
    """
    with torch.no_grad():
        model = type(model)(model.sources, model.assignment.fitted_to(scene), model.likelihood)
        arrays = compiled.arrays_of(model, scene)
        start = best_start(model, scene, first, arrays)
        assignment = model.assignment.between(start.responsibilities, scene.present, first)
        if first > 0:
            scene = scene.starting_at(start.mean[..., 0, :])
        if first > 0 or assignment is not model.assignment:
            model = type(model)(model.sources, assignment, model.likelihood)
            arrays = compiled.arrays_of(model, scene)
        judge, guide = judged(model, scene, is_collapsed)
        steps = n_updates if n_iterations is None or method == "hybrid" else n_iterations
        # SVI begins where one update of each factor puts the guide: without a place to start it has nothing to refine.
        steps = 1 if method == "svi" else steps
        responsibilities, records = coordinate_ascent(judge, guide, scene, start, steps, is_factorised, arrays)
    if method != "coordinate":
        judge.likelihood = judge.likelihood.fitted_to(scene, *guide.marginals(), responsibilities)
        count = SVI_ITERATIONS if n_iterations is None else n_iterations
        records += svi(judge, guide, scene, count, fine_tunes_prior=fine_tunes_prior, seed=seed)
        records.append(evaluate(judge, guide, scene))  # with the noise of the coordinate records, to compare with them
        responsibilities = final_responsibilities(judge, guide, scene)
    return Inferred(judge, guide, responsibilities, records)


@torch.no_grad()
def best_start(model: MixtureModel, scene: Scene, first: int = 0, arrays: compiled.Arrays | None = None) -> Filtered:
    """The start that all updates begin with, both ways from frame `first`; `arrays` as in `filtering_pass`.

    A pass that decides, a search where w is a joint event, and among clutter the better of that and the moments.
    """
    arrays = arrays if first == 0 else None

    def one_way(part: Scene) -> Filtered:
        start = filtering_pass(model, part, arrays=arrays)
        if isinstance(model.assignment, ExclusiveAssignment):
            start = searched(model, part, start)
        is_crowded = (part.mask.sum(-1) > part.n_sources).any(-1)
        return better_start(model, part, start, is_crowded, arrays) if is_crowded.any() else start

    return bidirectional(one_way, scene, first)


def better_start(
    model: MixtureModel, scene: Scene, decided: Filtered, is_crowded: Tensor, arrays: compiled.Arrays | None = None
) -> Filtered:
    """For each scene with more detections than sources [B], the better of two starts: it decides, or takes the moments.

    Deciding keeps targets apart that cross, but one wrong decision among clutter can lead a source away for good. What
    judges is how well either foresaw the detections: `sum_t log p(o_t | o_<t)`.
    """

    def foreseen(start: Filtered) -> Tensor:
        assignment = model.assignment.along(start.responsibilities, scene.present)
        return torch.where(scene.present, assignment.log_evidence(start.log_likelihood, scene.mask), 0.0).sum(-1)

    averaged = filtering_pass(model, scene, decides=False, arrays=arrays)
    take = is_crowded & (foreseen(averaged) > foreseen(decided))
    return decided.replaced(take, averaged.scenes(take))


def infer_published(
    model: MixtureModel,
    scene: Scene,
    method: Method = "coordinate",
    n_iterations: int | None = None,
    fine_tunes_prior: bool = False,
    seed: int = 0,
    n_updates: int = published.ITERATIONS,
) -> Inferred:
    """The published algorithm (see `published`), recorded by the same judge; SVI may follow. Arguments as `infer`.

    Raises:
        TypeError: the model is not the published one: an SRNN with a Gaussian likelihood.
    """
    sources, likelihood = model.sources, model.likelihood
    if not isinstance(sources, SRNNSources) or not isinstance(likelihood, GaussianLikelihood):
        raise TypeError("the published algorithm is for SRNNSources and GaussianLikelihood")
    _, guide = judged(model, scene)
    assert isinstance(guide, MeanField)  # its assignment is independent, which can always be enumerated
    mean_field = guide
    records: list[Record] = []

    def record(eta: Tensor, mean: Tensor, variance: Tensor) -> None:
        mean_field.set_chain(_independent(mean, variance))
        mean_field.set_assignments(eta.clamp(min=torch.finfo(eta.dtype).tiny).log())
        records.append(evaluate(model, mean_field, scene))

    with torch.no_grad():
        steps = n_updates if n_iterations is None or method == "hybrid" else n_iterations
        mean, variance = published.cascade(sources, likelihood, scene)
        eta, mean, variance = published.iterate(
            sources, likelihood, scene, mean, variance, 1 if method == "svi" else steps, record
        )
    if method != "coordinate":
        count = SVI_ITERATIONS if n_iterations is None else n_iterations
        records += svi(model, guide, scene, count, fine_tunes_prior=fine_tunes_prior, seed=seed)
        records.append(evaluate(model, guide, scene))
        eta = guide.responsibilities(scene)
    return Inferred(model, guide, eta, records)


@torch.no_grad()
def final_responsibilities(model: MixtureModel, guide: SourceGuide, scene: Scene, n_draws: int = 32) -> Tensor:
    """q(w) of a mean-field guide; for a collapsed one `E_q(s)[p(w | o, s)]` over draws of s; [B, T, K, C]."""
    if isinstance(guide, MeanField):
        return guide.responsibilities(scene)
    chain = guide.chain()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        draws = [
            model.assignment.responsibilities(_log_likelihood_at(model, scene, chain.rsample()[..., 0]), scene.mask)
            for _ in range(n_draws)
        ]
    return torch.stack(draws).mean(0)


def _log_likelihood_at(model: MixtureModel, scene: Scene, s: Tensor) -> Tensor:
    return model.likelihood.expected_log_prob(scene, s, torch.zeros_like(s), model.assignment.has_clutter)


def _independent(mean: Tensor, variance: Tensor) -> Chain:
    """Means and variances [B, N, T, D] as a chain whose frames are independent."""
    matrix = variance[..., None, None]
    return Chain(mean.unsqueeze(-1), torch.zeros_like(matrix), matrix, matrix)
