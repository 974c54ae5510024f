"""What decides which epoch is kept: the gain of held-out pieces at one look."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sounds import spectral_srnn

from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.recordings.clips import Clips
from pyro_mixdvae.separation.recordings.effects import NO_EFFECTS
from pyro_mixdvae.separation.recordings.examples import ClipExamples, Mixing
from pyro_mixdvae.separation.recordings.judging import FirstLook

TINY = STFT(16000, 64, 16)


class Band(torch.nn.Module):
    """Whatever it is fed, it emits power below a frequency, or above it."""

    def __init__(self, edge: int, is_low: bool):
        super().__init__()
        below = torch.arange(33) < edge
        self.emitted = torch.where(below == is_low, 1.0, 1e-9)

    def reconstructed(self, power: torch.Tensor) -> torch.Tensor:
        return self.emitted.expand_as(power)


def pieces(alone: float) -> ClipExamples:
    """A low tone in a high one."""
    time = np.arange(4000) / 16000
    low, high = (np.sin(2 * np.pi * pitch * time).astype(np.float32) for pitch in (1000, 6000))
    clips = [Clips([Path("a")], [samples], []) for samples in (low, high)]
    mixing = Mixing(alone=alone, synthetic=0, snr=(-10, 0), effects=NO_EFFECTS)
    return ClipExamples(*clips, TINY, 21, 30, [0], mixing)


def test_a_network_that_knows_its_band_gains_and_one_that_knows_another_loses() -> None:
    judge = FirstLook(pieces(0.3), Band(16, is_low=False), 0)
    right, wrong = (judge(Band(16, is_low=is_low)) for is_low in (True, False))
    assert right > 20
    assert wrong < 1
    assert judge(Band(16, is_low=True)) == right


def test_without_a_model_of_the_others_they_are_known_roughly() -> None:
    judge = FirstLook(pieces(0.3), None, 0)
    assert judge(Band(16, is_low=True)) > 5 > judge(Band(16, is_low=False))


def test_what_is_heard_alone_does_not_count() -> None:
    assert FirstLook(pieces(1.0), None, 0)(Band(16, is_low=True)) == 0


@pytest.mark.parametrize("has_partner", [False, True])
def test_networks_are_judged_without_gradients(has_partner: bool) -> None:
    torch.set_default_dtype(torch.float32)
    networks: list[SpectralSRNN] = [spectral_srnn(33) for _ in range(2)]
    gain = FirstLook(pieces(0.3), networks[1] if has_partner else None, 0)(networks[0])
    assert np.isfinite(gain)
    assert all(parameter.grad is None for parameter in networks[0].parameters())
