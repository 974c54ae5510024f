"""The default start: a filtering pass that predicts with the prior, assigns, and updates, frame by frame."""

from typing import NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian, predict, update, update_uncertain
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene


class Filtered(NamedTuple):
    """Means of the filtered content [B, N, T, D], and responsibilities [B, T, K, C]."""

    mean: Tensor
    responsibilities: Tensor


def filtering_start(model: MixtureModel, scene: Scene, first: int = 0, decides: bool = True) -> Filtered:
    """Filter forwards from frame `first`, where `scene.start` [B, N, D] is known, and backwards to frame 0.

    `decides` as in `filtering_pass`. The prior is used in both directions of time: what is learned of speeds and
    noises holds in either.
    """
    forwards = filtering_pass(model, scene.frames(slice(first, None)), decides)
    if first == 0:
        return forwards
    backwards = filtering_pass(model, scene.frames(torch.arange(first, -1, -1)), decides)
    return Filtered(
        torch.cat([backwards.mean.flip(-2)[..., :-1, :], forwards.mean], -2),
        torch.cat([backwards.responsibilities.flip(1)[:, :-1], forwards.responsibilities], 1),
    )


@torch.no_grad()
def filtering_pass(model: MixtureModel, scene: Scene, decides: bool = True) -> Filtered:
    """Forwards through the scene: detections are judged by the predictive density `N(o; m, Phi + V)`.

    With `decides` each frame takes its most likely assignment: where targets cross, a mean over assignments would
    merge them for good. Without, it takes the mean (JPDA). The prior's memory is fed the filtered means. Labels count
    as detections whose source is known.
    """
    sources, likelihood, assignment = model.sources, model.likelihood, model.assignment
    variances = likelihood.variances(scene)
    clutter = likelihood.clutter_log_prob(scene).unbind(1) if assignment.has_clutter else None
    label_precision = scene.label_mask.unsqueeze(-1) / likelihood.label_variances(scene)
    is_labelled = scene.label_mask.any((0, 1)).tolist()
    memory = sources.begin(scene.start)
    belief: Gaussian | None = None
    means, responsibilities = [], []
    for t, (observed, mask, phi) in enumerate(
        zip(scene.observations.unbind(1), scene.mask.unbind(1), variances.unbind(1), strict=True)
    ):
        transition = sources.transition(memory)
        belief = predict(belief, transition) if belief else Gaussian(transition.offset, transition.noise)
        if is_labelled[t]:
            belief = update(belief, scene.labels[:, :, t], label_precision[:, :, t])
        log_prob = likelihood.log_prob(observed, belief.mean[..., 0], phi + belief.covariance[..., 0, 0].unsqueeze(-3))
        if clutter:
            log_prob = torch.cat([log_prob, clutter[t].unsqueeze(-1)], -1)
        decide = assignment.most_likely if decides else assignment.responsibilities
        eta = decide(log_prob.unsqueeze(1), mask.unsqueeze(1)).squeeze(1)
        owned = eta[..., : scene.n_sources]
        # Detections that may share a source do not exclude one another: they are taken in one after the other.
        each = [slice(k, k + 1) for k in range(observed.shape[-2])]
        for group in each if assignment.per_observation else [slice(None)]:
            belief = update_uncertain(belief, observed[:, group], phi[:, group], owned[:, group])
        mean = belief.mean[..., 0]
        memory = sources.remember(memory, mean, None)
        means.append(mean)
        responsibilities.append(eta)
    return Filtered(torch.stack(means, -2), torch.stack(responsibilities, 1))
