"""The generative model p(o, w, s, z) = p(o | w, s) p(w) p(s, z)."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import pyro
import torch
from pyro import poutine
from pyro.distributions import Normal
from torch import Tensor

from pyro_mixdvae.distributions.selected import Selected
from pyro_mixdvae.models.assignments import Assignment
from pyro_mixdvae.models.likelihoods import Likelihood
from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources import Sources

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
    """`p(o | w, s) p(w) p(s, z)`: three choices, three statements.

    Args:
        sources: p(s, z).
        assignment: p(w).
        likelihood: p(o | w, s).
    """

    def __init__(self, sources: Sources, assignment: Assignment, likelihood: Likelihood):
        super().__init__()
        self.sources = sources
        self.assignment = assignment
        self.likelihood = likelihood

    def forward(self, scene: Scene, generate: bool = False) -> tuple[Tensor, Tensor]:
        """Run the model on B scenes; `w` is enumerated where an ELBO enumerates.

        With `generate` the detections are drawn, not observed: `Predictive` then draws whole scenes, in the frames
        and for the detections that `scene.mask` allows. Returns s [B, N, T, D] and the classes of the detections
        [B, T, K].
        """
        scenes, time, observations = plates(scene)
        n_detections = scene.mask.shape[-1]

        # p(s, z)
        with scenes:
            sz = pyro.sample("sz", self.sources.sequence(scene.start[:, None, None], scene.present[:, None, None]))
            s, z = sz.split([self.sources.content_dim, self.sources.latent_dim], -1)
            pyro.deterministic("s", s, event_dim=3)
            pyro.deterministic("z", z, event_dim=3)
        self.observe_labels(scene, s, scenes)

        # p(w)
        seen = poutine.mask(mask=scene.mask)
        with scenes, time, per_detection(self.assignment, observations), per_detection(self.assignment, seen):
            w = pyro.sample("w", self.assignment.prior(scene.mask), infer={"enumerate": "parallel"})

        # p(o | w, s)
        classes = self.assignment.classes(w, n_detections)
        centres = self.likelihood.centres(self.with_clutter(scene, s)[..., 0, 0, :, :, :])
        sized = replace(scene, observations=picked(centres, classes)) if generate else scene
        variances = self.likelihood.class_variances(sized, self.assignment.has_clutter)
        emission = Selected(self.likelihood.observe(centres, variances), classes)
        with scenes, time, observations, seen:
            pyro.sample("o", emission, obs=None if generate else scene.observations)
        return s[..., 0, 0, :, :, :], classes

    def with_clutter(self, scene: Scene, s: Tensor) -> Tensor:
        """The centre of every class: s [*, B, 1, 1, N, T, D] -> [*, B, 1, 1, C, T, D]."""
        if not self.assignment.has_clutter:
            return s
        centre, _ = self.likelihood.clutter(scene)
        return torch.cat([s, centre[:, None, None, None, None, :].expand_as(s[..., :1, :, :])], -3)

    def observe_labels(self, scene: Scene, s: Tensor, scenes: pyro.plate) -> None:
        """Boxes that a person has drawn are observations whose source is known."""
        if not scene.label_mask.any():
            return
        spread = self.likelihood.label_variances(scene).sqrt()[:, None, None]
        labels = Normal(s, spread).mask(scene.label_mask[:, None, None, ..., None]).to_event(3)
        with scenes:
            pyro.sample("labels", labels, obs=scene.labels[:, None, None])


def picked(centres: Tensor, classes: Tensor) -> Tensor:
    """The centre of each detection's class: [B, T, K or 1, C, D] and [B, T, K] -> [B, T, K, D].

    Noise may be relative to a detection's size; for one that is yet to be drawn, its source's size stands for it.
    """
    return torch.take_along_dim(centres, classes[..., None, None], -2).squeeze(-2)


def per_detection(assignment: Assignment, context: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
    """The context where w is one variable a detection; nothing where it is one a frame."""
    return context if assignment.per_observation else nullcontext()
