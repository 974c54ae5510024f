"""Mixtures to learn from, drawn on the device that learns: in batches what `separation/recordings` does by pieces.

Pieces of recordings at any speed and level, through microphones, rooms and loss of highs, with a little noise each; two
sources together, one of them alone, or speech in synthetic noise and tones; some in steady noise.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.recordings.clips import Clips, hold_out, read_clips

STFT_ = STFT()
RATE = STFT_.rate
KNOTS = 8
ROOM = 7680  # samples of an impulse response
OCTAVES = 5 / 12  # by which an instrument is played faster or slower, at most
OCTAVES_OF_SPEECH = 0.2


class Mixtures(NamedTuple):
    """Complex spectra [B, T, F] of speech, of the other source and of their mixture with noise of power [B, 1, F].

    Of each row, True or False [B], whether speech counts, whether the other source does, and whether it is a mixture of
    the two.
    """

    speech: Tensor
    other: Tensor
    observed: Tensor
    noise: Tensor
    has_speech: Tensor
    has_other: Tensor
    is_pair: Tensor


class Recordings:
    """Clips on a device, from which pieces of a length are cut.

    Args:
        clips: of one kind of source.
        length: samples of a piece.
        device: where they are kept.
    """

    def __init__(self, clips: Clips, length: int, device: torch.device):
        spare = int(length * 2**OCTAVES) + 8
        samples = [one for one in clips.samples if len(one) > spare + 100]
        starts = np.cumsum([0, *map(len, samples)])[:-1]
        counts = torch.tensor([len(one) - spare for one in samples], dtype=torch.float64)
        self.length = length
        self.samples = torch.from_numpy(np.concatenate(samples)).to(device)
        self.first = torch.from_numpy(starts).to(device)
        self.count, self.ends = counts.to(device), (counts.cumsum(0) / counts.sum()).to(device)

    def draw(self, n: int, share: float, octaves: float) -> Tensor:
        """[n, length]: every second is as likely; so large a share is played up to so many octaves faster or slower."""
        device = self.samples.device
        clip = torch.searchsorted(self.ends, torch.rand(n, device=device, dtype=torch.float64))
        clip = clip.clamp(max=len(self.first) - 1)
        start = self.first[clip] + (torch.rand(n, device=device, dtype=torch.float64) * self.count[clip]).long()
        speed = torch.where(chance(n, share, device), 2 ** uniform(n, -octaves, octaves, device), 1.0)
        at = 1 + torch.arange(self.length, device=device, dtype=torch.float32) * speed
        whole = at.floor()
        part, places = at - whole, start[:, None] + whole.long()
        before, here, after, beyond = (self.samples[places + k] for k in (-1, 0, 1, 2))
        cubic = 3 * (here - after) + beyond - before
        square = 2 * before - 5 * here + 4 * after - beyond
        return here + 0.5 * part * (after - before + part * (square + part * cubic))  # Catmull and Rom's spline


class Folders:
    """Recordings of speech, of instruments and of flutes, for learning or held out.

    Args:
        folders: of each.
        length: samples of a piece.
        device: where they are kept.
        seed: decides which clips are held out.
    """

    def __init__(self, folders: Sequence[Sequence[Path]], length: int, device: torch.device, seed: int):
        parts = [hold_out(read_clips(folder, RATE, RATE // 2), seed) for folder in folders]
        self.learned, self.held_out = (
            [Recordings(part[number], length, device) for part in parts] for number in range(2)
        )


def uniform(n: int, low: float, high: float, device: torch.device) -> Tensor:
    """[n, 1]."""
    return low + (high - low) * torch.rand(n, 1, device=device)


def chance(n: int, share: float, device: torch.device) -> Tensor:
    """True in so large a share of [n, 1]."""
    return torch.rand(n, 1, device=device) < share


def loudness(samples: Tensor) -> Tensor:
    """Root mean square [n, 1] of [n, length], never zero."""
    return (samples.square().mean(-1, keepdim=True) + 1e-10).sqrt()


def amplitude(decibels: Tensor) -> Tensor:
    """Factor of so many decibels."""
    return 10 ** (decibels / 20)


def line(n: int, length: int, knots: int, spread: float, device: torch.device) -> Tensor:
    """[n, length] through so many random points."""
    points = spread * torch.randn(n, 1, knots, device=device)
    return nn.functional.interpolate(points, length, mode="linear", align_corners=True)[:, 0]


def elsewhere(samples: Tensor) -> Tensor:
    """[n, length] through other microphones and rooms, some without highs, with a little noise: as loud as before."""
    n, length = samples.shape
    device, level = samples.device, loudness(samples)
    size = 2 * ((length + ROOM + 1) // 2)
    frequency = torch.linspace(0, RATE / 2, size // 2 + 1, device=device)
    spectrum = torch.fft.rfft(samples, size) * amplitude(_curve(n, frequency) * chance(n, 0.5, device))
    spectrum = spectrum * torch.fft.rfft(_room(n, device), size)
    cutoff = uniform(n, 3500.0, 7500.0, device)
    dulled = spectrum / (1 + (frequency / cutoff) ** 40)
    heard = torch.fft.irfft(torch.where(chance(n, 0.1, device), dulled, spectrum), size)[:, :length]
    heard = heard * (level / loudness(heard))
    shape = (frequency + 100) ** -uniform(n, 0.0, 0.5, device)
    noise = torch.fft.irfft(shape * torch.fft.rfft(torch.randn(n, size, device=device)), size)[:, :length]
    return heard + noise * (level / loudness(noise)) * amplitude(uniform(n, -55.0, -30.0, device))


def _curve(n: int, frequency: Tensor) -> Tensor:
    """Gains of microphones in decibels, smooth over the logarithm of frequency: [n, frequencies]."""
    places = torch.logspace(math.log10(60), math.log10(RATE / 2), KNOTS, device=frequency.device)
    own, knots = (frequency + 20).log(), (places + 20).log()
    above = torch.searchsorted(knots, own).clamp(1, KNOTS - 1)
    share = ((own - knots[above - 1]) / (knots[above] - knots[above - 1])).clamp(0, 1)
    gains = 4.0 * torch.randn(n, KNOTS, device=frequency.device)
    return gains[:, above - 1] * (1 - share) + gains[:, above] * share


def _room(n: int, device: torch.device) -> Tensor:
    """Impulse responses [n, ROOM]: the sound itself and, in some, noise that decays."""
    time = torch.arange(ROOM, device=device) / RATE
    decay = uniform(n, 0.1, 0.8, device)
    tail = torch.randn(n, ROOM, device=device) * torch.exp(-6.9 / decay * time) * (time < 0.6 * decay)
    tail = tail * (time >= uniform(n, 0.001, 0.01, device))
    tail = torch.cat([tail[:, :1], tail[:, 1:] + uniform(n, 0.0, 0.8, device) * tail[:, :-1]], 1)
    tail = tail / (tail.square().sum(-1, keepdim=True) + 1e-12).sqrt() * amplitude(-uniform(n, 0.0, 20.0, device))
    tail = tail * chance(n, 0.35, device)
    return torch.cat([torch.ones_like(tail[:, :1]), tail[:, 1:]], 1)


def coloured_noise(n: int, length: int, device: torch.device) -> Tensor:
    """[n, length] of random spectra and envelopes."""
    spectrum = torch.fft.rfft(torch.randn(n, length, device=device))
    colour = line(n, spectrum.shape[-1], 8, 2.5, device).exp()
    return torch.fft.irfft(spectrum * colour, length) * line(n, length, 10, 1.2, device).exp()


def harmonic_tones(n: int, length: int, device: torch.device) -> Tensor:
    """[n, length] of one or two voices, each a series of harmonics whose pitch glides and jumps."""
    total, time = torch.zeros(n, length, device=device), torch.arange(length, device=device) / length
    for voice in range(2):
        edges = torch.rand(n, 4, 1, device=device).sort(1).values
        jumps = (0.4 * torch.randn(n, 4, 1, device=device) * (time > edges)).sum(1).clamp(-0.7, 0.7)
        middle = uniform(n, math.log(70), math.log(1500), device)
        pitch = (middle + jumps + line(n, length, 12, 0.03, device)).exp()
        phase = torch.remainder(2 * math.pi * torch.cumsum(pitch.double() / RATE, -1), 2 * math.pi).float()
        decay = uniform(n, 0.5, 2.0, device)
        tones = torch.zeros_like(total)
        for harmonic in range(1, 13):
            loud = uniform(n, 0.2, 1.0, device) * harmonic**-decay * (harmonic * pitch < RATE / 2)
            tones = tones + loud * torch.sin(harmonic * phase)
        tones = tones * line(n, length, 10, 1.2, device).exp()
        total = total + (tones if voice == 0 else tones * chance(n, 0.5, device))
    return total


def draw_mixtures(recordings: Sequence[Recordings], n: int) -> Mixtures:
    """n mixtures of speech: with instruments in the first half, with flutes in the second.

    A twentieth has noise for the other source, a twentieth tones, a tenth is speech alone and a tenth the other alone.
    """
    of_speech, of_instruments, of_flutes = recordings
    length, device, half = of_speech.length, of_speech.samples.device, n // 2
    speech = elsewhere(of_speech.draw(n, 0.5, OCTAVES_OF_SPEECH))
    instruments, second = (of_instruments.draw(half, 0.5, OCTAVES) for _ in range(2))
    instruments = instruments + second * (loudness(instruments) / loudness(second)) * chance(half, 0.1, device)
    other = elsewhere(torch.cat([instruments, of_flutes.draw(n - half, 0.5, OCTAVES)]))
    kind = torch.rand(n, 1, device=device)
    other = torch.where(kind < 0.05, coloured_noise(n, length, device), other)
    other = torch.where((kind >= 0.05) & (kind < 0.1), harmonic_tones(n, length, device), other)
    speech = speech / loudness(speech) * amplitude(uniform(n, -38.0, -8.0, device))
    other = other * (loudness(speech) / loudness(other)) / amplitude(uniform(n, -15.0, 15.0, device))
    has_speech, sounds_other = kind < 0.9, (kind < 0.8) | (kind >= 0.9)
    noise = _steady_noise(n, length, device)
    heard = loudness(speech * has_speech + other * sounds_other)
    loud = amplitude(uniform(n, -32.0, -8.0, device)) * chance(n, 0.25, device)
    noise = STFT_.spectrum(noise * (heard / loudness(noise)) * loud)
    power = (noise.real.square() + noise.imag.square()).mean(1, keepdim=True)
    power = nn.functional.avg_pool1d(power, 9, 1, 4, count_include_pad=False)
    first = floored(STFT_.spectrum(speech)) * has_speech[..., None]
    rest = floored(STFT_.spectrum(other)) * sounds_other[..., None]
    is_known = kind >= 0.1
    flags = (has_speech, sounds_other & is_known, is_known & (kind < 0.8))
    return Mixtures(first, rest, first + rest + noise, power, *(flag[:, 0] for flag in flags))


def _steady_noise(n: int, length: int, device: torch.device) -> Tensor:
    spectrum = torch.fft.rfft(torch.randn(n, length, device=device))
    return torch.fft.irfft(spectrum * line(n, spectrum.shape[-1], 8, 1.0, device).exp(), length)


def floored(spectrum: Tensor) -> Tensor:
    """With noise of -35 dB of each frame's mean power at every frequency (`Mixing.floor`)."""
    noise = torch.view_as_complex(math.sqrt(0.5) * torch.randn(*spectrum.shape, 2, device=spectrum.device))
    power = spectrum.real.square() + spectrum.imag.square()
    return spectrum + noise * (10**-3.5 * power.mean(-1, keepdim=True)).sqrt()


def begin(networks: Sequence[SpectralSRNN], mixtures: Mixtures) -> None:
    """Untrained networks emit the mean spectra of speech, of instruments and of flutes."""
    half = len(mixtures.speech) // 2
    for network, part in zip(networks, (mixtures.speech, mixtures.other, mixtures.other[half:]), strict=True):
        network.begin_at(part.abs().square().mean((0, 1)))
