"""Stretches of frames in words."""

from collections.abc import Sequence

import numpy as np

from pyro_mixdvae.tracking.files.rows import Flags

SHOWN = 3
"""Stretches, or moments, that a sentence names."""


class Marks:
    """Frames and sources that something holds of, from pieces that follow on one another.

    Args:
        origin: the number by which users call the first frame of the film.
    """

    def __init__(self, origin: int):
        self._origin = self._first = origin
        self._pieces: list[Flags] = []

    def add(self, flags: Flags, first: int) -> None:
        """Those of the next frames ``[L, N]``, of which the first is the frame `first`."""
        if not self._pieces:
            self._first = first + self._origin
        self._pieces.append(flags)

    def all(self) -> Flags:
        """Of all frames ``[T, N]``."""
        return self._pieces[0] if len(self._pieces) == 1 else np.concatenate(self._pieces)

    def in_words(self, flags: Flags) -> str:
        """Which of these frames ``[T]`` are meant."""
        return frames_in_words(flags, self._first)


def stretches(flags: Flags) -> list[tuple[int, int]]:
    """First and last place, both included, of each run of True [T]; the longest first."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    runs = [(int(begin), int(end) - 1) for begin, end in edges.reshape(-1, 2)]
    return sorted(runs, key=lambda run: (run[0] - run[1], run[0]))


def frames_in_words(flags: Flags, first: int) -> str:
    """As "frames 5-9, 20 and 2 stretches more": flags [T], of which the first is of the frame called `first`."""
    runs = stretches(flags)
    named = [f"{begin}" if begin == end else f"{begin}-{end}" for begin, end in _numbered(runs[:SHOWN], first)]
    more = len(runs) - SHOWN
    rest = f" and {more} shorter stretch{'es' * (more > 1)}" if more > 0 else ""
    is_one_frame = len(runs) == 1 and runs[0][0] == runs[0][1]
    return f"frame{'s' * (not is_one_frame)} {', '.join(named)}{rest}"


def _numbered(runs: Sequence[tuple[int, int]], first: int) -> list[tuple[int, int]]:
    return sorted((begin + first, end + first) for begin, end in runs)
