"""Mixtures as blocks of work: a method separates them, and its estimates are scored."""

import functools
import math
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.baselines.sounds.contract import Estimates, SoundMethod
from pyro_mixdvae.benchmark.running.blocks import Block, BlockResult
from pyro_mixdvae.benchmark.sounds.calibration import interval_counts
from pyro_mixdvae.benchmark.sounds.methods import make_method, stft_of
from pyro_mixdvae.benchmark.sounds.mixtures import KnownMixture
from pyro_mixdvae.benchmark.sounds.settings import SoundSettings
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.reporting.bootstrap import Counts
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.mixtures.mixing import RATE
from pyro_mixdvae.separation.scores.measures import SCORES, score

# A method runs on the beginning of a mixture first, so that what it sets up once is not in the seconds of a mixture.
_WARM_UP_SAMPLES = 4096


@dataclass(frozen=True)
class SoundBlock(Block):
    """A method, and the mixtures of one length that it is to separate.

    Attributes:
        settings: what the method is made with.
        mixtures: all of them at once are given to the method.
    """

    settings: SoundSettings
    mixtures: tuple[KnownMixture, ...]

    def run(self) -> BlockResult:
        """Separate, and score each mixture."""
        truth = torch.from_numpy(np.stack([known.sources for known in self.mixtures]))
        method = _warm_method(self.method, self.settings, truth)
        start = time.perf_counter()
        found = method.separate(truth.sum(1), truth)
        seconds = time.perf_counter() - start
        stft = stft_of(self.settings)
        return BlockResult(tuple(count(found, i, known, stft) for i, known in enumerate(self.mixtures)), seconds)


def blocks_of(
    mixtures: Sequence[KnownMixture], methods: Sequence[str], lengths: Sequence[int], settings: SoundSettings, size: int
) -> Iterator[SoundBlock]:
    """All blocks of a benchmark, of up to ``size`` mixtures; they do not depend on who runs them."""
    for n_frames in lengths:
        members = [known for known in mixtures if known.n_frames == n_frames]
        for method in methods:
            for number, start in enumerate(range(0, len(members), size)):
                chosen = tuple(members[start : start + size])
                checksum = zlib.crc32(np.array([known.checksum for known in chosen], "<i8").tobytes())
                yield SoundBlock(method, n_frames, number, checksum, settings, chosen)


def count(found: Estimates, number: int, known: KnownMixture, stft: STFT) -> Counts:
    """The scores of the sources of a mixture ``[N]`` by name, and calibration where the method says how sure it is.

    Args:
        found: of a batch.
        number: of the mixture in it.
        known: the mixture.
        stft: transform of what the method believes.
    """
    estimates = found.waveforms[number].numpy()
    scores = [_scores(*pair) for pair in zip(known.sources, estimates, strict=True)]
    counts = {name: np.array([own[name] for own in scores]) for name in SCORES}
    if found.belief is not None:
        counts |= interval_counts(found.belief, number, stft.spectrum(torch.from_numpy(known.sources)))
    return counts


def _scores(reference: Samples, estimate: Samples) -> dict[str, float]:
    """Each of `SCORES` of sounds ``[n]``; NaN for an estimate that is not finite."""
    if not np.isfinite(estimate).all():
        return dict.fromkeys(SCORES, math.nan)
    return score(reference[None], estimate[None], RATE)


_warmed: set[tuple[str, SoundSettings]] = set()


def _warm_method(name: str, settings: SoundSettings, truth: Tensor) -> SoundMethod:
    method = _method(name, settings)
    if (name, settings) not in _warmed:
        beginning = truth[:1, :, :_WARM_UP_SAMPLES]
        # A beginning that cannot be separated alone says nothing about the whole.
        with suppress(InputError):
            method.separate(beginning.sum(1), beginning)
        _warmed.add((name, settings))
    return method


_method = functools.lru_cache(maxsize=None)(make_method)
