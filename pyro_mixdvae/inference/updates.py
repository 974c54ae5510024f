"""The closed-form updates of the paper: E-S, E-W, and what they hand to each other."""

from typing import NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.distributions import kalman
from pyro_mixdvae.inference import compiled
from pyro_mixdvae.models.likelihoods import Likelihood
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources import Sources


class PseudoObservation(NamedTuple):
    """What all detections together say of each source: a Gaussian with `value` and `precision`, [B, N, T, D] each.

    Zero precision where nothing is said.
    """

    value: Tensor
    precision: Tensor


def pseudo_observation(
    likelihood: Likelihood, scene: Scene, responsibilities: Tensor, arrays: compiled.Arrays | None = None
) -> PseudoObservation:
    """`sum_k eta_tkn Phi_tk^-1` and the mean that it belongs to; responsibilities [B, T, K, C], clutter unused.

    Labels enter as detections whose source is known.
    """
    if arrays is not None:
        return PseudoObservation(*compiled.pseudo_observation(arrays, responsibilities))
    eta = responsibilities[..., : scene.n_sources].unsqueeze(-1)
    weight = eta / likelihood.variances(scene)
    precision = weight.sum(-3).transpose(-3, -2)
    total = (weight * scene.observations.unsqueeze(-2)).sum(-3).transpose(-3, -2)
    if scene.label_mask.any():
        drawn = scene.label_mask.unsqueeze(-1) / likelihood.label_variances(scene)
        precision = precision + drawn
        total = total + drawn * scene.labels
    seen = precision > 0
    return PseudoObservation(torch.where(seen, total / torch.where(seen, precision, 1.0), 0.0), precision)


def running_mean(sources: Sources, start: Tensor, observation: PseudoObservation) -> Tensor:
    """The forward half of E-S, [B, N, T, D]: each frame's mean given the frames up to it; it feeds the prior's memory.

    As in the paper the decoder is evaluated at the running mean: a memory of means that have seen the future would take
    the straight line through a gap for a target that moves along straight lines.
    """
    memory = sources.begin(start)
    belief: kalman.Gaussian | None = None
    means = []
    for value, precision in zip(observation.value.unbind(-2), observation.precision.unbind(-2), strict=True):
        transition = sources.transition(memory)
        if belief is None:
            belief = kalman.Gaussian(transition.offset, transition.noise)
        else:
            belief = kalman.predict(belief, transition)
        belief = kalman.update(belief, value, precision)
        means.append(belief.mean[..., 0])
        memory = sources.remember(memory, means[-1], None)
    return torch.stack(means, -2)


class Fed(NamedTuple):
    """What the memory of the prior is fed, [B, N, T, D], and how it then enters each frame."""

    mean: Tensor
    transitions: kalman.Transition

    def replaced(self, scenes: Tensor, other: "Fed") -> "Fed":
        """The same but for some `scenes` [B]: `other` holds only these."""
        parts = (old.index_put((scenes,), new) for old, new in zip(self.transitions, other.transitions, strict=True))
        return Fed(self.mean.index_put((scenes,), other.mean), kalman.Transition(*parts))


def fed(sources: Sources, start: Tensor, observation: PseudoObservation) -> Fed:
    """The memory fed the running mean."""
    found = compiled.running_mean(sources, start, *observation)
    if found is not None:
        return Fed(*found)
    mean = running_mean(sources, start, observation)
    return Fed(mean, sources.transitions(mean, start))


def update_sources(
    transitions: kalman.Transition, observation: PseudoObservation, is_factorised: bool = False
) -> kalman.Chain:
    """E-S: q(s), or q(s, z), given q(w) and what the memory of the prior is fed.

    Given the memory the prior is a linear-Gaussian chain, and the update is its Kalman smoother: unlike the paper's,
    which runs forwards only, it sees the future. With `is_factorised` the frames are made independent (the paper's
    family): the same means and smaller variances.
    """
    chain = kalman.posterior(transitions, observation.value, observation.precision)
    if is_factorised:
        return kalman.factorised(transitions, chain, observation.precision)
    return chain


def expected_log_likelihood(model: MixtureModel, scene: Scene, chain: kalman.Chain) -> Tensor:
    """`E_q(s)[log p(o_tk | s_tn)]` for every class, [B, T, K, C]: what E-W needs."""
    return model.likelihood.expected_log_prob(
        scene, chain.mean[..., 0], chain.covariance[..., 0, 0], model.assignment.has_clutter
    )
