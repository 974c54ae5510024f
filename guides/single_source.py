"""The guide of one source, for pre-training: q(z | s)."""

import pyro
from pyro import poutine
from pyro.nn import PyroModule
from torch import Tensor

from pyro_mixdvae.networks.dvae import DVAE


class SingleSourceGuide(PyroModule):
    """`q(z | s)`: the encoder of the network that the model holds too (the two share its recurrence)."""

    def __init__(self, network: DVAE):
        super().__init__()
        self.network = network

    def forward(self, y: Tensor, inputs: Tensor, kl_scale: float = 1.0, seen: Tensor | None = None) -> None:
        """Arguments as in `SingleSource.forward`; the encoder is given `seen` (`DVAE.seen_input`), y if None.

        Without z (L = 0) there is nothing to draw.
        """
        if self.network.latent_dim == 0:
            return
        with pyro.plate("tracks", y.shape[0]), poutine.scale(scale=kl_scale):
            pyro.sample("z", self.network.sequence_posterior(inputs, y if seen is None else seen))
