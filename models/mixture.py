"""The generative model p(o, w, s, z) = p(o | w, s) p(w | v) p(v) p(s, z)."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import pyro
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from pyro_mixdvae.distributions.selected import Selected
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.clutter import Clutter
from pyro_mixdvae.models.labels import Labels
from pyro_mixdvae.models.likelihoods.contract import Likelihood
from pyro_mixdvae.models.part import Part, Self
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.contract import Sources
from pyro_mixdvae.models.systematic import SystematicError
from pyro_mixdvae.plurals import counted

MAX_PLATE_NESTING = 3
"""Plates: scenes -3, time -2, observations -1. The sources stand in the event of `sz`: inside a plate that `o` is
outside of, a site that is not reparameterised would silently get no gradient."""


class Plates(NamedTuple):
    """The plates that model and guide run in; objects to be reused within a run, not made again."""

    scenes: pyro.plate
    time: pyro.plate
    observations: pyro.plate


def plates(scene: Scene) -> Plates:
    """Plates for B scenes (-3), T frames (-2) and K observations a frame (-1)."""
    n_scenes, n_frames, n_detections = scene.mask.shape
    return Plates(
        pyro.plate("scenes", n_scenes, dim=-3),
        pyro.plate("time", n_frames, dim=-2),
        pyro.plate("observations", n_detections, dim=-1),
    )


class MixtureModel(Part):
    """`p(o | w, s) p(w | v) p(v) p(s, z)`: a choice and a statement for each factor.

    Args:
        sources: p(s, z).
        assignment: p(w | v) p(v).
        likelihood: p(o | w, s) of what belongs to a source.
        clutter: p(o | w = none); needed where the assignment has that class.
        labels: p(label | s) of boxes that a person has drawn; needed where there are some.
        systematic: the error that repeats in every frame, which intervals hold; None: there is none.

    Raises:
        InputError: the parts do not go together; says which, and the two numbers.
    """

    def __init__(
        self,
        sources: Sources,
        assignment: Assignment,
        likelihood: Likelihood,
        clutter: Clutter | None = None,
        labels: Labels | None = None,
        systematic: SystematicError | None = None,
    ):
        super().__init__()
        if sources.n_sources is not None and sources.n_sources != assignment.n_sources:
            raise InputError(
                f"{type(sources).__name__} has {counted(sources.n_sources, 'source')} and {type(assignment).__name__} "
                f"{assignment.n_sources}: they have to be equal."
            )
        if assignment.has_clutter and clutter is None:
            raise InputError(f"{type(assignment).__name__} has a class of clutter: say what clutter looks like.")
        self.sources, self.assignment, self.likelihood = sources, assignment, likelihood
        self.clutter, self.labels, self.systematic = clutter, labels, systematic

    def scenes(self: Self, index: Tensor) -> Self:
        """The model of some scenes of the batch, in the order of `index` [M]: parts that know scenes are cut."""
        clutter = None if self.clutter is None else self.clutter.scenes(index)
        return self.replace(assignment=self.assignment.scenes(index), clutter=clutter)

    def frames(self: Self, index: slice | Tensor) -> Self:
        """The model of some frames, in the given order."""
        clutter = None if self.clutter is None else self.clutter.frames(index)
        return self.replace(assignment=self.assignment.frames(index), clutter=clutter)

    def windows(self: Self, scenes: Tensor, frames: Tensor) -> Self:
        """The model of M stretches of L frames each, as `Scene.windows`: of scene `scenes` [M] the frames [M, L]."""
        clutter = None if self.clutter is None else self.clutter.windows(scenes, frames)
        return self.replace(assignment=self.assignment.windows(scenes, frames), clutter=clutter)

    def forward(self, scene: Scene, generate: bool = False) -> tuple[Tensor, Tensor | None]:
        """Run the model on B scenes; `w` is enumerated where an ELBO enumerates.

        With `generate` the detections are drawn, not observed, and so is their number, up to what `scene.mask` has room
        for: `Predictive` then draws whole scenes; which detections there are says the site "mask". Returns s
        [B, N, T, D] and the classes of the detections [B, T, K]; None where w is summed out, its values being too many
        to list.
        """
        scenes, time, observations = plates(scene)

        # p(s, z)
        with scenes:
            sz = pyro.sample("sz", self.sources.sequence(scene.start[:, None, None], scene.present[:, None, None]))
            s, z = sz.split([self.sources.content_dim, self.sources.latent_dim], -1)
            pyro.deterministic("s", s, event_dim=3)
            pyro.deterministic("z", z, event_dim=3)
        contents = s[..., 0, 0, :, :, :]
        self.observe_labels(scene, s, scenes)

        # p(v)
        assignment = self.sample_latent(scene, scenes)
        if not assignment.can_enumerate(scene.mask.shape[-1]):
            self._observe_summed(scene, contents, assignment, scenes, time, generate)
            return contents, None

        # p(K | v): how many detections a frame has
        mask, count = scene.mask, DetectionCount(assignment, scene.mask)
        if not count.is_given:
            with scenes, time, poutine.mask(mask=scene.present.unsqueeze(-1)):
                number = pyro.sample("count", count, obs=None if generate else count.observed)
            if generate:
                mask = mask & (mask.cumsum(-1) <= number)
        if generate:
            with scenes, time, observations:
                pyro.deterministic("mask", mask, event_dim=0)

        # p(w | v, K)
        seen = poutine.mask(mask=mask)
        with scenes, time, per_detection(assignment, observations), per_detection(assignment, seen):
            w = pyro.sample("w", assignment.prior(mask), infer={"enumerate": "parallel"})

        # p(o | w, s)
        classes = assignment.classes(w, scene.mask.shape[-1])
        located = self.likelihood.locate(contents)
        scale = self.likelihood.noise.scale(self._sized(scene, located, classes, mask) if generate else scene)
        false = self.clutter.density(scene) if self.clutter is not None and assignment.has_clutter else None
        emission = Selected(self.likelihood.density(located, scale), classes, false)
        with scenes, time, observations, seen:
            pyro.sample("o", emission, obs=None if generate else scene.observations)
        return contents, classes

    def sample_latent(self, scene: Scene, scenes: pyro.plate) -> Assignment:
        """The statement of p(v), where the assignment has such a latent, and p(w | v)."""
        if self.assignment.latent_name is None:
            return self.assignment
        prior = self.assignment.latent_prior(scene)
        with scenes:
            v = pyro.sample(self.assignment.latent_name, prior)
        return self.assignment.given(v.squeeze(-1 - prior.event_dim).squeeze(-1 - prior.event_dim))

    def observe_labels(self, scene: Scene, s: Tensor, scenes: pyro.plate) -> None:
        """Boxes that a person has drawn are observations whose source is known: s [*, B, 1, 1, N, T, D]."""
        if self.labels is None or not scene.label_mask.any():
            return
        density = self.labels.observe(s, self.labels.scale(scene)[:, None, None])
        with scenes:
            pyro.sample(
                "labels",
                density.mask(scene.label_mask[:, None, None, ..., None]).to_event(3),
                obs=scene.labels[:, None, None],
            )

    def expected_log_likelihood(self, scene: Scene, mean: Tensor, variance: Tensor) -> Tensor:
        """`E_q(s)[log p(o_tk | w_tk = c, s)]` of every class, m and V [B, N, T, D] -> [B, T, K, C]: what E-W needs."""
        log_prob = self.likelihood.expected_log_prob(
            scene.observations.unsqueeze(-2),
            self.likelihood.locate(mean),
            self.likelihood.locate_variance(variance),
            self.likelihood.noise.scale(scene),
        )
        return self.with_clutter(scene, log_prob)

    def log_likelihood(self, scene: Scene, contents: Tensor) -> Tensor:
        """log p(o_tk | w_tk = c, s) at contents s [*, B, N, T, D] -> [*, B, T, K, C]."""
        log_prob = self.likelihood.log_prob(
            scene.observations.unsqueeze(-2), self.likelihood.locate(contents), self.likelihood.noise.scale(scene)
        )
        return self.with_clutter(scene, log_prob)

    def with_clutter(self, scene: Scene, log_prob: Tensor) -> Tensor:
        """Log densities of the sources' classes [*, B, T, K, N], and that of clutter beside them where there is one."""
        if self.clutter is None or not self.assignment.has_clutter:
            return log_prob
        false = self.clutter.density(scene).log_prob(scene.observations).unsqueeze(-1)
        return torch.cat([log_prob, false.expand(*log_prob.shape[:-1], 1)], -1)

    def _observe_summed(
        self,
        scene: Scene,
        contents: Tensor,
        assignment: Assignment,
        scenes: pyro.plate,
        time: pyro.plate,
        generate: bool,
    ) -> None:
        """`sum_w p(o | w, s) p(w | v)`, frame by frame, by the assignment's own algorithm."""
        if generate:
            raise InputError(
                f"{scene.mask.shape[-1]} detections of {assignment.n_sources} sources have too many joint events to "
                "draw one: make room for fewer detections."
            )
        evidence = assignment.log_evidence(self.log_likelihood(scene, contents), scene.mask)
        with scenes, time:
            pyro.factor("o", torch.where(scene.present, evidence, 0.0).unsqueeze(-1))

    def _sized(self, scene: Scene, located: Tensor, classes: Tensor, mask: Tensor) -> Scene:
        """The scene that is drawn, as the noise may know it: for a detection's size its source's stands in.

        located [*, B, T, K or 1, N, E], classes [*, B, T, K].
        """
        picked = torch.take_along_dim(located, classes.clamp(max=located.shape[-2] - 1)[..., None, None], -2).squeeze(
            -2
        )
        return replace(scene, observations=picked, mask=mask, given=mask.unsqueeze(-1).expand_as(picked))


