"""What a recording might have sounded like elsewhere: another microphone, room, noise, and loss of its highs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, next_fast_len, rfft

from pyro_mixdvae.separation.audio.reading import Samples

Random = np.random.Generator
Spectrum = npt.NDArray[np.complexfloating]


@dataclass(frozen=True)
class Effects:
    """Shares of the pieces that something is done to, and how much of it.

    Attributes:
        equalised: share that is heard by another microphone.
        colour: standard deviation of its gain in decibels, at each of some frequencies.
        in_room: share that is heard in another room.
        decay: seconds in which its reverberation falls by 60 dB, from and to.
        direct: decibels of the sound itself above its reverberation, from and to.
        dulled: share without highs, as codecs leave it.
        cutoff: hertz above which nothing is left then, from and to.
        noisy: share with noise in the background: all by default, for what is all but silent at some frequency would
            rule the likelihood of a power, although nobody hears it.
        noise: decibels of the noise relative to the sound, from and to.
    """

    equalised: float = 0.5
    colour: float = 4.0
    in_room: float = 0.35
    decay: tuple[float, float] = (0.1, 0.8)
    direct: tuple[float, float] = (0.0, 20.0)
    dulled: float = 0.1
    cutoff: tuple[float, float] = (3500.0, 7500.0)
    noisy: float = 1.0
    noise: tuple[float, float] = (-55.0, -30.0)

    def __call__(self, samples: Samples, random: Random, rate: int) -> Samples:
        """Of samples ``[n]``: as loud and as long as before."""
        if not (self.equalised or self.in_room or self.dulled or self.noisy):
            return samples
        n = len(samples)
        room = None
        if random.random() < self.in_room:
            room = _response(random, rate, random.uniform(*self.decay), random.uniform(*self.direct))
        size = next_fast_len(max(n, 16) + (len(room) if room is not None else 0), real=True)
        spectrum = rfft(samples, size)
        frequency = np.linspace(0, rate / 2, len(spectrum), dtype=np.float32)
        if random.random() < self.equalised:
            spectrum *= _curve(random, frequency, self.colour)
        if room is not None:
            spectrum *= rfft(room, size)
        if random.random() < self.dulled:
            spectrum *= 1 / (1 + (frequency / np.float32(random.uniform(*self.cutoff))) ** 40)
        energy = _energy(spectrum, size)
        wanted = float(np.square(samples, dtype=np.float64).sum())
        if energy > 0:
            spectrum *= np.float32(np.sqrt(wanted / energy))
        if random.random() < self.noisy:
            noise = _noise(random, frequency)
            level = random.uniform(*self.noise)
            # The noise lasts for the size of the transform, of which n samples are kept.
            ratio = np.sqrt(wanted * size / n / _energy(noise, size)) * 10 ** (level / 20)
            spectrum += np.float32(ratio) * noise
        changed: Samples = irfft(spectrum, size)[:n].astype(np.float32)
        return changed


NO_EFFECTS = Effects(equalised=0, in_room=0, dulled=0, noisy=0)


def _curve(random: Random, frequency: Samples, spread: float) -> Samples:
    """A smooth random gain over the logarithm of frequency."""
    knots = np.geomspace(60, frequency[-1], 8)
    decibels = np.interp(np.log(frequency + 20), np.log(knots + 20), random.normal(0, spread, len(knots)))
    return (10 ** (decibels / 20)).astype(np.float32)


def _response(random: Random, rate: int, decay: float, direct: float) -> Samples:
    """Impulse response of a room: the sound itself, and noise that decays from a few milliseconds later on."""
    tail = random.standard_normal(int(0.6 * decay * rate), dtype=np.float32)
    time = np.arange(len(tail), dtype=np.float32) / rate
    tail *= np.exp(np.float32(-6.9 / decay) * time)
    tail[: int(random.uniform(0.001, 0.01) * rate)] = 0
    tail[1:] += np.float32(random.uniform(0, 0.8)) * tail[:-1]  # walls take the highs
    tail *= np.float32(10 ** (-direct / 20)) / np.sqrt(np.square(tail).sum() + np.float32(1e-12))
    tail[0] = 1
    return tail


def _noise(random: Random, frequency: Samples) -> Spectrum:
    """The spectrum of steady noise, from white to falling by 3 dB an octave."""
    shape = (frequency + 100) ** np.float32(-random.uniform(0, 0.5))
    normal = random.standard_normal((2, len(frequency)), dtype=np.float32)
    return shape * (normal[0] + 1j * normal[1])


def _energy(spectrum: Spectrum, size: int) -> float:
    """Of the waveform [size]."""
    return float(np.square(np.abs(spectrum), dtype=np.float64).sum()) * 2 / size
