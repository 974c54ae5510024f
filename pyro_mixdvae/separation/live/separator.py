"""`LiveSeparator`: the sounds in a mixture while it comes, a fifth of a second later."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyro_mixdvae.declaration.document import Declaration
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.algorithms import Coordinate, Looks
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.separation.audio.reading import LOUDEST, unusable
from pyro_mixdvae.separation.given import single_precision, whole_rate
from pyro_mixdvae.separation.live.reading import MOST_CHANNELS
from pyro_mixdvae.separation.live.resampling import reach_of
from pyro_mixdvae.separation.live.stream import LiveStream, Stems
from pyro_mixdvae.separation.live.windows import Level, Sliding
from pyro_mixdvae.separation.separator import QUIETEST, Estimate, Separator

HIGHEST_LIVE_RATE = 192_000
"""Samples a second of the fastest converters that sounds come from."""

FADE = 0.016
"""Seconds over which the stems of a window go over into those of the next; no more than what both know."""

HALF_LIFE = 10.0
"""Seconds after which a peak counts for half: about as long as the pieces that whole sounds are separated in."""

MOST_SECONDS = 8.0
"""Of a window: what whole sounds are cut into."""


class LiveSeparator:
    """Pulls the sounds of known sources out of a mixture that comes block by block.

    The model is that of `Separator`, on a window of the last .4 s that slides on in hops. Stems are given out
    `latency` seconds after their mixture; with `sums` they sum to it. How loud the whole will be is not known, so that
    a window is scaled by the greatest magnitude of late, which is halved in ten seconds. Channels are separated one by
    one; what the mixture has above the models' band goes with the source that is likelier to make it, as in
    `Separator.separate`. Memory is that of a window, however long the sound.

    >>> import numpy as np
    >>> from pyro_mixdvae import LiveSeparator
    >>> live = LiveSeparator(rate=16000, sources=("speech", "flute"))
    >>> mix = 0.1 * np.random.default_rng(0).standard_normal(16000)
    >>> ready = [live.update(block) for block in np.split(mix, 100)] + [live.finish()]
    >>> stems = np.concatenate(ready, axis=1)
    >>> stems.shape, bool(np.abs(stems.sum(0) - mix).max() < 1e-5), live.latency < 0.25
    ((2, 16000), True, True)

    Args:
        rate: samples a second of what comes, from 1,000 to 192,000.
        sources, preset, estimate, sums: as of `Separator`; the algorithm is `Looks`, and a preset with another one
            than `Coordinate` needs whole sounds.
        n_iterations: looks of the models at a window.
        window: seconds that the models hear at a time, .1 to 8.
        hop: seconds from one window to the next; the shorter, the more work.
        lookahead: seconds at the end of a window that are not given out yet, as too little is known of what follows.

    Attributes:
        names: of the N sources.
        notes: sentences for the user about the weights.
        rate: of what comes and of the stems.
        latency: seconds from a sample to its stems at most, the time that the work takes not counted.
        note: a sentence where the compiled engine cannot serve.

    Raises:
        InputError: as of `Separator`; a rate, a window, a hop or a lookahead that cannot be.
    """

    def __init__(
        self,
        rate: int,
        sources: Sequence[str | Path] | None = None,
        preset: str | Declaration | Preset = "additive",
        n_iterations: int = 2,
        estimate: Estimate = "mean",
        sums: bool = True,
        window: float = 0.4,
        hop: float = 0.128,
        lookahead: float = 0.064,
    ):
        rate = whole_rate(rate, HIGHEST_LIVE_RATE)
        own = Separator(sources, preset, estimate=estimate, sums=sums)
        if not isinstance(own.preset.algorithm, Coordinate):
            raise InputError(
                f"The algorithm {type(own.preset.algorithm).__name__} needs whole sounds: take a preset with "
                "coordinate updates, additive or assignment."
            )
        if own.may_be_silent:
            raise InputError(
                "Which sources are silent is told by whole sounds, which live separation does not wait for: take a "
                "model without silence."
            )
        own.preset = replace(own.preset, algorithm=Looks(n_iterations))
        self._separator = own
        self.names, self.notes, self.rate = own.names, own.notes, rate
        self._sliding = _sliding(window, hop, lookahead, own.stft.rate)
        back = reach_of(own.stft.rate, rate)
        self.latency = (self._sliding.hop + self._sliding.lookahead + back) / own.stft.rate
        self.latency += reach_of(rate, own.stft.rate) / rate
        self._level = Level(1, 0.0)
        self._stream: LiveStream | None = None
        self._channels = 0
        self._is_flat = True
        self.note: str | None = None
        self._separate(torch.zeros(1, self._sliding.length))  # kernels are compiled before the sound comes

    def update(self, block: npt.NDArray[np.floating] | Tensor) -> Stems:
        """Take the next samples, `[n]` or of several channels `[n, channels]`, as many as there are.

        Returns the stems that are ready, `[N, *]` or `[N, *, channels]`: of the samples that follow those of the call
        before, perhaps of none, and in the end of as many as were given.

        Raises:
            InputError: the block is no array of floats, holds NaN, infinity or numbers beyond any sound, more than 64
                channels, or other ones than those before; it is then as if it had not been given.
        """
        samples = _checked(block)
        n_channels = 1 if samples.ndim == 1 else samples.shape[1]
        if self._stream is None:
            self._begin(n_channels, samples.ndim == 1)
        elif (n_channels, samples.ndim == 1) != (self._channels, self._is_flat):
            before = "[n]" if self._is_flat else f"[n, {self._channels}]"
            raise InputError(
                f"a block of the shape {list(samples.shape)} after blocks {before}: give blocks of the same channels, "
                "or finish first."
            )
        assert self._stream is not None
        return self._shaped(self._stream.push(np.ascontiguousarray(samples.reshape(len(samples), n_channels).T)))

    def finish(self) -> Stems:
        """The stems of what was given and is not out yet; what is given after that is another sound."""
        if self._stream is None:
            return np.empty((len(self.names), 0), np.float32)
        rest = self._shaped(self._stream.finish())
        self._stream = None
        return rest

    def _begin(self, n_channels: int, is_flat: bool) -> None:
        own, sliding = self._separator, self._sliding
        self._channels, self._is_flat = n_channels, is_flat
        self._level = Level(n_channels, 0.5 ** (sliding.hop / own.stft.rate / HALF_LIFE))
        self._stream = LiveStream(
            self._separate, sliding, self.rate, own.stft.rate, len(self.names), n_channels, own.sums
        )

    def _shaped(self, stems: Stems) -> Stems:
        """[N, C, n] as blocks are given."""
        return stems[:, 0] if self._is_flat else stems.swapaxes(1, 2)

    def _separate(self, windows: Tensor) -> Tensor:
        """Windows [C, n] at the model's rate to stems [C, N, n]."""
        level = self._level.follow(windows)
        level = torch.where(level < QUIETEST, 1.0, level)
        scaled = windows / level
        found = self._separator.infer(scaled)
        self.note = found.note
        return level.unsqueeze(1) * self._separator.stems(scaled, found)


