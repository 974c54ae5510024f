"""q(v) q(s | v, o) q(z | s) for sounds that add up: the sources are given their sum, so they are not independent."""

from typing import Any

import pyro
import torch
from pyro.distributions import Delta
from torch import Tensor, nn

from pyro_mixdvae.distributions.complex_normal import as_content, squared_modulus
from pyro_mixdvae.distributions.shared_sum import SharedSum
from pyro_mixdvae.distributions.silent_sum import SilentSum
from pyro_mixdvae.guides.collapsed import draw_encoded
from pyro_mixdvae.guides.contract import Guide
from pyro_mixdvae.models.likelihoods.spectral import shared_scale
from pyro_mixdvae.models.mixture import plates
from pyro_mixdvae.models.part import closed_form
from pyro_mixdvae.models.scene import Scene


class AdditiveGuide(Guide):
    """`q(s_t | o_t)` the posterior of N Gaussians of powers v given their noisy sum, and `q(z | s)` the encoder.

    The parameters are the logarithms of v; with v those that p(s | z) gives, q(s | o) is the exact posterior given z:
    its means are the Wiener filter's. Where the likelihood is not Gaussian a site (`Likelihood.site`) stands for it:
    the sum is then not o, but the site's value, and the noise is that of the site.

    Where sources may be silent (`Silence`), `latent` is the factor q(v), and q(s | v, o) the posterior of the sources
    that sound, the others being as before any mixture. A q(s) independent of v would hold v where it is, v_o being so
    small.

    Args:
        model: `AdditiveModel`, whose sources the guide shares.
        scene: the batch that this guide is for.
    """

    def __init__(self, model: Any, scene: Scene):
        super().__init__(model, scene)
        self.sources = model.sources
        total = scene.observations.squeeze(-1)
        self.register_buffer("total", total)
        self.register_buffer("noise", shared_scale(model.likelihood, scene).squeeze(-1).square())
        self.register_buffer("present", scene.present)
        self.latent = None if model.silence is None else model.silence.factor(scene)
        shape = (total.shape[0], scene.n_sources, *total.shape[1:])
        self.log_powers = nn.Parameter(torch.zeros(shape, dtype=scene.start.dtype, device=scene.start.device))

    @torch.no_grad()
    def set_powers(self, powers: Tensor) -> None:
        """Take over v [B, N, T, F]."""
        self.log_powers.copy_(powers.log())

    def set_site(self, value: Tensor, noise: Tensor) -> None:
        """Take over what stands for the likelihood of the sum: a complex number and a variance, [B, T, F] each."""
        self.total, self.noise = value, noise

    def posterior(self) -> SharedSum | SilentSum:
        """q(s | o), event (N, T, F), batch [B]; where sources may be silent its moments."""
        given = self.all_sounding()
        return given if self.latent is None else SilentSum(given, self.latent.chances())

    def all_sounding(self) -> SharedSum:
        """q(s | o) where no source is silent: batch [B], event (N, T, F)."""
        return SharedSum(self.log_powers.exp(), self.total, self.noise, self.present)

    @torch.no_grad()
    def gains(self) -> Tensor:
        """Each source's share of the sum, [B, N, T, F]: the Wiener gains."""
        return self.posterior().gains

    @closed_form("forward", "posterior")
    @torch.no_grad()
    def marginals(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of q(s_tn) as contents, each [B, N, T, 2F]; half of a variance is the real part's."""
        posterior = self.posterior()
        mean, variance = as_content(posterior.mean), (posterior.variance / 2).repeat_interleave(2, -1)
        # Along o the means of the states lie apart, across it they do not.
        along = as_content(self.total).square().unsqueeze(1)
        power = squared_modulus(self.total).repeat_interleave(2, -1).unsqueeze(1)
        return mean, variance + posterior.gain_variance.repeat_interleave(2, -1) * (along - power / 2)

    @torch.no_grad()
    def heard(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of what is heard of each source, spectra [B, N, T, F]: nothing where it is silent."""
        posterior = self.posterior()
        return posterior.mean, posterior.heard_variance

    def forward(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """Draw `sz` for the scene of this guide. Returns s [*, B, 1, 1, N, T, 2F] and z."""
        q = self.all_sounding()
        powers, total, noise, present = (part[:, None, None] for part in (q.powers, q.total, q.noise, self.present))
        with plates(scene).scenes:
            who = None if self.latent is None else self.latent()
            per_scene = SharedSum(powers, total, noise, present, who)
            spectrum = pyro.sample("q_s", per_scene, infer={"is_auxiliary": True})
            s = as_content(spectrum)
            z = draw_encoded(self.sources, scene, s) if self.sources.latent_dim else s[..., :0]
            pyro.sample("sz", Delta(torch.cat([s, z], -1), event_dim=3))
        return s, z
