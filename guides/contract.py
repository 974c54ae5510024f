"""q: the contract of a guide. Its Pyro program is written; what is read of it follows from its draws."""

from abc import abstractmethod
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import Tensor

from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene

N_DRAWS = 200


class Guide(Part):
    """q(w, s, z, ... | o) for a batch of scenes: made as `guide(model, scene)`, with the sites of the model.

    One of one's own writes `forward`; moments, draws and responsibilities are then those of its draws. The families
    that closed-form updates move (`Collapsed`, `MeanField`, ...) override these with closed forms.

    Args:
        model: p(o, w, s, z).
        scene: the batch that this guide is for.
    """

    def __init__(self, model: Any, scene: Scene):
        super().__init__()
        self.scene = scene

    @abstractmethod
    def forward(self, scene: Scene) -> Any:
        """The sample statements; the site "sz" is [*, B, 1, 1, N, T, D + L], content first."""

    @property
    def content_dim(self) -> int:
        """D."""
        return self.scene.start.shape[-1]

    @torch.no_grad()
    def sample(self, n_samples: int) -> Tensor:
        """Draws of the contents s, [n_samples, B, N, T, D]."""
        drawn = [poutine.trace(self).get_trace(self.scene).nodes["sz"]["value"] for _ in range(n_samples)]
        return torch.stack(drawn)[:, :, 0, 0, ..., : self.content_dim]

    @torch.no_grad()
    def marginals(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of q(s_tn), each [B, N, T, D]; by default of `N_DRAWS` draws."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            drawn = self.sample(N_DRAWS)
        return drawn.mean(0), drawn.var(0)

    def responsibilities(self) -> Tensor | None:
        """`eta_tkc = q(w_tk = c)`, [B, T, K, C]; None where w is left to the model."""
        return None


class Program(Guide):
    """A user's own Pyro program as a guide: any callable that takes the scene.

    Args:
        program: with a statement for "sz", and for every other latent of the model that it does not leave to it.
        scene: the batch.
    """

    def __init__(self, program: Any, scene: Scene, content_dim: int):
        super().__init__(None, scene)
        self.program, self._content_dim = program, content_dim
        self.name = getattr(program, "__name__", type(program).__name__)

    @property
    def content_dim(self) -> int:
        """D."""
        return self._content_dim

    def forward(self, scene: Scene) -> Any:
        """Run the program."""
        with pyro.settings.context(module_local_params=False):
            return self.program(scene)
