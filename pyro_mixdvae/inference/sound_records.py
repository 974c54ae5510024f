"""The record of sounds that add up, from the same draws as Pyro's and in closed form, where kernels can serve.

    ELBO = E_q[log p(o | s)] + E_q[log p(s, z) - log q(s | o) - log q(z | s)]

The noise of (s, z) is the same each time, so it is drawn once; what prior and encoder both hear of s is heard once.
"""

import torch
from torch import Tensor

from pyro_mixdvae.distributions.markov_gaussian import MarkovGaussian
from pyro_mixdvae.engines.numba import spectra
from pyro_mixdvae.engines.numba.compiled import array, can_serve
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.inference.records import Record
from pyro_mixdvae.models.sound_sources import SoundSources
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN


class AdditiveJudge:
    """Judges guides of B mixtures again and again.

    Args:
        sources: p(s, z), which the guides share.
        guide: any of these mixtures.
        seed: of the noise.
    """

    def __init__(self, sources: SoundSources, guide: AdditiveGuide, seed: int = 0):
        self.sources, self.present = sources, guide.present
        self.mixture, self.noise = array(guide.total), array(guide.noise)
        self.heads = sources.heads(guide.noise)
        shape, dtype = guide.log_powers.shape, guide.total.dtype
        generator = torch.Generator().manual_seed(seed)
        # In the order in which the guide draws.
        self.before = array(torch.randn(shape, dtype=dtype, generator=generator))
        self.error = array(torch.randn(guide.total.shape, dtype=dtype, generator=generator))
        path = (*guide.total.shape[:2], sources.latent_dim)
        self.latent_noise = [torch.randn(path, dtype=guide.noise.dtype, generator=generator) for _ in sources.each()]

    @staticmethod
    def can_judge(sources: SoundSources, guide: AdditiveGuide) -> bool:
        """Whether kernels can serve; no gradient may be wanted."""
        return can_serve(guide.log_powers, guide.noise, *sources.parameters())

    def record(self, guide: AdditiveGuide) -> Record:
        """What `records.evaluate` gives of model and guide."""
        powers = array(guide.log_powers.exp())
        drawn = spectra.draw(powers, self.mixture, self.noise, self.before, self.error)
        heard = torch.from_numpy(drawn.power)
        log_prior, log_encoder = torch.stack([self._source(n, heard[:, n]) for n in range(heard.shape[1])]).sum(0)
        log_seen, log_drawn = (self._total(torch.from_numpy(term)) for term in (drawn.log_seen, drawn.log_drawn))
        terms = {"log p(o|s)": log_seen, "log p(s,z)": log_prior, "- log q(s,z)": -log_drawn - log_encoder}
        return {**terms, "elbo": torch.stack(list(terms.values())).sum(0)}

    def _source(self, n: int, power: Tensor) -> Tensor:
        """log p(s, z) and log q(z | s) of the n-th source, [2, B], at |s|^2 [B, T, F] and a draw of z."""
        network: SpectralSRNN = self.sources.each()[n]
        h, encoder = network.listen(power, self.present)
        z = encoder.path(self.latent_noise[n])
        latent = MarkovGaussian(network.latent_prior, h, network.latent_dim, self.present).log_prob(z)
        heard, head = (array(part.flatten(0, 1)) for part in (power, network.head(h, z)))
        emitted = torch.from_numpy(spectra.log_density(heard, head, self.heads, n)).view(self.present.shape)
        return torch.stack([latent + self._total(emitted), encoder.log_prob(z)])

    def _total(self, per_frame: Tensor) -> Tensor:
        """The sum over the frames that are present: [B, T] to [B]."""
        return torch.where(self.present, per_frame, 0.0).sum(-1)
