"""The same generative model frame by frame, with `pyro.markov`: the executable specification.

Every factor of the paper is a sample statement of its own; dozens of times slower than `MixtureModel`, and equal to it.
"""

from dataclasses import replace
from typing import ClassVar

import pyro
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution, constraints
from pyro.ops.indexing import Vindex
from torch import Tensor

from pyro_mixdvae.models.mixture import MixtureModel, per_detection
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources import Sources


class StepwiseMixtureModel(MixtureModel):
    """`prod_t p(s_t, z_t | s_<t, z_<t) p(w_t) p(o_t | w_t, s_t)`, one frame after the other.

    Sites `sz_0`, `w_0`, `o_0`, `sz_1`, ...; otherwise as `MixtureModel`. For teaching and tests, T up to 20 or so.
    """

    def forward(self, scene: Scene, generate: bool = False) -> tuple[Tensor, Tensor]:
        """Arguments and returns as `MixtureModel.forward`."""
        n_scenes, n_frames, n_detections = scene.mask.shape
        scenes = pyro.plate("scenes", n_scenes, dim=-3)
        memory = self.sources.begin(scene.start[:, None, None])
        variances = self.likelihood.class_variances(scene, self.assignment.has_clutter)
        contents, classes, means = [], [], []
        for t in pyro.markov(range(n_frames)):
            observations = pyro.plate(f"observations_{t}", n_detections, dim=-1)
            seen = poutine.mask(mask=scene.mask[:, t : t + 1])

            # p(s_t, z_t | s_<t, z_<t)
            with scenes, poutine.mask(mask=scene.present[:, t, None, None]):
                sz = pyro.sample(f"sz_{t}", SourceStep(self.sources, memory, scene.n_sources))
            s, z = sz.split([self.sources.content_dim, self.sources.latent_dim], -1)
            memory = self.sources.remember(memory, s, z)

            # p(w_t)
            with scenes, per_detection(self.assignment, observations), per_detection(self.assignment, seen):
                prior = self.assignment.frames(slice(t, t + 1)).prior(scene.mask[:, t : t + 1])
                w = pyro.sample(f"w_{t}", prior, infer={"enumerate": "parallel"})

            # p(o_t | w_t, s_t)
            chosen = self.assignment.classes(w, n_detections)
            contents_now = self.with_clutter(scene, s.unsqueeze(-2))[..., 0, 0, :, :, :]
            centres = self.likelihood.centres(contents_now)
            mean = Vindex(centres)[..., chosen, :]
            if generate:  # noise may be relative to the size of a detection drawn now or before
                means.append(mean)
                sized = replace(scene.frames(slice(0, t + 1)), observations=torch.cat(means, -3))
                noise = self.likelihood.class_variances(sized, self.assignment.has_clutter)[..., -1:, :, :, :]
            else:
                noise = variances[:, t : t + 1]
            observed = None if generate else scene.observations[:, t : t + 1]
            with scenes, observations, seen:
                pyro.sample(f"o_{t}", self.likelihood.observe(mean, Vindex(noise)[..., chosen, :]), obs=observed)
            contents.append(s)
            # Where w is enumerated, its dimension is one or two places left of the plates, by turns (pyro.markov).
            classes.append(chosen.flatten(0, -4) if chosen.dim() > 4 else chosen)
        s = torch.stack(contents, -2)
        self.observe_labels(scene, s, scenes)
        return s[..., 0, 0, :, :, :], torch.cat(classes, -2)


class SourceStep(TorchDistribution):
    """p(s_t, z_t | memory) of all sources: event (N, D + L), batch that of the memory without N."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 2)

    def __init__(self, sources: Sources, memory: object, n_sources: int, batch_shape: torch.Size = torch.Size()):  # noqa: B008
        self.sources = sources
        self.memory = memory
        event_shape = torch.Size([n_sources, sources.content_dim + sources.latent_dim])
        super().__init__(batch_shape, event_shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "SourceStep":
        """The same step; the memory has the batch already."""
        return SourceStep(self.sources, self.memory, self.event_shape[0], torch.Size(batch_shape))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw (s_t, z_t) [*, N, D + L]; `sample_shape` must be empty."""
        drawn = torch.cat(self.sources.draw(self.memory), -1)
        copies = self.batch_shape.numel() // drawn.shape[:-2].numel()
        if copies <= 1:
            return drawn
        # At the first frame the memory has no axis of samples yet, and each sample is to be a draw of its own.
        others = [torch.cat(self.sources.draw(self.memory), -1) for _ in range(copies - 1)]
        return torch.stack([drawn, *others]).reshape(self.batch_shape + self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(s_t, z_t | memory), summed over the sources."""
        s, z = value.split([self.sources.content_dim, self.sources.latent_dim], -1)
        return self.sources.log_density_step(self.memory, s, z).sum(-1)
