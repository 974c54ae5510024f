"""What inference asks of an engine: the steps of filtering, smoothing, assigning, fitting and recording.

An engine is made for a model and a batch of scenes, once a run (`registry.chain_engine`); inference says in which order
the steps are taken. The engine in PyTorch takes any model and reads like the equations, the compiled one knows the
parts that ship for boxes; a test holds the two to each other.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Chain, Gaussian, Transition
from pyro_mixdvae.guides.contract import Guide
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.contract import map_state

Record = dict[str, Tensor]
"""The terms of the ELBO and their sum under "elbo", one number a scene: [B] each.

Under `STANDARD_ERROR` that of the sum: zero where all terms have a closed form; else, in what inference gives, that of
one draw of (s, z) (`inference.records`).
"""

STANDARD_ERROR = "standard error"


class Filtered(NamedTuple):
    """What a filtering pass found.

    Attributes:
        mean: of the filtered content [B, N, T, D].
        responsibilities: [B, T, K, C].
        log_likelihood: [B, T, K, C], of each detection under each class, predicted from the frames before.
        transitions: of the prior along the means; None where two passes, there and back, have been put together.
        belief: mean and covariance of the filtered states [B, N, T, D, S], where the engine keeps them.
        carried: what the filter has carried into each frame, where it was asked to keep that: tensors [B, *] in a
            structure of the engine's own (`map_state`), one a frame; or one tensor [T, B, *].
    """

    mean: Tensor
    responsibilities: Tensor
    log_likelihood: Tensor
    transitions: Transition | None = None
    belief: Gaussian | None = None
    carried: Sequence[Any] | Tensor | None = None

    def scenes(self, index: Tensor) -> "Filtered":
        """Some scenes of the batch: a mask [B], or numbers [M]."""
        transitions = self.transitions and Transition(*(part[index] for part in self.transitions))
        belief = self.belief and Gaussian(*(part[index] for part in self.belief))
        carried = None
        if self.carried is not None:
            carried = [map_state(lambda part: part[index], frame) for frame in self.carried]
        own = self.mean[index], self.responsibilities[index], self.log_likelihood[index]
        return Filtered(*own, transitions, belief, carried)

    def replaced(self, scenes: Tensor, other: "Filtered", since: int = 0) -> "Filtered":
        """The same but for some `scenes`, a mask [B] or numbers [M], from a frame on: `other` holds only these.

        What is carried as one tensor is written over, for it is large: nothing goes on from what was there before.
        """

        def put(old: Tensor, new: Tensor, dim: int = 2) -> Tensor:
            kept = old[scenes].narrow(dim, 0, since)
            return old.index_put((scenes,), torch.cat([kept, new], dim) if since else new)

        transitions = belief = None
        if self.transitions is not None and other.transitions is not None:
            transitions = Transition(*map(put, self.transitions, other.transitions))
        if self.belief is not None and other.belief is not None:
            belief = Gaussian(*map(put, self.belief, other.belief))
        mean = put(self.mean, other.mean)
        responsibilities = put(self.responsibilities, other.responsibilities, 1)
        log_likelihood = put(self.log_likelihood, other.log_likelihood, 1)
        carried: Sequence[Any] | Tensor | None = None
        if isinstance(self.carried, Tensor) and isinstance(other.carried, Tensor):
            carried = self.carried
            carried[since:, scenes] = other.carried
        elif self.carried is not None and other.carried is not None:
            later = zip(self.carried[since:], other.carried, strict=True)
            moved = [map_state(lambda old, new: old.index_put((scenes,), new), *pair) for pair in later]
            carried = [*self.carried[:since], *moved]
        return Filtered(mean, responsibilities, log_likelihood, transitions, belief, carried)


def carried_into(carried: Sequence[Any] | Tensor, scenes: Tensor, frames: Tensor) -> Any:
    """What a filter has carried into frame `frames` [M] of scene `scenes` [M], as one batch of M scenes.

    What is no tensor in it is that of the latest of the frames: of the first some know that they are.
    """
    if isinstance(carried, Tensor):
        return carried[frames, scenes]
    order = frames.argsort(descending=True, stable=True)
    picked = [
        map_state(lambda part, b=b: part[b : b + 1], carried[t])
        for b, t in zip(scenes[order].tolist(), frames[order].tolist(), strict=True)
    ]
    back = order.argsort()
    return map_state(lambda *parts: torch.cat(parts)[back], *picked)


class PseudoObservation(NamedTuple):
    """What all detections together say of each source: a Gaussian with `value` and `precision`, [B, N, T, D] each.

    Zero precision where nothing is said.
    """

    value: Tensor
    precision: Tensor


class TeacherForced(NamedTuple):
    """What the memory of the prior is fed, [B, N, T, D], and how it then enters each frame."""

    mean: Tensor
    transitions: Transition

    def replaced(self, scenes: Tensor, other: "TeacherForced") -> "TeacherForced":
        """The same but for some `scenes` [B]: `other` holds only these."""
        parts = (old.index_put((scenes,), new) for old, new in zip(self.transitions, other.transitions, strict=True))
        return TeacherForced(self.mean.index_put((scenes,), other.mean), Transition(*parts))


class ChainEngine(Protocol):
    """The steps of inference in a mixture whose sources are Gaussian chains given their memory.

    Attributes:
        name: "torch" or "numba".
        model: of now; its likelihood may be replaced as the noise is fitted (`with_model`).
        scene: the batch.
    """

    name: str
    model: Any
    scene: Scene

    def with_model(self, model: Any) -> "ChainEngine":
        """The engine of a model whose noise or assignment is another, for the same scene."""

    def with_scene(self, model: Any, scene: Scene) -> "ChainEngine":
        """The engine of the same kind for another scene: some scenes, or some frames, or another start."""

    def windows(self, found: Filtered, scenes: Tensor, frames: Tensor) -> "ChainEngine":
        """The engine of M stretches of L frames, `scenes` [M] and `frames` [M, L], each one after the other.

        They begin with what the pass `found` has carried into them (it was asked to keep it), none with frame 0.
        """

    def filter(self, is_hard: bool = True, penalties: Tensor | None = None, keeps: bool = False) -> Filtered:
        """A forward pass: predict with the prior, assign, update, frame by frame.

        With `is_hard` each frame takes its most likely assignment, else the mean over all. `penalties` [B, T, K, C] are
        added to the log likelihood where it assigns, and nowhere else. With `keeps` the pass can be gone on with from
        any frame (`windows`).
        """

    def teacher_forced(self, observation: PseudoObservation, index: Tensor | None = None) -> TeacherForced:
        """The running mean of E-S, which feeds the prior's memory; of some scenes [B] only, if given."""

    def observe(self, responsibilities: Tensor, at: tuple[Tensor, Tensor] | None) -> PseudoObservation:
        """What detections and labels say of each source under eta [B, T, K, C].

        `at` are mean and variance of q(s) [B, N, T, D], where sites depend on it.
        """

    def smooth(self, transitions: Transition, observation: PseudoObservation) -> Chain:
        """The exact posterior chain of a linear-Gaussian prior."""

    def set_chain(self, guide: Any, chain: Chain) -> None:
        """`Collapsed.set_chain`."""

    def update_latent(self, guide: Any, responsibilities: Tensor) -> Assignment:
        """E-V: moves the factor of what the assignment brings; `exp E_q(v)[log p(w | v)]`, by which E-W weighs."""

    def filtered_assignment(self, responsibilities: Tensor) -> Assignment:
        """p(w_t | w_<t) of all frames, given responsibilities [B, T, K, C]."""

    def log_evidence(self, found: Filtered) -> Tensor:
        """`log p(o_t, K_t | o_<t)` of each frame, [B, T], by what a filtering pass has predicted of it."""

    def assign(self, guide: Guide, chain: Chain, assignment: Assignment) -> Tensor:
        """E-W: moves q(w), where the guide has one, and gives the responsibilities [B, T, K, C]."""

    def scale_statistic(self, chain: Chain, responsibilities: Tensor) -> Tensor:
        """The mean of `Likelihood.scale_statistic` over the detections of each scene, by responsibilities: [B].

        Each detection counts by the share of its coordinates that are given.
        """

    def record(self, guide: Guide, n_particles: int = 1, seed: int = 0) -> Record:
        """The ELBO and its terms; the noise of (s, z) is the same each time, so that records can be compared."""

    def marginals(self, guide: Guide) -> tuple[Tensor, Tensor]:
        """Mean and variance of q(s_tn), [B, N, T, D] each."""
