"""The mean-field guide q(w | o) q(s | o) q(z | s)."""

import pyro
import torch
from pyro import poutine
from pyro.distributions import Categorical
from torch import Tensor, nn

from pyro_mixdvae.guides.source_guide import SourceGuide
from pyro_mixdvae.models.assignments import Assignment
from pyro_mixdvae.models.mixture import per_detection, plates
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources import Sources


class MeanField(SourceGuide):
    """`q(w | o)` a Categorical, enumerated in the guide: the bound is then exact in w, as the paper's.

    Args:
        sources: the prior that the model holds too.
        assignment: the p(w) that the model holds too; it says what the values of w are.
        scene: the batch that this guide is for.
    """

    def __init__(self, sources: Sources, assignment: Assignment, scene: Scene):
        super().__init__(sources, scene)
        self.assignment = assignment
        with torch.no_grad():
            logits = assignment.prior_logits(scene.mask)
        self.logits = nn.Parameter(logits.clone(memory_format=torch.contiguous_format))

    @torch.no_grad()
    def set_assignments(self, logits: Tensor) -> None:
        """Take over the logits of an E-W step: [B, T, K, C], or [B, T, 1, E] over joint events."""
        self.logits.copy_(logits.log_softmax(-1))

    @torch.no_grad()
    def responsibilities(self, scene: Scene) -> Tensor:
        """`eta_tkc = q(w_tk = c)`, [B, T, K, C]; zero where there is no detection."""
        probability = self.logits.softmax(-1)
        if not self.assignment.per_observation:
            n_detections = scene.mask.shape[-1]
            values = torch.arange(probability.shape[-1], device=probability.device).unsqueeze(-1)
            member = nn.functional.one_hot(self.assignment.classes(values, n_detections), self.assignment.n_classes)
            probability = torch.einsum("bte,ekc->btkc", probability.squeeze(-2), member.to(probability.dtype))
        return probability * scene.mask.unsqueeze(-1)

    def forward(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """Draw `sz` and `w` for the scene of this guide."""
        scenes, time, observations = plates(scene)
        s, z = self.draw_sources(scene, scenes)
        seen = poutine.mask(mask=scene.mask)
        with scenes, time, per_detection(self.assignment, observations), per_detection(self.assignment, seen):
            pyro.sample("w", Categorical(logits=self.logits), infer={"enumerate": "parallel"})
        return s, z
