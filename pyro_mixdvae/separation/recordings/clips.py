"""Clean recordings of one source, to learn it from."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.separation.audio.reading import Samples, SoundReader, find_sounds
from pyro_mixdvae.separation.audio.resampling import resample_blocks, resampled_length
from pyro_mixdvae.separation.audio.skipping import Skipping
from pyro_mixdvae.separation.audio.trimming import peak_level, trim_silence
from pyro_mixdvae.separation.recordings.clicks import without_clicks
from pyro_mixdvae.separation.recordings.quality import ClippingMeter, Quality, loudness, pauses
from pyro_mixdvae.training.data import checksums, split

HELD_OUT = 10  # one clip in so many is for validation
# Seconds of a recording that is of use; what is shorter than a piece to learn from is joined to others.
SHORTEST = 0.1
# Decibels of full scale: whatever has no louder peak (dither, the rounding of 16-bit samples) is not the source.
QUIETEST = -60.0
# The same, of the root mean square where a clip sounds: what all clips are brought to.
LEVEL = -20.0


@dataclass(frozen=True)
class Clips:
    """Recordings without the silence around them and without clicks, where they sound as loud as each other.

    Attributes:
        paths: of the files.
        samples: of each, ``[n]`` mono.
        skipped: what could not be used, and why.
        qualities: of each recording as it was.
    """

    paths: list[Path]
    samples: list[Samples]
    skipped: list[str]
    qualities: list[Quality] = field(default_factory=list)

    @property
    def n_samples(self) -> int:
        """Of all clips together."""
        return sum(map(len, self.samples))

    def chosen(self, indices: Sequence[int]) -> "Clips":
        """Those with the given numbers."""
        return Clips([self.paths[i] for i in indices], [self.samples[i] for i in indices], [])

    def description(self) -> list[dict[str, str]]:
        """Names and checksums of the files, for a card."""
        return checksums((path.name, path) for path in sorted(self.paths))


def check_clips(folders: Sequence[str | Path], rate: int, least: int) -> None:
    """Whether there may be two clips, one of them for validation, as far as names and headers of the files tell.

    Arguments as in `read_clips`, which reads the files and finds out more.

    Raises:
        InputError: fewer than two files can be opened and are long enough.
    """
    hopeful, skipped = [], []
    for path in find_sounds(folders):
        try:
            with SoundReader(path) as file:
                _check_length(path, resampled_length(file.length, file.rate, rate), rate, least)
        except InputError as error:
            skipped.append(str(error))
            continue
        hopeful.append(path)
        if len(hopeful) == 2:
            return
    for path in hopeful:  # only one: it is read, so that the message names the right fault
        try:
            _read_clip(path, rate, least)
        except InputError as error:
            skipped.append(str(error))
        else:
            raise _single(path)
    raise _none(folders, skipped)


def refuse_shared(folders: Sequence[str | Path], others: Sequence[str | Path]) -> None:
    """Stop where a sound of `others`, which are to be without the source, is one of the source's own recordings.

    Raises:
        InputError: a file is found in both; links are followed.
    """
    own = {os.path.realpath(path) for path in find_sounds(folders)}
    for path in find_sounds(others):
        if os.path.realpath(path) in own:
            raise InputError(
                f"{path} is a recording of the source and one of --against too: give sounds without the source there."
            )


def read_clips(folders: Sequence[str | Path], rate: int, least: int) -> Clips:
    """All sound files of folders, mono at `rate`.

    Those that cannot be read, that are nearly silent, or that have less than `least` samples of sound are skipped.

    Raises:
        InputError: no clip can be used.
    """
    read = Skipping(_read_clip)
    found = {path: clip for path in find_sounds(folders) if (clip := read(path, rate, least)) is not None}
    if not found:
        raise _none(folders, read.reasons)
    kept, qualities = map(list, zip(*found.values(), strict=True))
    return Clips(list(found), kept, read.reasons, qualities)


def hold_out(clips: Clips, seed: int) -> tuple[Clips, Clips]:
    """Clips for training, and one in ten (at least one) for validation.

    Raises:
        InputError: there is only one clip.
    """
    if len(clips.samples) < 2:
        raise _single(clips.paths[0])
    training, validation = split(np.arange(len(clips.samples)), HELD_OUT, seed)
    return clips.chosen(training.tolist()), clips.chosen(validation.tolist())


def _read_clip(path: Path, rate: int, least: int) -> tuple[Samples, Quality]:
    """A clip ``[n]``, and how good the recording was.

    Raises:
        InputError: it cannot be used.
    """
    meter = ClippingMeter()
    with SoundReader(path) as file:
        means = (block.mean(axis=0, keepdims=True) for block in meter.watch(file.blocks()))
        samples = np.concatenate(list(resample_blocks(means, file.rate, rate)), axis=1)[0]
    level = peak_level(samples)
    if level == -math.inf:
        raise InputError(f"{path} is silent in mono.")
    if level < QUIETEST:
        raise InputError(
            f"{path} is nearly silent in mono: its peak is {level:.1f} dB of full scale, below {QUIETEST:g}."
        )
    samples, n_clicks = without_clicks(samples, rate)
    trimmed = trim_silence(samples[None])[0]
    _check_length(path, len(trimmed), rate, least)
    quality = Quality(loudness(trimmed), pauses(samples), n_clicks, meter.is_clipped)
    return (trimmed * 10 ** ((LEVEL - quality.level) / 20)).astype(np.float32), quality


def _check_length(path: Path, n: int, rate: int, least: int) -> None:
    if n < least:
        raise InputError(f"{path} has {n / rate:.2f} s of sound, {least / rate:.2f} s are needed.")


def _none(folders: Sequence[str | Path], skipped: Sequence[str]) -> InputError:
    reasons = " ".join(skipped[:3])
    return InputError(
        f"{', '.join(map(str, folders))}: no clip can be used ({reasons}); give longer sound files, or others."
    )


def _single(path: Path) -> InputError:
    return InputError(
        f"{path} is the only clip that can be used, and one more is needed for validation: give another one."
    )
