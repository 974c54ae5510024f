"""Sounds of which each is silent for a while: ``python benchmarks/silent_sources.py SPEECH FLUTE``.

Mixtures of speech and flute, in which each is cut out for a stretch, are separated as if both always sounded, with
silence inferred, and with the stretches given; so are the same mixtures with nothing cut out. Figures: mean SI-SDR in
dB; how much of the mixture's energy a stem has where its source is cut out ("leaked", of all such stretches together,
beyond a window of their ends); and of inferred silence the share of the frames that were cut out which is found
(recall), and the share of what is found that was cut out or lies 40 dB or more below the source's loudest frame
(precision).
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from report import write

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.reporting.tables import markdown_table
from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.mixtures.mixing import RATE, draw_mixtures, plan_mixtures
from pyro_mixdvae.separation.presence import Frames, Span, known_frames
from pyro_mixdvae.separation.scores.measures import si_sdr
from pyro_mixdvae.separation.separator import Separator

BATCH = 8
NAMES = ("speech", "flute")
WAYS = ("always sounding", "inferred", "given")
QUIET = 40.0
"""Decibels below a source's loudest frame at which it is as good as silent."""


class Scored(NamedTuple):
    """A mixture, cut or whole, in one of `WAYS`; pairs are of speech and flute."""

    is_cut: bool
    way: str
    si_sdr: tuple[float, float]
    leaked: tuple[float, float]  # energy of the stem, and of the mixture, where the source is cut out
    mixed: tuple[float, float]
    found: tuple[int, int]  # frames that were cut out and are said to be silent
    true: tuple[int, int]
    right: tuple[int, int]  # frames that are said to be silent and are so
    said: tuple[int, int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs=2, type=Path, metavar="DIR", help="recordings of speech, and of flutes")
    parser.add_argument("--frames", type=int, default=250, help="T of the mixtures")
    parser.add_argument("--snr", nargs="+", type=float, default=(-10.0, -5.0, 0.0, 5.0))
    parser.add_argument("--count", type=int, default=6, help="of mixtures at each ratio")
    parser.add_argument("--share", type=float, default=0.3, help="of a mixture in which a source is silent")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="folder for the table and all scores")
    options = parser.parse_args(arguments)
    try:
        scored = list(_scores(options))
    except InputError as error:
        sys.exit(str(error))
    markdown = _table(scored)
    print(markdown)
    if options.output:
        write(options.output, "silent_sources", markdown, {"mixtures": [row._asdict() for row in scored]})


def _scores(options: argparse.Namespace) -> Iterator[Scored]:
    separator = Separator(NAMES)
    mixtures = draw_mixtures(options.folders, plan_mixtures(options.snr, [options.frames], options.count, options.seed))
    random = np.random.default_rng(options.seed)
    seconds = dict.fromkeys(WAYS, 0.0)
    while batch := list(islice(mixtures, BATCH)):
        whole = np.stack([mixture.sources for mixture in batch]).astype(np.float64)
        cut, spans = _cut(whole, options.share, random)
        always = {name: [Span(name, 0.0, np.inf)] for name in NAMES}
        for sources, own in ((cut, spans), (whole, [always] * len(whole))):
            for way in WAYS:
                began = time.process_time()
                yield from _scored(separator, sources, own, way, sources is cut)
                seconds[way] += time.process_time() - began
    print("; ".join(f"{way}: {spent:.0f} s of one core" for way, spent in seconds.items()), file=sys.stderr)


def _cut(sources: Samples, share: float, random: np.random.Generator) -> tuple[Samples, list[dict[str, list[Span]]]]:
    """Sources [B, 2, n] without a stretch of each, and when each sounds."""
    cut, n, spans = sources.copy(), sources.shape[-1], []
    for mixture in cut:
        own = {}
        for name, samples in zip(NAMES, mixture, strict=True):
            since = int(random.uniform(0, 1 - share) * n)
            until = since + int(share * n)
            samples[since:until] = 0
            parts = [Span(name, 0.0, since / RATE), Span(name, until / RATE, n / RATE)]
            own[name] = [part for part in parts if part.until > part.since]
        spans.append(own)
    return cut, spans


