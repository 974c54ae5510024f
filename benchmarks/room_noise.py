"""Two sounds in a noisy room: ``python benchmarks/room_noise.py SPEECH FLUTE``.

Mixtures of speech and flute are separated as they are, and with synthetic noise of a room some decibels below them, by
models of two sources and with the source `noise` beside these. Figures are means of the gain in SI-SDR over the
mixture, in decibels, and how many of the intervals of 90 % hold the truth. Noises take turns: power that rises with
frequency, that falls slower and faster, mains hum, a fan, and what comes through a wall. Beside what the noise costs
stands what it costs an ideal filter, of the true powers of all parts.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from report import write

from pyro_mixdvae.baselines.sounds.ideal_masks import IdealWienerFilter
from pyro_mixdvae.benchmark.sounds.calibration import LEVELS, interval_counts
from pyro_mixdvae.benchmark.sounds.mixdvae import SpectralBelief
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.reporting.tables import markdown_table
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.mixtures.mixing import RATE, draw_mixtures, plan_mixtures
from pyro_mixdvae.separation.scores.measures import si_sdr
from pyro_mixdvae.separation.separator import Separator

BATCH = 8
NINETY = int(np.argmin(np.abs(LEVELS - 0.9)))
HEARD = ("quiet, two sources", "quiet, and noise", "noisy, two sources", "noisy, and noise")


class Scored(NamedTuple):
    """A mixture: its length, its noise, what came of each of `HEARD`, and what an ideal filter loses of either."""

    n_frames: int
    noise: str
    found: tuple["Found", ...]
    ideal_loss: tuple[float, float]


class Found(NamedTuple):
    """Gains of speech and flute, and at how many frequencies intervals hold |s| of either, and the share of speech."""

    gains: tuple[float, float]
    held: tuple[float, float, float]
    n_frequencies: float


def coloured(slope: float) -> Callable[[int, np.random.Generator], Samples]:
    """Gaussian noise whose power falls by so many times 3 dB an octave, above 30 Hz."""

    def noise(n: int, random: np.random.Generator) -> Samples:
        return filtered(n, random, lambda frequency: np.maximum(frequency, 30.0) ** (-slope / 2))

    return noise


def filtered(n: int, random: np.random.Generator, response: Callable[[Samples], Samples]) -> Samples:
    """Gaussian noise of a given amplitude at each frequency in Hz."""
    white = np.fft.rfft(random.standard_normal(n))
    return np.fft.irfft(white * response(np.fft.rfftfreq(n, 1 / RATE)), n)


def hum(n: int, random: np.random.Generator) -> Samples:
    """Mains: harmonics of 50 Hz of uneven strength, and a hiss."""
    time, total = np.arange(n) / RATE, np.zeros(n)
    for k in range(1, 13):
        strength = random.uniform(0.1, 1.0) / k
        total += strength * np.sin(2 * np.pi * 50 * k * time + random.uniform(0, 2 * np.pi))
    return total + 0.1 * random.standard_normal(n)


def fan(n: int, random: np.random.Generator) -> Samples:
    """Air, strongest at a few hundred Hz, that the blades make louder and softer, and their tone."""
    time, turns = np.arange(n) / RATE, random.uniform(15.0, 40.0)
    peak = random.uniform(150.0, 500.0)
    air = filtered(n, random, lambda frequency: 1 / (1 + ((frequency - peak) / peak) ** 2))
    tone = np.sin(2 * np.pi * 5 * turns * time)
    return air / air.std() * (1 + 0.3 * np.sin(2 * np.pi * turns * time)) + 0.2 * tone


def next_room(n: int, random: np.random.Generator) -> Samples:
    """Many hits a second, through a wall, in a room of half a second."""
    hits = random.standard_normal(n) * (random.random(n) < 200 / RATE)
    tail = random.standard_normal(RATE // 2) * np.exp(-np.arange(RATE // 2) / (0.07 * RATE))
    size = n + len(tail)
    heard = np.fft.irfft(np.fft.rfft(hits, size) * np.fft.rfft(tail, size), size)[:n]
    passed = np.fft.rfft(heard) / (1 + (np.fft.rfftfreq(n, 1 / RATE) / 600) ** 2)
    return np.fft.irfft(passed, n)


NOISES: dict[str, Callable[[int, np.random.Generator], Samples]] = {
    "hiss": coloured(-1.0),
    "air": coloured(1.5),
    "brown": coloured(2.0),
    "hum": hum,
    "fan": fan,
    "next room": next_room,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs=2, type=Path, metavar="DIR", help="recordings of speech, and of flutes")
    parser.add_argument("--frames", nargs="+", type=int, default=(50, 100, 300), help="T of the mixtures")
    parser.add_argument("--snr", nargs="+", type=float, default=(-10.0, -5.0, 0.0, 5.0))
    parser.add_argument("--count", type=int, default=6, help="of mixtures at each length and ratio")
    parser.add_argument("--below", type=float, default=20.0, help="decibels from the mixture down to the noise")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="folder for the table and all gains")
    options = parser.parse_args(arguments)
    try:
        scored = [row for n_frames in options.frames for row in _scores(options, n_frames)]
    except InputError as error:
        sys.exit(str(error))
    markdown = _table(scored)
    print(markdown)
    if options.output:
        write(options.output, "room_noise", markdown, {"mixtures": [row._asdict() for row in scored]})


def _scores(options: argparse.Namespace, n_frames: int) -> Iterator[Scored]:
    two, three = Separator(["speech", "flute"]), Separator(["speech", "flute", "noise"])
    recipes = plan_mixtures(options.snr, [n_frames], options.count, options.seed)
    numbered = enumerate(draw_mixtures(options.folders, recipes))
    while batch := list(islice(numbered, BATCH)):
        kinds = [list(NOISES)[number % len(NOISES)] for number, _ in batch]
        sources = np.stack([mixture.sources for _, mixture in batch]).astype(np.float64)
        quiet = sources.sum(1)
        noises = []
        for kind, own, (_, mixture) in zip(kinds, quiet, batch, strict=True):
            noise = NOISES[kind](len(own), np.random.default_rng(mixture.recipe.seed))
            noises.append(noise * 10 ** (-options.below / 20) * own.std() / noise.std())
        noisy = np.concatenate([sources, np.stack(noises)[:, None]], 1)
        silent = np.concatenate([sources, np.zeros_like(noisy[:, 2:])], 1)
        heard = ((sources, two), (silent, three), (noisy, two), (noisy, three))
        found = [_found(parts, by) for parts, by in heard]
        for kind, own, *parts in zip(kinds, zip(*found, strict=True), sources, noisy, strict=True):
            without, within = (_ideal(each, two.stft) for each in parts)
            yield Scored(n_frames, kind, own, (without[0] - within[0], without[1] - within[1]))


def _ideal(parts: Samples, stft: STFT) -> tuple[float, float]:
    """Gains of speech and flute, the first two of the parts [2 or 3, n], by the Wiener filter of all true powers."""
    true, mixed = torch.from_numpy(parts)[None], parts.sum(0)
    estimates = IdealWienerFilter(stft).separate(true.sum(1), true).waveforms[0].numpy()
    return _gain(parts[0], estimates[0], mixed), _gain(parts[1], estimates[1], mixed)


def _found(parts: Samples, separator: Separator) -> list[Found]:
    """Of speech and flute, the first two of the parts [B, 2 or 3, n] of mixtures."""
    mixed = parts.sum(1)
    peak = np.abs(mixed).max(-1, keepdims=True)
    waveforms = torch.from_numpy((mixed / peak).astype(np.float32))
    posterior = separator.infer(waveforms)
    estimates = separator.stems(waveforms, posterior).numpy()
    belief = SpectralBelief(posterior, torch.ones(len(parts), 1, 1, 1))
    known = parts[:, : len(separator.names)] / peak[:, None]
    rows = []
    for b, own in enumerate(mixed):
        counts = interval_counts(belief, b, separator.stft.spectrum(torch.from_numpy(known[b].astype(np.float32))))
        gains = (_gain(parts[b, 0], estimates[b, 0], own), _gain(parts[b, 1], estimates[b, 1], own))
        speech, flute = (float(counts["magnitudes inside"][n, NINETY]) for n in range(2))
        rows.append(Found(gains, (speech, flute, float(counts["gains inside"][NINETY])), float(counts["gains"])))
    return rows


def _gain(true: Samples, found: Samples, mixed: Samples) -> float:
    return si_sdr(true, found) - si_sdr(true, mixed)


def _table(scored: Sequence[Scored]) -> str:
    lengths = [(f"T = {n}", [row for row in scored if row.n_frames == n]) for n in _distinct(scored, "n_frames")]
    kinds = [(kind, [row for row in scored if row.noise == kind]) for kind in _distinct(scored, "noise")]
    cells, intervals = [], []
    for name, rows in [*lengths, *kinds]:
        gains = np.array([[own.gains for own in row.found] for row in rows])  # [mixtures, HEARD, 2]
        losses = gains[:, :1] - gains
        error = losses[:, -1].std(0, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else np.full(2, np.nan)
        means = [f"{speech:.1f} / {flute:.1f}" for speech, flute in gains.mean(0)]
        loss = " / ".join(
            f"{mean:.2f} ± {spread:.2f}" for mean, spread in zip(losses[:, -1].mean(0), error, strict=True)
        )
        ideal = " / ".join(f"{mean:.2f}" for mean in np.array([row.ideal_loss for row in rows]).mean(0))
        cells.append([name, len(rows), *means, loss, ideal])
        held = np.array([[own.held for own in row.found] for row in rows]).sum(0)
        shares = held / np.array([[own.n_frequencies for own in row.found] for row in rows]).sum(0)[:, None]
        intervals.append([name, *(" / ".join(f"{share:.2f}" for share in own) for own in shares)])
    gained = markdown_table(["", "mixtures", *HEARD, "lost, first to last", "lost by an ideal filter"], cells)
    hold = markdown_table(["", *HEARD], intervals)
    return f"{gained}\n\nIntervals of 90 %, |s| of speech / |s| of flute / share of speech:\n\n{hold}"


def _distinct(scored: Iterable[Scored], field: str) -> list[int | str]:
    return list(dict.fromkeys(getattr(row, field) for row in scored))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
