"""p(w | pi) p(pi): mixing weights that are learned from the scene, with their uncertainty."""

import pyro
import torch
from pyro.distributions import Dirichlet
from torch import Tensor, nn

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.assignments.contract import Factor
from pyro_mixdvae.models.assignments.independent import IndependentAssignment
from pyro_mixdvae.models.scene import Scene


class LearnedWeights(IndependentAssignment):
    """`pi ~ Dirichlet(alpha)`, `w_tk ~ Cat(pi)`: how often each source, or clutter, is detected is one more latent.

    Args:
        n_sources: N.
        concentration: alpha of every source.
        clutter: alpha of clutter, relative to that of a source; 0: there is none.

    Raises:
        InputError: N < 1, a concentration that is not positive, a negative share of clutter.
    """

    latent_name = "pi"
    alpha: Tensor

    def __init__(self, n_sources: int, concentration: float = 1.0, clutter: float = 0.0):
        if not concentration > 0 or not clutter >= 0:
            raise InputError(f"a concentration of {concentration}, clutter {clutter}: give more than 0, and 0 or more.")
        super().__init__(n_sources, clutter / (max(n_sources, 1) + clutter))
        alpha = [concentration] * n_sources + [concentration * clutter] * self.has_clutter
        self.register_buffer("alpha", torch.tensor(alpha))

    def latent_prior(self, scene: Scene) -> Dirichlet:
        """p(pi): batch [B, 1, 1], event (C,)."""
        return Dirichlet(self.alpha.expand(len(scene.present), 1, 1, -1))

    def given(self, value: Tensor) -> "LearnedWeights":
        """p(w | pi), pi [*, B, C]."""
        return self.replace(log_prior=value.log()[..., None, None, :])

    def factor(self, scene: Scene) -> "Weights":
        """q(pi), at first the prior."""
        return Weights(self.alpha.expand(len(scene.present), -1), "pi")


class Weights(Factor):
    """`q(pi) = Dirichlet(c)`: c [B, C] the parameters, by their logarithms."""

    alpha: Tensor

    def __init__(self, alpha: Tensor, name: str):
        super().__init__()
        self.name = name
        self.register_buffer("alpha", alpha.clone())
        self.log_concentration = nn.Parameter(alpha.log())

    def forward(self) -> Tensor:
        """Draw pi [*, B, 1, 1, C]."""
        return pyro.sample(self.name, Dirichlet(self.log_concentration.exp()[:, None, None]))

    @torch.no_grad()
    def update(self, responsibilities: Tensor, assignment: LearnedWeights, present: Tensor) -> None:
        """`c = alpha + sum_tk eta_tk`, eta [B, T, K, C]."""
        self.log_concentration.copy_((self.alpha + responsibilities.sum((1, 2))).log())

    @torch.no_grad()
    def expected(self, assignment: LearnedWeights) -> LearnedWeights:
        """`E_q[log pi] = psi(c) - psi(sum c)` as log weights."""
        concentration = self.log_concentration.exp()
        mean = torch.digamma(concentration) - torch.digamma(concentration.sum(-1, keepdim=True))
        return assignment.replace(log_prior=mean[:, None, None])