def _scored(
    separator: Separator, sources: Samples, spans: Sequence[dict[str, list[Span]]], way: str, is_cut: bool
) -> Iterator[Scored]:
    """Of sources [B, 2, n]."""
    stft, mixed = separator.stft, sources.sum(1)
    peak = np.abs(mixed).max(-1, keepdims=True)
    waveforms = torch.from_numpy((mixed / peak).astype(np.float32))
    times = np.arange(stft.n_frames(mixed.shape[-1])) * stft.hop / stft.rate
    frames, never = Frames(times, separator.window), (False, False)
    said = np.stack([known_frames(own, NAMES, never, frames) for own in spans])  # [B, T, 2]
    known = {"always sounding": None, "inferred": np.zeros_like(said), "given": said}[way]
    posterior = separator.infer(waveforms, None if known is None else torch.from_numpy(known))
    estimates = separator.stems(waveforms, posterior).double().numpy() * peak[:, None]
    spectra = stft.spectrum(torch.from_numpy(sources.astype(np.float32)))
    power = (spectra.real.square() + spectra.imag.square()).sum(-1)
    level = 10 * (power / power.amax(-1, keepdim=True)).clamp(min=1e-30).log10().numpy()
    presence = np.ones_like(level) if posterior.presence is None else posterior.presence.numpy()
    for b, own in enumerate(mixed):
        samples = Frames(np.arange(len(own)) / RATE, 2 * separator.window)
        away = known_frames(spans[b], NAMES, never, samples).T < 0
        absent = presence[b] < 0.5
        silent = (said[b].T < 0) | (level[b] < -QUIET)
        yield Scored(
            is_cut,
            way,
            *(
                _pair(numbers)
                for numbers in (
                    [si_sdr(true, estimate) for true, estimate in zip(sources[b], estimates[b], strict=True)],
                    (estimates[b] ** 2 * away).sum(-1),
                    (own**2 * away).sum(-1),
                    (absent & (said[b].T < 0)).sum(-1),
                    (said[b].T < 0).sum(-1),
                    (absent & silent).sum(-1),
                    absent.sum(-1),
                )
            ),  # type: ignore[arg-type]
        )


def _pair(numbers: Sequence[float] | npt.NDArray[np.float64]) -> tuple[float, float]:
    speech, flute = numbers
    return float(speech), float(flute)


def _table(scored: Sequence[Scored]) -> str:
    cells = []
    for is_cut in (True, False):
        for way in WAYS:
            rows = [row for row in scored if row.is_cut == is_cut and row.way == way]
            sums = {name: np.sum([getattr(row, name) for row in rows], axis=0) for name in Scored._fields[2:]}
            cells.append(
                [
                    f"{'each silent for a while' if is_cut else 'both always sound'}, {way}",
                    len(rows),
                    _shown(sums["si_sdr"] / len(rows), "{:.2f}"),
                    _shown(_decibels(sums["leaked"], sums["mixed"]), "{:.1f}"),
                    _shown(_share(sums["found"], sums["true"]), "{:.2f}"),
                    _shown(_share(sums["right"], sums["said"]), "{:.2f}"),
                ]
            )
    return markdown_table(["speech / flute", "mixtures", "SI-SDR, dB", "leaked, dB", "recall", "precision"], cells)


def _shown(numbers: npt.NDArray[np.float64], pattern: str) -> str:
    return " / ".join("–" if np.isnan(number) else pattern.format(number) for number in numbers)


def _share(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _decibels(part: npt.NDArray[np.float64], whole: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    ratio = np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), np.nan)
    return 10 * np.log10(np.maximum(ratio, 1e-12))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
