"""The generative model of sound without w: sources simply add up."""

import pyro
from pyro import poutine
from torch import Tensor

from pyro_mixdvae.models.complex_likelihood import ComplexLikelihood
from pyro_mixdvae.models.mixture import plates
from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources import Sources


class AdditiveModel(Part):
    """`p(o | s) p(s, z)`, `o_tf | s ~ N_c(sum_n s_n,tf, v_o,tf)`: sounds overlap; in `MixtureModel` one wins.

    Args:
        sources: p(s, z).
        likelihood: gives v_o.
    """

    def __init__(self, sources: Sources, likelihood: ComplexLikelihood):
        super().__init__()
        self.sources = sources
        self.likelihood = likelihood

    def forward(self, scene: Scene, generate: bool = False) -> Tensor:
        """Run the model on B scenes; with `generate` the mixture is drawn, not observed. Returns s [B, N, T, 2F]."""
        scenes, time, frequencies = plates(scene)

        # p(s, z)
        with scenes:
            sz = pyro.sample("sz", self.sources.sequence(scene.start[:, None, None], scene.present[:, None, None]))
            s, z = sz.split([self.sources.content_dim, self.sources.latent_dim], -1)
            pyro.deterministic("s", s, event_dim=3)
            pyro.deterministic("z", z, event_dim=3)

        # p(o | s)
        total = self.likelihood.centres(s[..., 0, 0, :, :, :]).sum(-2)
        noise = self.likelihood.noise(total if generate else scene.observations)
        with scenes, time, frequencies, poutine.mask(mask=scene.mask):
            pyro.sample("o", self.likelihood.observe(total, noise), obs=None if generate else scene.observations)
        return s[..., 0, 0, :, :, :]
