"""q(s | o) q(z | s) for sounds that add up: the sources are given their sum, so they are not independent."""

import pyro
import torch
from pyro.distributions import Delta
from torch import Tensor, nn

from pyro_mixdvae.distributions.complex_normal import as_content
from pyro_mixdvae.distributions.shared_sum import SharedSum
from pyro_mixdvae.guides.collapsed import draw_encoded
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.mixture import plates
from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene


class AdditiveGuide(Part):
    """`q(s_t | o_t)` the posterior of N Gaussians of powers v given their noisy sum, and `q(z | s)` the encoder.

    The parameters are the logarithms of v; with v those that p(s | z) gives, q(s | o) is the exact posterior given z:
    its means are the Wiener filter's.

    Args:
        model: whose sources and noise the guide shares.
        scene: the batch that this guide is for.
    """

    def __init__(self, model: AdditiveModel, scene: Scene):
        super().__init__()
        self.sources = model.sources
        total = scene.observations.squeeze(-1)
        self.register_buffer("total", total)
        self.register_buffer("noise", model.likelihood.noise.variance(total))
        self.register_buffer("present", scene.present)
        shape = (total.shape[0], scene.n_sources, *total.shape[1:])
        self.log_powers = nn.Parameter(torch.zeros(shape, dtype=scene.start.dtype, device=scene.start.device))

    @torch.no_grad()
    def set_powers(self, powers: Tensor) -> None:
        """Take over v [B, N, T, F]."""
        self.log_powers.copy_(powers.log())

    def posterior(self) -> SharedSum:
        """q(s | o): batch [B], event (N, T, F)."""
        return SharedSum(self.log_powers.exp(), self.total, self.noise, self.present)

    @torch.no_grad()
    def marginals(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of q(s_tn) as contents, each [B, N, T, 2F]; half of a variance is the real part's."""
        posterior = self.posterior()
        return as_content(posterior.mean), (posterior.variance / 2).repeat_interleave(2, -1)

    def forward(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """Draw `sz` for the scene of this guide. Returns s [*, B, 1, 1, N, T, 2F] and z."""
        q = SharedSum(
            self.log_powers.exp()[:, None, None],
            self.total[:, None, None],
            self.noise[:, None, None],
            self.present[:, None, None],
        )
        with plates(scene).scenes:
            spectrum = pyro.sample("q_s", q, infer={"is_auxiliary": True})
            s = as_content(spectrum)
            z = draw_encoded(self.sources, scene, s) if self.sources.latent_dim else s[..., :0]
            pyro.sample("sz", Delta(torch.cat([s, z], -1), event_dim=3))
        return s, z
