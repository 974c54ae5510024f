"""Segments without silence, drawn at random from a folder of recordings."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.separation.audio.reading import Samples, find_sounds
from pyro_mixdvae.separation.audio.resampling import read_mono
from pyro_mixdvae.separation.audio.trimming import HOP, sounding_frames, sounding_range

MonoReader = Callable[[Path, int], Samples | None]

# A segment of which fewer frames sound is a pause.
LEAST_SOUNDING = 0.5
# Samples of recordings that are kept for the next draw.
_KEPT = 1 << 25
_NOTHING = np.zeros(0, np.float32), 0  # of a recording that is left out


@dataclass(frozen=True)
class Segment:
    """A piece of a recording.

    Attributes:
        samples: ``[n]``, as they are in the recording.
        path: of the recording.
        offset: of the first sample, counted in the recording as one channel at the rate of the mixtures.
    """

    samples: Samples
    path: Path
    offset: int


class Recordings:
    """The sounds of a folder, as one channel at one rate, without the silence before and after them.

    Args:
        folder: is searched for sound files.
        rate: samples a second of what is drawn.
        read: a file as one channel ``[n]`` at a rate; None where it is to be left out.

    Raises:
        InputError: the folder cannot be listed or holds no sound.
    """

    def __init__(self, folder: str | Path, rate: int, read: MonoReader = read_mono) -> None:
        self.folder, self._rate, self._read = Path(folder), rate, read
        self._paths = find_sounds([folder])
        self._kept: dict[Path, tuple[Samples, int]] = {}
        self._left_out: set[Path] = set()

    def draw(self, n_frames: int, random: np.random.Generator) -> Segment:
        """A segment of ``(n_frames - 1) * HOP`` samples, which a centred STFT sees as so many frames.

        Recordings are equally likely if they are long enough, and so are places in a recording, a multiple of `HOP`
        from its start, where at least half of the frames sound.

        Raises:
            InputError: no recording has such a place, the reader refuses one, or leaves all of them out.
        """
        for i in random.permutation(len(self._paths)):
            samples, start = self._recording(self._paths[i])
            places = sounding_places(samples, n_frames)
            if len(places) > 0:
                offset = int(random.choice(places))
                piece = samples[offset : offset + (n_frames - 1) * HOP]
                return Segment(piece, self._paths[i], start + offset)
        if len(self._left_out) == len(self._paths):
            raise InputError(f"{self.folder} holds no recording that can be read: give another folder.")
        seconds = (n_frames - 1) * HOP / self._rate
        raise InputError(
            f"{self.folder} holds no sound of {seconds:.3g} seconds ({n_frames} frames) that is not mostly silence: "
            f"give longer recordings, or shorter mixtures, by fewer frames of {HOP} samples (--frames)."
        )

    def _recording(self, path: Path) -> tuple[Samples, int]:
        """Trimmed samples ``[n]`` of a file, and how many were trimmed before them."""
        if path in self._left_out:
            return _NOTHING
        if path not in self._kept:
            samples = self._read(path, self._rate)
            if samples is None:
                self._left_out.add(path)
                return _NOTHING
            start, stop = sounding_range(samples[None])
            if sum(len(kept) for kept, _ in self._kept.values()) > _KEPT:
                self._kept.clear()
            self._kept[path] = samples[start:stop].copy(), start
        return self._kept[path]


def sounding_places(samples: Samples, n_frames: int) -> npt.NDArray[np.int64]:
    """Multiples of `HOP` at which ``n_frames`` frames of samples ``[n]`` begin, of which enough are not silent."""
    sounding = sounding_frames(samples[None])[0]
    if len(sounding) < n_frames:
        return np.zeros(0, np.int64)
    count = np.concatenate([[0], np.cumsum(sounding)])
    share = (count[n_frames:] - count[:-n_frames]) / n_frames
    return np.flatnonzero(share >= LEAST_SOUNDING) * HOP
