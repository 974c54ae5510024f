"""Resynthesis: clean sounds from the powers that a network reconstructs, with the phases of the sounds themselves."""

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.recordings.clips import Clips
from pyro_mixdvae.separation.scores.measures import si_sdr

LONGEST = 10.0  # seconds of a clip that are scored


@torch.no_grad()
def resynthesis_scores(network: SpectralSRNN, clips: Clips, stft: STFT) -> dict[str, float]:
    """Mean SI-SDR of clips in dB: "teacher", the history being fed the true powers, and "free", its own outputs."""
    scores: dict[str, list[float]] = {"teacher": [], "free": []}
    for samples in clips.samples:
        samples = samples[: int(LONGEST * stft.rate)]
        spectrum = stft.spectrum(torch.from_numpy(samples))
        power = squared_modulus(spectrum)
        for mode, found in (("teacher", network.reconstructed(power)), ("free", reconstructed_freely(network, power))):
            resynthesised = stft.waveform(torch.polar(found.sqrt(), spectrum.angle()), len(samples))
            scores[mode].append(si_sdr(samples.astype(np.float64), resynthesised.double().numpy()))
    return {mode: round(float(np.nanmean(values)), 2) for mode, values in scores.items()}


def reconstructed_freely(network: SpectralSRNN, power: Tensor) -> Tensor:
    """v_s at the central path of q(z | s), the history of the decoder being fed its own output: [T, F] -> [T, F].

    The encoder is given the sound itself.
    """
    history = network.history(network.teacher_forced(power))
    path = network.latent_posterior(history, power).central_path()
    own = torch.zeros_like(power[0])
    state = network.history.init_state(own)
    found = []
    for z in path:
        state = network.history.update_state(network.to_input(own), state)
        own = network.power(state[0], z)
        found.append(own)
    return torch.stack(found)
