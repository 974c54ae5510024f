"""q: the contract of a guide. Its Pyro program is written; what is read of it follows from its draws."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.process_state import alone, drawing, seeded

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
    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        """Draws of the contents s, [n_samples, B, N, T, D]; the generator is one of the CPU."""
        with drawing(generator, self.scene.start.device):
            drawn = [poutine.trace(self).get_trace(self.scene).nodes["sz"]["value"] for _ in range(n_samples)]
        return torch.stack(drawn)[:, :, 0, 0, ..., : self.content_dim]

    @torch.no_grad()
    def marginals(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of q(s_tn), each [B, N, T, D]; by default of `N_DRAWS` draws."""
        drawn = self.sample(N_DRAWS, seeded(0))
        return drawn.mean(0), drawn.var(0)

    def responsibilities(self) -> Tensor | None:
        """`eta_tkc = q(w_tk = c)`, [B, T, K, C]; None where w is left to the model."""
        return None


class Program(Guide):
    """A user's own Pyro program as a guide: any callable that takes the scene.

    What it declares by `pyro.param` is its own for this run (`values` reads it): it starts anew in the next, and the
    global store is left as it is.

    Args:
        program: with a statement for "sz", and for every other latent of the model that it does not leave to it.
        scene: the batch.
    """

    def __init__(self, program: Any, scene: Scene, content_dim: int):
        super().__init__(None, scene)
        self.program, self._content_dim = program, content_dim
        self.name = getattr(program, "__name__", type(program).__name__)
        self._store: dict[str, Any] = {"params": {}, "constraints": {}}
        with drawing(seeded(0), scene.start.device), poutine.block():
            self(scene)  # declares its parameters

    @property
    def content_dim(self) -> int:
        """D."""
        return self._content_dim

    def __call__(self, scene: Scene) -> Any:
        """Run the program among its own parameters, whichever way it declares them."""
        with alone, pyro.get_param_store().scope(self._store) as own:
            found = self.program(scene)
        self._store = own
        return found

    def forward(self, scene: Scene) -> Any:
        """Run the program."""
        return self(scene)

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Those of a module, and those that are declared by `pyro.param`."""
        yield from super().parameters(recurse)
        yield from self._store["params"].values()

    def values(self) -> dict[str, Tensor]:
        """What has become of each `pyro.param`, within its constraint."""
        with alone, pyro.get_param_store().scope(self._store):
            return {name: value.detach().clone() for name, value in pyro.get_param_store().items()}
