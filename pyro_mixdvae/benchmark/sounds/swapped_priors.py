"""Other priors p(s, z) in the one model, and its start alone: what the DVAEs in it are worth.

The paper's model has a w: one sound wins each frequency. With a linear and Gaussian p(s) in place of the DVAEs it is
the variational Kalman filter of sounds (VKF): `s_tf ~ N_c(D s_{t-1,f}, v_tf)`. Here D = 0, as from one frame of the
transform to the next a phase turns by an angle that depends on where between two of its frequencies a tone lies. All
that is left to know are the powers v: those of the true sources, or those that DVAEs make of the mixture.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_mixdvae.baselines.sounds.contract import Estimates
from pyro_mixdvae.benchmark.sounds.mixdvae import of_posterior, peaks
from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.models.likelihoods.spectral import sound_scene
from pyro_mixdvae.models.sources.sound import SoundSources
from pyro_mixdvae.networks.given_power import GivenPower
from pyro_mixdvae.separation.separator import Separator

FLOOR = 1e-6
"""Added to powers, where the peak is 1: the floor of the networks that ship."""


@dataclass(frozen=True)
class OracleKalmanFilter:
    """VKF-Oracle: the powers are those of the true sources."""

    separator: Separator

    def separate(self, mixtures: Tensor, truth: Tensor) -> Estimates:
        """As `SoundMethod.separate`."""
        scaled = truth / peaks(mixtures).unsqueeze(1)
        powers = squared_modulus(self.separator.stft.spectrum(scaled)) + FLOOR
        return of_posterior(self.separator, mixtures, _filtered(self.separator, mixtures, powers))


@dataclass(frozen=True)
class StartedKalmanFilter:
    """VKF-DVAE-init: the powers are those that each DVAE makes of the mixture, and stay so."""

    separator: Separator

    def separate(self, mixtures: Tensor, truth: Tensor) -> Estimates:
        """As `SoundMethod.separate`."""
        powers = start_powers(self.separator, mixtures)
        return of_posterior(self.separator, mixtures, _filtered(self.separator, mixtures, powers))


@dataclass(frozen=True)
class Start:
    """DVAE-init: what each DVAE makes of the mixture's magnitudes, with the phases of the mixture."""

    separator: Separator

    def separate(self, mixtures: Tensor, truth: Tensor) -> Estimates:
        """As `SoundMethod.separate`."""
        stft, peak = self.separator.stft, peaks(mixtures).unsqueeze(1)
        phase = torch.sgn(stft.spectrum(mixtures)).unsqueeze(1)
        magnitude = start_powers(self.separator, mixtures).sqrt()
        return Estimates(peak * stft.waveform(magnitude * phase, mixtures.shape[-1]))


@torch.no_grad()
def start_powers(separator: Separator, mixtures: Tensor) -> Tensor:
    """What the network of each source makes of mixtures [B, n] at a peak of 1, taking them for its source: v."""
    sources: SoundSources = separator.preset.model.sources
    power = squared_modulus(separator.stft.spectrum(mixtures / peaks(mixtures)))
    return sources.reconstructed(power.unsqueeze(1).expand(-1, len(separator.names), -1, -1))


def _filtered(separator: Separator, mixtures: Tensor, powers: Tensor) -> Posterior:
    """The posterior of the model whose p(s) has the powers v [B, N, T, F] at a peak of 1."""
    preset = separator.preset
    model = preset.model.replace(sources=SoundSources([GivenPower(own) for own in powers.unbind(1)]))
    scene = sound_scene(separator.stft.spectrum(mixtures / peaks(mixtures)), powers.shape[1])
    return infer(model, scene, preset.guide, preset.algorithm, seed=separator.seed)