def _sliding(window: float, hop: float, lookahead: float, rate: int) -> Sliding:
    """In samples, at the models' rate."""
    if not 0.1 <= window <= MOST_SECONDS:
        raise InputError(f"a window of {window:g} s: give .1 to {MOST_SECONDS:g} s.")
    if not (hop >= 0.01 and lookahead >= 0 and hop + lookahead <= window):
        raise InputError(
            f"a hop of {hop:g} s and a lookahead of {lookahead:g} s in a window of {window:g} s: give a hop of .01 s "
            "or more, no lookahead below 0, and both together no longer than the window."
        )
    length, step, ahead = (round(seconds * rate) for seconds in (window, hop, lookahead))
    return Sliding(length, step, ahead, min(round(FADE * rate), ahead, step))


def _checked(block: npt.NDArray[np.floating] | Tensor) -> npt.NDArray[np.float32]:
    """A copy, in single precision."""
    samples = single_precision(block, "block")
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and not 1 <= samples.shape[1] <= MOST_CHANNELS):
        raise InputError(
            f"a block of the shape {list(samples.shape)}: give [n], or [n, channels] of 1 to {MOST_CHANNELS} channels."
        )
    if not (np.abs(samples) <= LOUDEST).all():
        raise InputError(f"the block holds {unusable(samples)}: leave it out, or give silence in its place.")
    return samples
