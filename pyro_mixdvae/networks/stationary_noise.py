"""A prior of steady noise: whatever is heard, each frequency has one power, which the mixture itself shows."""

from collections.abc import Callable

import torch
from torch import Tensor

from pyro_mixdvae.distributions.markov_gaussian import MarkovGaussian
from pyro_mixdvae.networks.layers import NoHistory
from pyro_mixdvae.networks.spectral_network import SpectralNetwork
from pyro_mixdvae.networks.spectral_srnn import LOUDEST

QUIET = 0.1
"""The share of the frames, of each frequency the quietest, in which a mixture is taken to be noise alone."""

WIDTH = 20
"""Bins to either side over which the spectrum of a noise is smooth: 300 Hz, so that it is not that of partials."""

LEAST = 1e-9
"""Power of a noise that is not there: far below the floors of networks of sounds."""

LEAST_RATIO = 0.1
"""Power of the rest to that of a noise, at least: else single bins would be left, "musical noise" (Cappé 1994)."""


class StationaryNoise(SpectralNetwork):
    """`s_tf ~ N_c(0, v_f)`, v being constants of each mixture, estimated from its quietest frames (`begun`).

    Its memory h_t is log v. Its z says nothing, `z ~ N(0, 1)` whatever is heard: it has as many as those of the
    networks beside it.

    Args:
        content_dim: F, frequencies.
        latent_dim: L.
    """

    history: "_Steady"
    floor = 0.0
    head_units = (0.0, 1.0)

    def __init__(self, content_dim: int = 513, latent_dim: int = 16):
        super().__init__()
        self.content_dim, self.latent_dim = content_dim, latent_dim
        self.history = _Steady(torch.zeros(1, content_dim))

    def begun(self, power: Tensor, present: Tensor) -> "StationaryNoise":
        """With the spectra of B mixtures, see `steady_spectrum`."""
        found = StationaryNoise(self.content_dim, self.latent_dim)
        found.history = _Steady(steady_spectrum(power, present).log().clamp(max=LOUDEST))
        return found

    def steady_power(self, like: Tensor) -> Tensor:
        """All of v."""
        return self.history(like).exp()

    def to_input(self, power: Tensor) -> Tensor:
        """As it is; nothing comes of it."""
        return power

    def head(self, h: Tensor, z: Tensor) -> Tensor:
        """The logarithm of v is the memory."""
        return h

    def head_given(self, h: Tensor) -> Callable[[Tensor], Tensor]:
        """`head` as a function of z."""
        return lambda z: h

    def power(self, h: Tensor, z: Tensor) -> Tensor:
        """v."""
        return h.exp()

    def latent_prior(self, h: Tensor, z_before: Tensor) -> tuple[Tensor, Tensor]:
        """Standard normal."""
        return torch.zeros_like(z_before), torch.ones_like(z_before)

    def latent_prior_given(self, h: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """`latent_prior` as a function of z_{t-1}."""
        return lambda z_before: self.latent_prior(h, z_before)

    def latent_posterior(self, h: Tensor, y: Tensor, present: Tensor | None = None) -> MarkovGaussian:
        """The prior."""
        return MarkovGaussian(self.latent_prior, h, self.latent_dim, present)

    def encode_power(self, power: Tensor, present: Tensor | None = None) -> tuple[Tensor, MarkovGaussian]:
        """log v of every frame, and what z is without it."""
        h = self.history(power)
        return h, self.latent_posterior(h, power, present)


def steady_spectrum(power: Tensor, present: Tensor) -> Tensor:
    """The power of the steady noise in mixtures of power |o|^2 [B, T, F]: [B, F].

    Sounds come and go, so that the quietest frames of a frequency are noise alone (Martin 2001, "Noise power spectral
    density estimation based on optimal smoothing and minimum statistics"). Of n powers with mean v, those of complex
    Gaussian numbers, the k-th smallest has the expectation `v (1/n + 1/(n-1) + ... + 1/(n-k+1))`. A tone that
    lasts for most of the frames would be taken for noise; it is narrow, so of neighbouring frequencies the median
    counts. Frames that are not `present` [B, T], or in which nothing is heard at all, say nothing.
    """
    heard = present & (power.sum(-1) > 0)
    ordered = torch.where(heard.unsqueeze(-1), power, torch.inf).sort(1).values
    spectra = []
    for own, n in zip(ordered, heard.sum(1).tolist(), strict=True):
        k = max(1, round(QUIET * n))
        expected = sum(1 / (n - i) for i in range(k)) if n else 1.0
        spectra.append(own[k - 1] / expected if n else torch.zeros_like(own[0]))
    log_power = (torch.stack(spectra) + LEAST).log()
    width = min(WIDTH, log_power.shape[-1] - 1)
    around = torch.nn.functional.pad(log_power.unsqueeze(1), (width, width), mode="reflect").squeeze(1)
    return around.unfold(-1, 2 * width + 1, 1).median(-1).values.exp()


def without_noise(power: Tensor, noise: Tensor, present: Tensor) -> Tensor:
    """The expected power of what is beside a noise of power v in mixtures of power |o|^2, all [B, T, F].

    By the Wiener filter `g = r / (r + v)`, `g^2 |o|^2 + g v`, in which r, the power of the rest, is what the mean over
    the bins around leaves beside v, and at least `LEAST_RATIO` of v. Frames that are not `present` [B, T] do not count.
    """
    counts = present.unsqueeze(-1).expand_as(power).to(power)
    around = _mean_around(counts * power) / _mean_around(counts).clamp(min=1 / 9)
    rest = torch.maximum(around - noise, LEAST_RATIO * noise)
    gain = rest / (rest + noise)
    return gain.square() * power + gain * noise


def _mean_around(values: Tensor) -> Tensor:
    """Over 3 by 3 frames and frequencies, [B, T, F] -> same; what is beyond the edges is 0."""
    return torch.nn.functional.avg_pool2d(values.unsqueeze(1), 3, 1, 1).squeeze(1)


class _Steady(NoHistory):
    """h [*, T, F] is log v [B, F], B being the last axis of [*] that is not 1."""

    def __init__(self, log_power: Tensor):
        super().__init__()
        self.register_buffer("log_power", log_power)
        self.log_power: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs [*, T, F] -> h of the same shape."""
        return self._of(inputs.shape[:-2]).unsqueeze(-2).expand(inputs.shape)

    def init_state(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """h [*, F], and no cell."""
        return self._of(like.shape[:-1]).expand(like.shape), like[..., :0]

    def _of(self, batch: torch.Size) -> Tensor:
        """As scenes of this batch shape have it, [1 or B in the place of B, F]."""
        if len(self.log_power) == 1:
            return self.log_power[0]
        n_ones = 0
        while batch[-1 - n_ones] == 1:
            n_ones += 1
        return self.log_power.reshape(len(self.log_power), *[1] * n_ones, -1)
