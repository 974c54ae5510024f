"""The default start: a filtering pass that predicts with the prior, assigns, and updates, frame by frame."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian, Transition, predict, update, update_uncertain
from pyro_mixdvae.inference import compiled
from pyro_mixdvae.models.assignments import Assignment
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene


class Filtered(NamedTuple):
    """Means of the filtered content [B, N, T, D], and responsibilities [B, T, K, C].

    `log_likelihood` [B, T, K, C] is that of each detection under each class, predicted from the frames before;
    `transitions` are those of the prior along the means, where one pass went through all frames and gave them.
    """

    mean: Tensor
    responsibilities: Tensor
    log_likelihood: Tensor
    transitions: Transition | None = None

    def scenes(self, index: Tensor) -> "Filtered":
        """Some scenes of the batch: a mask [B], or numbers [M]."""
        transitions = self.transitions and Transition(*(part[index] for part in self.transitions))
        return Filtered(self.mean[index], self.responsibilities[index], self.log_likelihood[index], transitions)

    def replaced(self, scenes: Tensor, other: "Filtered") -> "Filtered":
        """The same but for some `scenes`, a mask [B] or numbers [M]: `other` holds only these."""

        def put(old: Tensor, new: Tensor) -> Tensor:
            return old.index_put((scenes,), new)

        transitions = None
        if self.transitions is not None and other.transitions is not None:
            transitions = Transition(*map(put, self.transitions, other.transitions))
        mean, responsibilities, log_likelihood = map(put, self[:3], other[:3])
        return Filtered(mean, responsibilities, log_likelihood, transitions)


def filtering_start(
    model: MixtureModel, scene: Scene, first: int = 0, decides: bool = True, arrays: compiled.Arrays | None = None
) -> Filtered:
    """Filter forwards from frame `first`, where `scene.start` [B, N, D] is known, and backwards to frame 0.

    `decides` and `arrays` as in `filtering_pass`. The prior is used in both directions of time: what is learned of
    speeds and noises holds in either.
    """
    arrays = arrays if first == 0 else None
    return bidirectional(lambda part: filtering_pass(model, part, decides, arrays), scene, first)


def bidirectional(one_way: Callable[[Scene], Filtered], scene: Scene, first: int) -> Filtered:
    """From frame `first` to the last, and back from there to frame 0, each by `one_way`, which starts at its first."""
    if first == 0:
        return one_way(scene)
    forwards = one_way(scene.frames(slice(first, None)))
    backwards = one_way(scene.frames(torch.arange(first, -1, -1)))
    return Filtered(
        torch.cat([backwards.mean.flip(-2)[..., :-1, :], forwards.mean], -2),
        torch.cat([backwards.responsibilities.flip(1)[:, :-1], forwards.responsibilities], 1),
        torch.cat([backwards.log_likelihood.flip(1)[:, :-1], forwards.log_likelihood], 1),
    )


class Frame(NamedTuple):
    """What one frame says: detections [B, K, D], which of them exist [B, K], and Phi [B, K, N, D].

    `clutter` [B, K] is each detection's log density as clutter (None: the model has none); `label` and
    `label_precision` [B, N, D] are boxes drawn by a person (None: there are none in this frame).
    """

    observed: Tensor
    mask: Tensor
    variances: Tensor
    clutter: Tensor | None
    label: Tensor | None
    label_precision: Tensor | None


class Step(NamedTuple):
    """One frame filtered: how it was entered, the belief before and after its detections, log p(o | w) [B, K, C]."""

    transition: Transition
    predicted: Gaussian
    belief: Gaussian
    log_likelihood: Tensor
    responsibilities: Tensor


def frames_of(model: MixtureModel, scene: Scene) -> list[Frame]:
    """The T frames of a scene."""
    likelihood = model.likelihood
    clutter = likelihood.clutter_log_prob(scene).unbind(1) if model.assignment.has_clutter else None
    precision = scene.label_mask.unsqueeze(-1) / likelihood.label_variances(scene)
    is_labelled = scene.label_mask.any((0, 1)).tolist()
    parts = zip(scene.observations.unbind(1), scene.mask.unbind(1), likelihood.variances(scene).unbind(1), strict=True)
    return [
        Frame(
            *part,
            clutter[t] if clutter else None,
            scene.labels[:, :, t] if is_labelled[t] else None,
            precision[:, :, t] if is_labelled[t] else None,
        )
        for t, part in enumerate(parts)
    ]


def filter_frame(
    model: MixtureModel,
    assignment: Assignment,
    memory: Any,
    belief: Gaussian | None,
    frame: Frame,
    decides: bool = True,
    vetoes: Tensor | None = None,
) -> Step:
    """Predict with the prior, assign, update; `belief` is that of the frame before, None at the first.

    `assignment` is p(w_t | w_<t), `model.assignment.at` what it remembers. `vetoes` [B, K, C] are added to the log
    likelihood where it decides, and nowhere else.
    """
    likelihood = model.likelihood
    transition = model.sources.transition(memory)
    predicted = predict(belief, transition) if belief else Gaussian(transition.offset, transition.noise)
    belief = predicted
    if frame.label is not None and frame.label_precision is not None:
        belief = update(belief, frame.label, frame.label_precision)
    spread = frame.variances + belief.covariance[..., 0, 0].unsqueeze(-3)
    log_likelihood = likelihood.log_prob(frame.observed, belief.mean[..., 0], spread)
    if frame.clutter is not None:
        log_likelihood = torch.cat([log_likelihood, frame.clutter.unsqueeze(-1)], -1)
    decide = assignment.most_likely if decides else assignment.responsibilities
    judged = log_likelihood if vetoes is None else log_likelihood + vetoes
    eta = decide(judged.unsqueeze(1), frame.mask.unsqueeze(1)).squeeze(1)
    owned = eta[..., : assignment.n_sources]
    # Detections that may share a source do not exclude one another: they are taken in one after the other.
    each = [slice(k, k + 1) for k in range(frame.observed.shape[-2])]
    for group in each if assignment.per_observation else [slice(None)]:
        belief = update_uncertain(belief, frame.observed[:, group], frame.variances[:, group], owned[:, group])
    return Step(transition, predicted, belief, log_likelihood, eta)


@torch.no_grad()
def filtering_pass(
    model: MixtureModel,
    scene: Scene,
    decides: bool = True,
    arrays: compiled.Arrays | None = None,
    vetoes: Tensor | None = None,
) -> Filtered:
    """Forwards through the scene: detections are judged by the predictive density `N(o; m, Phi + V)`.

    With `decides` each frame takes its most likely assignment: where targets cross, a mean over assignments would
    merge them for good. Without, it takes the mean (JPDA). The prior's memory is fed the filtered means. Labels count
    as detections whose source is known. `arrays` are those of the model and the scene, where there are such already;
    `vetoes` [B, T, K, C] are added to the log likelihood where the pass assigns, and nowhere else.
    """
    arrays = arrays or compiled.arrays_of(model, scene)
    if arrays is not None:
        return Filtered(*compiled.filtering_pass(arrays, decides, vetoes))
    memory = model.sources.begin(scene.start)
    belief: Gaussian | None = None
    state: Tensor | None = None
    means, responsibilities, log_likelihoods = [], [], []
    for t, frame in enumerate(frames_of(model, scene)):
        veto = None if vetoes is None else vetoes[:, t]
        assignment = model.assignment.frames(slice(t, t + 1)).at(state)
        step = filter_frame(model, assignment, memory, belief, frame, decides, veto)
        belief = step.belief
        state = model.assignment.remember(state, step.responsibilities)
        memory = model.sources.remember(memory, belief.mean[..., 0], None)
        means.append(belief.mean[..., 0])
        responsibilities.append(step.responsibilities)
        log_likelihoods.append(step.log_likelihood)
    return Filtered(torch.stack(means, -2), torch.stack(responsibilities, 1), torch.stack(log_likelihoods, 1))
