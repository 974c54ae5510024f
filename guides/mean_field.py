"""The mean-field guide q(w | o) q(s | o) q(z | s) q(v)."""

from copy import deepcopy
from typing import Any

import pyro
import torch
from pyro import poutine
from pyro.distributions import Categorical
from torch import Tensor, nn

from pyro_mixdvae.guides.collapsed import Collapsed
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.mixture import Plates, per_detection, plates
from pyro_mixdvae.models.part import closed_form
from pyro_mixdvae.models.scene import Scene


class MeanField(Collapsed):
    """`q(w | o)` a Categorical, enumerated in the guide: the bound is then exact in w, as the paper's.

    Where a frame has too many joint events to list them, the model sums w out, and so this guide has no q(w) either: it
    is `Collapsed`.

    Args:
        model: its assignment says what the values of w are.
        scene: the batch that this guide is for.
    """

    def __init__(self, model: Any, scene: Scene):
        super().__init__(model, scene)
        self.assignment: Assignment = model.assignment
        self.logits: nn.Parameter | None = None
        if self.assignment.can_enumerate(scene.mask.shape[-1]):
            with torch.no_grad():
                logits = self.assignment.prior_logits(scene.mask)
            self.logits = nn.Parameter(logits.clone(memory_format=torch.contiguous_format))

    # Closed forms of this program too: its sources are the same.
    marginals = Collapsed.marginals
    sample = Collapsed.sample

    @torch.no_grad()
    def set_assignments(self, logits: Tensor) -> None:
        """Take over the logits of an E-W step: [B, T, K, C], or [B, T, 1, E] over joint events."""
        if self.logits is not None:
            self.logits.copy_(logits.log_softmax(-1))

    def without_assignments(self) -> "MeanField":
        """A copy that leaves w to the model, its other factors as they are: the guide of the collapsed bound."""
        alone = deepcopy(self)
        alone.logits = None
        return alone

    @closed_form("forward", "draw_assignments")
    @torch.no_grad()
    def responsibilities(self) -> Tensor | None:
        """`eta_tkc = q(w_tk = c)`, [B, T, K, C]; zero where there is no detection."""
        return None if self.logits is None else self.assignment.marginals(self.logits, self.scene.mask)

    def forward(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """Draw "sz", "w" (and v) for the scene of this guide."""
        every = plates(scene)
        s, z = self.draw_sources(scene, every.scenes)
        self.draw_latent(every.scenes)
        self.draw_assignments(scene, every)
        return s, z

    def draw_assignments(self, scene: Scene, every: Plates) -> None:
        """The statement of q(w | o)."""
        if self.logits is None:
            return
        scenes, time, observations = every
        seen = poutine.mask(mask=scene.mask)
        with scenes, time, per_detection(self.assignment, observations), per_detection(self.assignment, seen):
            pyro.sample("w", Categorical(logits=self.logits), infer={"enumerate": "parallel"})
