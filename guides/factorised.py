"""The guide of the paper: q(w | o) prod_t q(s_t | o) q(z | s), every frame by itself."""

from torch import Tensor

from pyro_mixdvae.distributions.kalman import Chain, Transition, factorised
from pyro_mixdvae.guides.mean_field import MeanField


class Factorised(MeanField):
    """`q(s | o) = prod_t q(s_t | o)`: the means of the chain's posterior, and variances that are no larger."""

    def project(self, chain: Chain, transitions: Transition, precision: Tensor) -> Chain:
        """The fully factorised Gaussian nearest to the chain in KL(q || p)."""
        return factorised(transitions, chain, precision, self.present)
