"""Coordinate ascent: E-S and E-W in turn, each in closed form, from any start."""

import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.guides.source_guide import SourceGuide
from pyro_mixdvae.inference import compiled
from pyro_mixdvae.inference.records import Record, evaluate
from pyro_mixdvae.inference.start import Filtered
from pyro_mixdvae.inference.updates import (
    Fed,
    PseudoObservation,
    expected_log_likelihood,
    fed,
    pseudo_observation,
    update_sources,
)
from pyro_mixdvae.models.likelihoods import Likelihood
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene


@torch.no_grad()
def coordinate_ascent(
    model: MixtureModel,
    guide: SourceGuide,
    scene: Scene,
    start: Filtered,
    n_iterations: int,
    is_factorised: bool = False,
    arrays: compiled.Arrays | None = None,
) -> tuple[Tensor, list[Record]]:
    """Move the guide by `n_iterations` of E-S, E-W, M; E-Z is part of E-S, which runs the encoder or smooths z along.

    Args:
        model, guide: as `records.judged` gives them. Where the likelihood leaves its noise open, M gives the model
            another likelihood after every iteration but the last.
        start: means for the memory of the prior, and responsibilities.
        is_factorised: q(s) of independent frames, the paper's family, instead of a chain.
        arrays: those of the model and the scene, where there are such already.

    Returns:
        responsibilities [B, T, K, C] and a record an iteration.
    """
    arrays = arrays or compiled.arrays_of(model, scene)
    transitions = start.transitions or model.sources.transitions(start.mean, scene.start)
    memory, responsibilities = Fed(start.mean, transitions), start.responsibilities
    believed = responsibilities
    records = []
    for iteration in range(n_iterations):
        observation = pseudo_observation(model.likelihood, scene, responsibilities, arrays)
        # The running mean is a slow recursion, and the start's own while no assignment of the scene has moved.
        moved = (responsibilities - believed).abs().amax((-3, -2, -1)) > UNMOVED
        if moved.any():
            theirs = PseudoObservation(observation.value[moved], observation.precision[moved])
            memory = memory.replaced(moved, fed(model.sources, scene.start[moved], theirs))
            believed = torch.where(moved[:, None, None, None], responsibilities, believed)
        chain = update_sources(memory.transitions, observation, is_factorised)
        guide.set_chain(chain)
        responsibilities = _update_assignments(model, guide, scene, chain, arrays)
        records.append(evaluate(model, guide, scene, arrays=arrays))
        if iteration < n_iterations - 1:
            model.likelihood = _fitted_likelihood(model.likelihood, scene, chain, responsibilities, arrays)
            arrays = arrays and compiled.arrays_of(model, scene, arrays)
    return responsibilities, records


def _fitted_likelihood(
    likelihood: Likelihood, scene: Scene, chain: Chain, responsibilities: Tensor, arrays: compiled.Arrays | None
) -> Likelihood:
    """M."""
    if arrays is not None:
        return compiled.fitted_likelihood(arrays, likelihood, chain, responsibilities)
    return likelihood.fitted_to(scene, chain.mean[..., 0], chain.covariance[..., 0, 0], responsibilities)


def _update_assignments(
    model: MixtureModel, guide: SourceGuide, scene: Scene, chain: Chain, arrays: compiled.Arrays | None
) -> Tensor:
    """E-W; a guide without q(w) leaves w to the model, and the same responsibilities are the model's own."""
    if arrays is not None:
        return compiled.update_assignments(arrays, guide, chain)
    log_likelihood = expected_log_likelihood(model, scene, chain)
    if isinstance(guide, MeanField):
        guide.set_assignments(model.assignment.posterior_logits(log_likelihood, scene.mask))
        return guide.responsibilities(scene)
    return model.assignment.responsibilities(log_likelihood, scene.mask)


UNMOVED = 0.01
"""A change of the responsibilities that is too small to matter for the prior's memory."""
