"""Clean recordings of one source, to learn it from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.separation.resampling import read_mono
from pyro_mixdvae.separation.sound_files import Samples, find_sounds
from pyro_mixdvae.separation.trimming import normalise_peak, trim_silence

HELD_OUT = 10  # one clip in so many is for validation


@dataclass(frozen=True)
class Clips:
    """Recordings without the silence around them, at their loudest 1.

    Attributes:
        paths: of the files.
        samples: of each, ``[n]`` mono.
        skipped: what could not be used, and why.
    """

    paths: list[Path]
    samples: list[Samples]
    skipped: list[str]

    @property
    def n_samples(self) -> int:
        """Of all clips together."""
        return sum(map(len, self.samples))

    def chosen(self, indices: Sequence[int]) -> "Clips":
        """Those with the given numbers."""
        return Clips([self.paths[i] for i in indices], [self.samples[i] for i in indices], [])

    def description(self) -> list[dict[str, str]]:
        """Names and checksums of the files, for a card."""
        return [
            {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} for path in sorted(self.paths)
        ]


def read_clips(folders: Sequence[str | Path], rate: int, least: int) -> Clips:
    """All sound files of folders, mono at `rate`; those that cannot be used, or are shorter than `least`, are skipped.

    Raises:
        InputError: no clip can be used.
    """
    paths, kept, skipped = [], [], []
    for path in find_sounds(folders):
        try:
            samples = read_mono(path, rate)
        except InputError as error:
            skipped.append(str(error))
            continue
        trimmed = trim_silence(samples[None])[0]
        if len(trimmed) < least:
            skipped.append(f"{path} has {len(trimmed) / rate:.2f} s of sound, {least / rate:.2f} s are needed.")
            continue
        paths.append(path)
        kept.append(normalise_peak(trimmed).astype(np.float32))
    if not kept:
        reasons = " ".join(skipped[:3])
        raise InputError(f"{', '.join(map(str, folders))}: no clip can be used ({reasons}); give longer sound files.")
    return Clips(paths, kept, skipped)


def hold_out(clips: Clips, seed: int) -> tuple[Clips, Clips]:
    """Clips for training, and one in ten (at least one) for validation.

    Raises:
        InputError: there is only one clip.
    """
    if len(clips.samples) < 2:
        raise InputError(f"{clips.paths[0]} is the only clip that can be used, and one more is needed for validation.")
    order = np.random.default_rng(seed).permutation(len(clips.samples)).tolist()
    count = max(1, len(order) // HELD_OUT)
    return clips.chosen(order[count:]), clips.chosen(order[:count])
