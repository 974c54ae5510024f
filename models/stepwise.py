"""The same generative model frame by frame, with `pyro.markov`: the executable specification.

Every factor of the paper is a sample statement of its own; dozens of times slower than `MixtureModel`, and equal to it.
"""

from dataclasses import replace
from typing import Any, ClassVar

import pyro
import torch
from pyro import poutine
from pyro.distributions import Categorical, TorchDistribution, constraints
from pyro.ops.indexing import Vindex
from torch import Tensor

from pyro_mixdvae.distributions.selected import Selected
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.assignments.persistent import PersistentAssignment
from pyro_mixdvae.models.mixture import DetectionCount, MixtureModel, per_detection
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.contract import Sources


class StepwiseMixtureModel(MixtureModel):
    """`prod_t p(s_t, z_t | s_<t, z_<t) p(v_t | v_{t-1}) p(w_t, K_t | v_t) p(o_t | w_t, s_t)`, one frame after another.

    Sites `sz_0`, `v_0`, `count_0`, `w_0`, `o_0`, `sz_1`, ...; otherwise as `MixtureModel`. v_t is one variable a frame,
    of 2^N values, whose bit n says whether source n is visible (3^N where it may be absent). For teaching and tests, T
    up to 20 or so.
    """

    def forward(self, scene: Scene, generate: bool = False) -> tuple[Tensor, Tensor]:
        """Arguments and returns as `MixtureModel.forward`."""
        n_scenes, n_frames, n_detections = scene.mask.shape
        scenes = pyro.plate("scenes", n_scenes, dim=-3)
        state = self.sources.init_state(scene.start[:, None, None])
        scales = self.likelihood.noise.scale(scene)
        hides = isinstance(self.assignment, PersistentAssignment)
        shared = self.assignment if hides else self.sample_latent(scene, scenes)
        visible: Tensor | None = None
        contents, classes, masks, means = [], [], [], []
        for t in pyro.markov(range(n_frames)):
            frame = scene.frames(slice(t, t + 1))
            mask = frame.mask
            one = pyro.plate(f"frame_{t}", 1, dim=-2)
            observations = pyro.plate(f"observations_{t}", n_detections, dim=-1)

            # p(s_t, z_t | s_<t, z_<t)
            with scenes, poutine.mask(mask=scene.present[:, t, None, None]):
                sz = pyro.sample(f"sz_{t}", SourceStep(self.sources, state, scene.n_sources))
            s, z = sz.split([self.sources.content_dim, self.sources.latent_dim], -1)
            state = self.sources.update_state(state, s, z)

            # p(v_t | v_{t-1})
            assignment = shared.frames(slice(t, t + 1))
            if isinstance(assignment, PersistentAssignment):
                visible, assignment = self._visibility(t, visible, assignment, scene, scenes)

            # p(K_t | v_t)
            count = DetectionCount(assignment, mask)
            if not count.is_given:
                with scenes, one, poutine.mask(mask=frame.present.unsqueeze(-1)):
                    number = pyro.sample(f"count_{t}", count, obs=None if generate else count.observed)
                if generate:
                    mask = mask & (mask.cumsum(-1) <= number)
            masks.append(mask)

            # p(w_t | v_t, K_t)
            seen = poutine.mask(mask=mask)
            with scenes, one, per_detection(assignment, observations), per_detection(assignment, seen):
                w = pyro.sample(f"w_{t}", assignment.prior(mask), infer={"enumerate": "parallel"})

            # p(o_t | w_t, s_t)
            chosen = assignment.classes(w, n_detections)
            located = self.likelihood.locate(s[..., 0, 0, :, :].unsqueeze(-2))
            if generate:  # noise may be relative to the size of a detection drawn now or before
                picked = torch.take_along_dim(located, chosen.clamp(max=scene.n_sources - 1)[..., None, None], -2)
                means.append(picked.squeeze(-2))
                drawn, there = torch.cat(means, -3), torch.cat(masks, -2)
                given = there.unsqueeze(-1).expand_as(drawn)
                known = replace(scene.frames(slice(0, t + 1)), observations=drawn, mask=there, given=given)
                scale = self.likelihood.noise.scale(known)[..., -1:, :, :, :]
            else:
                scale = scales[:, t : t + 1]
            observed = None if generate else frame.observations
            with scenes, one, observations, seen:
                pyro.sample(f"o_{t}", self._emission(located, scale, chosen, frame, t), obs=observed)
            contents.append(s)
            # Where w is enumerated, its dimension is one or two places left of the plates, by turns (pyro.markov).
            classes.append(chosen.flatten(0, -4) if chosen.dim() > 4 else chosen)
        s = torch.stack(contents, -2)
        self.observe_labels(scene, s, scenes)
        return s[..., 0, 0, :, :, :], torch.cat(classes, -2)

    def _visibility(
        self, t: int, before: Tensor | None, assignment: PersistentAssignment, scene: Scene, scenes: pyro.plate
    ) -> tuple[Tensor, Assignment]:
        """p(v_t | v_{t-1}), and p(w_t | v_t)."""
        first, matrix = (part.expand(len(scene.present), *part.shape[1:]) for part in assignment.state_chain())
        n_states, n_values = first.shape[-1], first.shape[-1] ** scene.n_sources
        states = (
            torch.arange(n_values).unsqueeze(-1) // n_states ** torch.arange(scene.n_sources) % n_states
        )  # [S^N, N]
        if before is None:
            chance = (first.unsqueeze(-2) @ matrix).squeeze(-2)[:, :, states].prod(-1)[:, None]  # [B, 1, 1, S^N]
        else:
            each = matrix[:, :, states.unsqueeze(1), states.unsqueeze(0)].prod(-1).squeeze(1)  # [B, S^N, S^N]
            chance = Vindex(each[:, None, None])[..., before, :]
        known = assignment.log_known_states()
        with scenes:
            v = pyro.sample(f"v_{t}", Categorical(chance), infer={"enumerate": "parallel"})
            if known is not None:  # an observation of v
                own = known.expand(len(scene.present), -1, -1, -1)[:, 0, torch.arange(scene.n_sources), states].sum(-1)
                pyro.factor(f"u_{t}", Vindex(own[:, None, None])[..., v])
        return v, assignment.in_states(states[v].squeeze(-3))

    def _emission(self, located: Tensor, scale: Tensor, chosen: Tensor, frame: Scene, t: int) -> TorchDistribution:
        """p(o_t | w_t, s_t), the densities of all classes being evaluated once."""
        false = None
        if self.clutter is not None and self.assignment.has_clutter:
            false = self.clutter.frames(slice(t, t + 1)).density(frame)
        return Selected(self.likelihood.density(located, scale), chosen, false)