class DetectionCount(TorchDistribution):
    """p(K_t | v), how many detections a frame has, as an assignment says it: batch [B, T, 1], event ().

    Attributes:
        is_given: the assignment says nothing of it, as in the paper.
        observed: the number of detections, [B, T, 1].
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.nonnegative_integer

    def __init__(self, assignment: Assignment, mask: Tensor, batch_shape: torch.Size | None = None):
        self.assignment, self.mask = assignment, mask
        self.observed = mask.sum(-1, keepdim=True)
        self.log_count = assignment.log_count(mask)
        self.is_given = self.log_count is None
        shape = self.observed.shape if self.log_count is None else self.log_count.unsqueeze(-1).shape
        super().__init__(batch_shape or shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "DetectionCount":
        """The same with a larger batch."""
        return DetectionCount(self.assignment, self.mask, torch.Size(batch_shape))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008 - torch's signature
        """Draw [*, B, T, 1]."""
        shape = torch.Size(sample_shape) + self.batch_shape
        return self.assignment.sample_count(self.mask.expand(*shape[:-1], -1)).unsqueeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density of the mask's own number of detections, [*, B, T, 1]; no other value is ever asked for."""
        assert self.log_count is not None  # else the number is given
        return self.log_count.unsqueeze(-1)


def per_detection(assignment: Assignment, context: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
    """The context where w is one variable a detection; nothing where it is one a frame."""
    return context if assignment.per_observation else nullcontext()
