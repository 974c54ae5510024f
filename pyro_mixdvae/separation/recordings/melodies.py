"""Pieces of a given length out of recordings of any length: cut from long ones, and joined out of short ones."""

from dataclasses import dataclass

import numpy as np
import soxr

from pyro_mixdvae.separation.audio.reading import Samples

Random = np.random.Generator


@dataclass(frozen=True)
class Joining:
    """How short recordings, as of single notes, are played one after the other.

    Attributes:
        longest: seconds of a recording that may be a note.
        share: of the pieces that begin in such a recording and are melodies; all, where it is shorter than the piece.
        held: seconds of a note, from and to (their logarithm is uniform).
        shifted: share of the notes whose pitch and speed change.
        shift: octaves that they change by at most, up or down; 5 / 12 is a third more or a quarter less.
        level: standard deviation of the level of a note, in decibels.
        overlap: seconds that a note goes on into the next one at most.
        rest: seconds between two notes at most.
        repeated: share of the notes that are the one before once more.
        attacked: share of the notes that begin where the recording does.
    """

    longest: float = 4.0
    share: float = 0.6
    held: tuple[float, float] = (0.08, 1.5)
    shifted: float = 0.6
    shift: float = 5 / 12
    level: float = 4.0
    overlap: float = 0.08
    rest: float = 0.15
    repeated: float = 0.2
    attacked: float = 0.75


class Melodies:
    """Draws pieces of recordings; every second of all of them is about as likely as any other.

    Args:
        recordings: each ``[n]``.
        length: samples of a piece.
        rate: samples a second.
        joining: of short recordings.
    """

    def __init__(self, recordings: list[Samples], length: int, rate: int, joining: Joining = Joining()):
        self.recordings, self.length, self.rate, self.joining = recordings, length, rate, joining
        lengths = np.array([len(samples) for samples in recordings])
        self._likely = lengths / lengths.sum()
        self._notes = [samples for samples in recordings if len(samples) <= joining.longest * rate]

    def draw(self, random: Random) -> Samples:
        """A piece ``[length]``."""
        chosen = self.recordings[random.choice(len(self.recordings), p=self._likely)]
        is_note = len(chosen) <= self.joining.longest * self.rate
        if is_note and (len(chosen) < self.length or random.random() < self.joining.share):
            return self._melody(random)
        if len(chosen) < self.length:
            return np.resize(chosen, self.length)
        start = random.integers(len(chosen) - self.length + 1)
        return chosen[start : start + self.length]

    def _melody(self, random: Random) -> Samples:
        overlap, rest = (int(seconds * self.rate) for seconds in (self.joining.overlap, self.joining.rest))
        melody = np.zeros(self.length, np.float32)
        is_legato = random.random() < 0.5
        at = -int(random.uniform(0, self.joining.held[1] / 2) * self.rate)
        note = self._note(random)
        while at < self.length:
            if random.random() >= self.joining.repeated:
                note = self._note(random)
            level = np.float32(10 ** (random.normal(0, self.joining.level) / 20))
            first, last = max(0, -at), min(len(note), self.length - at)
            if first < last:
                melody[at + first : at + last] += level * note[first:last]
            at += len(note) - min(overlap, len(note) // 2) if is_legato else len(note) + int(random.integers(rest + 1))
        return melody if melody.any() else np.resize(note, self.length)

    def _note(self, random: Random) -> Samples:
        """A note, or a part of it, faded in and out."""
        recording = self._notes[random.integers(len(self._notes))]
        ratio = 1.0
        if random.random() < self.joining.shifted:
            ratio = 2 ** random.uniform(-self.joining.shift, self.joining.shift)
        held = np.exp(random.uniform(*np.log(self.joining.held)))
        wanted = max(2, int(held * ratio * self.rate))
        start = 0 if random.random() < self.joining.attacked else int(random.integers(len(recording)))
        start = max(0, min(start, len(recording) - wanted))
        note = recording[start : start + wanted]
        if ratio != 1:
            note = soxr.resample(note, ratio, 1.0, quality="MQ")
        return note * _fades(len(note), int(random.uniform(0.002, 0.01) * self.rate), int(0.03 * self.rate))


def _fades(n: int, rising: int, falling: int) -> Samples:
    """Weights ``[n]`` that rise from zero and fall to it, over so many samples or half of all."""
    rising, falling = min(rising, n // 2), min(falling, n // 2)
    weights = np.ones(n, np.float32)
    weights[:rising] = np.arange(rising) / max(1, rising)
    weights[n - falling :] = 1 - np.arange(falling) / max(1, falling)
    return weights
