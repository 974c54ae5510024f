"""Recordings as people have them: with clicks, hum, a room's reverberation, or what a lossy codec leaves."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.separation.audio.reading import Samples, find_sounds
from pyro_mixdvae.separation.audio.resampling import read_mono
from pyro_mixdvae.separation.recordings.effects import Effects

RATE = 44100
Random = np.random.Generator


def with_click(samples: Samples, random: Random) -> Samples:
    """A millisecond at full scale at the beginning."""
    click = np.zeros(len(samples), np.float32)
    click[: RATE // 1000] = random.choice([-1.0, 1.0])
    return samples + click


def with_hum(samples: Samples, random: Random) -> Samples:
    """Mains, 50 Hz and its harmonics, 30 dB below the sound."""
    time = np.arange(len(samples)) / RATE
    hum = sum(np.sin(2 * np.pi * (50 * k * time + random.random())) / k for k in range(1, 8))
    level = np.sqrt(np.mean(samples**2) / np.mean(np.square(hum)) / 1000)
    return (samples + level * hum).astype(np.float32)


def in_room(samples: Samples, random: Random) -> Samples:
    """With reverberation that is as strong as the sound itself, over half a second."""
    room = Effects(equalised=0, in_room=1, decay=(0.5, 0.5), direct=(0.0, 0.0), dulled=0, noisy=0)
    return room(samples, random, RATE)


WAYS: dict[str, Callable[[Samples, Random], Samples]] = {"clicks": with_click, "hum": with_hum, "room": in_room}
LOSSY = "mp3"


def spoiled(folder: Path, output: Path, ways: Sequence[str], seed: int = 0) -> None:
    """Write the recordings of a folder to another one, spoiled in all of the ways; what cannot be read is left out.

    Args:
        folder: of recordings.
        output: an empty folder.
        ways: of `WAYS`, and "mp3": as MP3 of the lowest quality.
        seed: of what is drawn.
    """
    for number, path in enumerate(find_sounds([folder])):
        random = np.random.default_rng([seed, number])
        try:
            samples = read_mono(path, RATE)
        except InputError:
            continue
        for way in ways:
            if way != LOSSY:
                samples = WAYS[way](samples, random)
        samples = (samples / max(1.0, float(np.abs(samples).max()))).astype(np.float32)
        if LOSSY in ways:
            soundfile.write(output / f"{path.stem}.mp3", samples, RATE, compression_level=0.9)
        else:
            soundfile.write(output / f"{path.stem}.flac", samples, RATE)
