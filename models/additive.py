"""The generative model of sound without w: sources simply add up, those that are not silent."""

from dataclasses import replace

import pyro
from pyro import poutine
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import as_spectrum
from pyro_mixdvae.distributions.silence import Rates, SilenceChain
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.likelihoods.spectral import SpectralLikelihood, shared_scale
from pyro_mixdvae.models.mixture import plates
from pyro_mixdvae.models.part import Part, Self
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.silence import Silence
from pyro_mixdvae.models.sources.contract import Sources


class AdditiveModel(Part):
    """`p(o | s, v) p(v) p(s, z)`, `o_tf | s, v ~ p(o | sum_n v_tn s_n,tf)`: sounds overlap; in `MixtureModel` one wins.

    Args:
        sources: p(s, z).
        likelihood: of the sum; `N_c(sum_n v_tn s_n, v_o)` for `ComplexNormal`.
        silence: p(v), which sources sound when; None: all do throughout, there is no v.

    Raises:
        InputError: a noise that is not the same for all sources.
    """

    def __init__(self, sources: Sources, likelihood: SpectralLikelihood, silence: Silence | None = None):
        super().__init__()
        if not likelihood.noise.is_shared():
            raise InputError(
                f"{type(likelihood.noise).__name__} is another noise for each source, and a sum of them has but one."
            )
        self.sources = sources
        self.likelihood = likelihood
        self.silence = silence

    def scenes(self: Self, index: Tensor) -> Self:
        """The model of some scenes of the batch, in the order of `index` [M]: parts that know scenes are cut."""
        return self if self.silence is None else self.replace(silence=self.silence.scenes(index))

    def forward(self, scene: Scene, generate: bool = False) -> Tensor:
        """Run the model on B scenes; with `generate` the mixture is drawn, not observed. Returns s [B, N, T, 2F]."""
        scenes, time, frequencies = plates(scene)

        # p(s, z)
        with scenes:
            sz = pyro.sample("sz", self.sources.sequence(scene.start[:, None, None], scene.present[:, None, None]))
            s, z = sz.split([self.sources.content_dim, self.sources.latent_dim], -1)
            pyro.deterministic("s", s, event_dim=3)
            pyro.deterministic("z", z, event_dim=3)

        # p(v)
        spectrum = as_spectrum(s[..., 0, 0, :, :, :])
        if self.silence is not None:
            with scenes:
                v = pyro.sample(self.silence.latent_name, self.placed(scene))
            spectrum = spectrum * v[..., 0, 0, :, :].unsqueeze(-1)

        # p(o | s, v); where nothing is observed yet, the noise is that of the sum itself
        total = spectrum.sum(-3).unsqueeze(-1)
        scale = shared_scale(self.likelihood, replace(scene, observations=total) if generate else scene)
        with scenes, time, frequencies, poutine.mask(mask=scene.mask):
            pyro.sample("o", self.likelihood.observe(total, scale), obs=None if generate else scene.observations)
        return s[..., 0, 0, :, :, :]

    def placed(self, scene: Scene) -> SilenceChain:
        """p(v, u) within the plates: batch [B, 1, 1], event (N, T)."""
        assert self.silence is not None
        prior = self.silence.prior(scene)
        return SilenceChain(Rates(*(rate[:, None, None] for rate in prior.rates)), prior.known[:, None, None])