class SourceStep(TorchDistribution):
    """p(s_t, z_t | memory) of all sources: event (N, D + L), batch that of the memory without N."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.independent(constraints.real, 2)

    def __init__(self, sources: Sources, state: Any, n_sources: int, batch_shape: torch.Size = torch.Size()):  # noqa: B008
        self.sources = sources
        self.state = state
        event_shape = torch.Size([n_sources, sources.content_dim + sources.latent_dim])
        super().__init__(batch_shape, event_shape, validate_args=False)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "SourceStep":
        """The same step; the memory has the batch already."""
        return SourceStep(self.sources, self.state, self.event_shape[0], torch.Size(batch_shape))

    def sample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        """Draw (s_t, z_t) [*, N, D + L]; `sample_shape` must be empty."""
        step = self.sources.conditional(self.state)
        drawn = torch.cat(step.sample_pair(), -1)
        copies = self.batch_shape.numel() // drawn.shape[:-2].numel()
        if copies <= 1:
            return drawn
        # At the first frame the memory has no axis of samples yet, and each sample is to be a draw of its own.
        others = [torch.cat(step.sample_pair(), -1) for _ in range(copies - 1)]
        return torch.stack([drawn, *others]).reshape(self.batch_shape + self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(s_t, z_t | memory), summed over the sources."""
        s, z = value.split([self.sources.content_dim, self.sources.latent_dim], -1)
        return self.sources.conditional(self.state).log_prob_pair(s, z).sum(-1)
