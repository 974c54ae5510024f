"""The model of one source, for pre-training: p(s, z) with s observed."""

import pyro
from pyro import poutine
from pyro.nn import PyroModule
from torch import Tensor

from pyro_mixdvae.networks.dvae import DVAE


class SingleSource(PyroModule):
    """`p(s, z) = prod_t p(z_t | state_t) p(s_t | state_t, z_t)`, the DVAE of a single source.

    The content y that is observed here is what the network works on (see `DVAE`); the site carries the name of
    the paper's variable, `s`.
    """

    def __init__(self, network: DVAE):
        super().__init__()
        self.network = network

    def forward(self, y: Tensor, inputs: Tensor, kl_scale: float = 1.0, seen: Tensor | None = None) -> None:
        """Observe content y [B, T, D]; `inputs` [B, T, D] feed the recurrence (`DVAE.teacher_forced`, `mixed_inputs`).

        `kl_scale` warms the KL term up; the guide takes the same. `seen` is for the guide.
        """
        with pyro.plate("tracks", y.shape[0]):
            z = self._latent(inputs, kl_scale) if self.network.latent_dim else inputs[..., :0]
            pyro.sample("s", self.network.sequence_emission(inputs, z), obs=y)

    def _latent(self, inputs: Tensor, kl_scale: float) -> Tensor:
        with poutine.scale(scale=kl_scale):
            z: Tensor = pyro.sample("z", self.network.sequence_prior(inputs))
            return z
