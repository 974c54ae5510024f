"""Time the separation of sounds and the published algorithm with the same networks, in one run on one thread.

``python benchmarks/separate_speed.py``: coloured noise; ``--data SPEECH_DIR FLUTE_DIR`` mixes recordings instead.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import write
from timing import Timing, measure
from torch import Tensor

from pyro_mixdvae.benchmark.sounds.methods import published, stft_of
from pyro_mixdvae.benchmark.sounds.mixdvae import MixDVAE
from pyro_mixdvae.benchmark.sounds.settings import SoundSettings
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.published import ITERATIONS as PUBLISHED_ITERATIONS
from pyro_mixdvae.reporting.tables import markdown_table
from pyro_mixdvae.separation.audio.trimming import HOP
from pyro_mixdvae.separation.mixtures.mixing import RATE, draw_mixtures, plan_mixtures
from pyro_mixdvae.separation.separator import Separator

DEFAULT = "default"
PUBLISHED = "published"
# Of the published algorithm, where all its iterations would take minutes: the rest is reckoned from these.
FEW = 10
# B and T at which all its iterations are run.
IN_FULL = (20, 50)

# B mixtures [B, n] of T frames.
Make = Callable[[int, int], Tensor]
# Separates mixtures with so many iterations.
Separate = Callable[[Tensor, int], object]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    try:
        results = _measure_all(_recorded(*options.data) if options.data else _coloured, options)
    except InputError as error:
        sys.exit(str(error))
    markdown = f"{_rows_section(results)}\n\n{_stream_section(results['stream'])}"
    print(markdown)
    if options.output:
        write(options.output, "separate_speed", markdown, results)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", nargs=2, default=("speech", "flute"), help="names or paths of weights")
    parser.add_argument("--data", nargs=2, type=Path, metavar=("SPEECH_DIR", "FLUTE_DIR"), help="folders of recordings")
    parser.add_argument("--frames", nargs="+", type=int, default=(50, 300), help="T")
    parser.add_argument("--batches", nargs="+", type=int, default=(1, 20), help="B")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the sound that Separator.separate is given")
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement, at most")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds after which a measurement is not repeated")
    parser.add_argument("-o", "--output", type=Path, help="folder for separate_speed.md and separate_speed.json")
    return parser.parse_args(arguments)


def _coloured(n_mixtures: int, n_frames: int) -> Tensor:
    return coloured_noise(n_mixtures, (n_frames - 1) * HOP)


def coloured_noise(n_sounds: int, n_samples: int) -> Tensor:
    """Noise [B, n] with the power spectrum 1 / f, at most 1."""
    white = np.random.default_rng(0).standard_normal((n_sounds, n_samples))
    spectrum = np.fft.rfft(white)
    pink = np.fft.irfft(spectrum / np.sqrt(1 + np.arange(spectrum.shape[1])), n_samples)
    return torch.from_numpy((pink / np.abs(pink).max(axis=1, keepdims=True)).astype(np.float32))


def _recorded(*folders: Path) -> Make:
    def make(n_mixtures: int, n_frames: int) -> Tensor:
        drawn = draw_mixtures(folders, plan_mixtures([0.0], [n_frames], n_mixtures))
        return torch.from_numpy(np.stack([mixture.samples for mixture in drawn]))

    return make


def _measure_all(make: Make, options: argparse.Namespace) -> dict[str, Any]:
    stft_of(SoundSettings(tuple(options.sources)))  # refuses models of another rate than that of the mixtures
    ours = Separator(options.sources)

    def separate(preset: str) -> Separate:
        by_count: dict[int, Separator] = {}

        def with_iterations(mixtures: Tensor, iterations: int) -> Tensor:
            if iterations not in by_count:
                make_one = published if preset == PUBLISHED else partial(Separator, preset=preset)
                by_count[iterations] = make_one(options.sources, n_iterations=iterations)
            return MixDVAE(by_count[iterations]).separate(mixtures, mixtures.unsqueeze(1)).waveforms

        return with_iterations

    def timed(name: str, separate: Separate, iterations: int, n_mixtures: int, n_frames: int) -> dict[str, Any]:
        print(f"{name}: B = {n_mixtures}, T = {n_frames}", file=sys.stderr)
        mixtures = make(n_mixtures, n_frames)
        run = FEW if name == PUBLISHED and (n_mixtures, n_frames) != IN_FULL else iterations

        def of(count: int) -> Timing:
            return measure(lambda: separate(mixtures, count), options.repeats, options.budget)

        return {"B": n_mixtures, "T": n_frames, **_per_mixture(of(1), of(run), run, iterations, n_mixtures)}

    rows: dict[str, tuple[Separate, int]] = {
        DEFAULT: (separate("additive"), ours.preset.algorithm.n_iterations),
        "--likelihood assignment": (separate("assignment"), ours.preset.algorithm.n_iterations),
        PUBLISHED: (separate(PUBLISHED), PUBLISHED_ITERATIONS),
    }
    results: dict[str, Any] = {
        "rows": {
            name: [
                timed(name, *row, n_mixtures, n_frames) for n_frames in options.frames for n_mixtures in options.batches
            ]
            for name, row in rows.items()
        }
    }
    return results | {"stream": _measure_stream(ours, options)}


def _measure_stream(separator: Separator, options: argparse.Namespace) -> dict[str, Any]:
    """`Separator.separate` on one long sound: segments, cross-fades, and how well the models fit."""
    waveform = coloured_noise(1, round(options.seconds * RATE))[0]
    print(f"Separator.separate: {options.seconds:g} s", file=sys.stderr)
    timing = measure(lambda: separator.separate(waveform, RATE), options.repeats, options.budget)
    return {"sound_seconds": options.seconds, "median": timing.median, "spread": timing.spread, **asdict(timing)}


def _per_mixture(once: Timing, timing: Timing, run: int, iterations: int, n_mixtures: int) -> dict[str, Any]:
    """Seconds for one of B mixtures: in all, and of an iteration after the first one.

    Args:
        once: of one iteration, with everything around it.
        timing: of `run` iterations.
        run: how many were run.
        iterations: how many there are in all; if these are more, the rest is reckoned.
        n_mixtures: B.
    """
    iteration = (timing.median - once.median) / (run - 1)
    return {
        "iterations": iterations,
        "iterations_run": run,
        "seconds_per_mixture": (timing.median + (iterations - run) * iteration) / n_mixtures,
        "seconds_per_iteration": iteration / n_mixtures,
        "spread": timing.spread,
        "seconds": timing.seconds,
        "seconds_of_one_iteration": once.seconds,
    }


def _rows_section(results: dict[str, Any]) -> str:
    default = {(row["B"], row["T"]): row["seconds_per_mixture"] for row in results["rows"][DEFAULT]}
    cells = [
        [
            name,
            row["B"],
            row["T"],
            f"{1000 * row['seconds_per_mixture']:.3g}{'' if row['iterations'] == row['iterations_run'] else ' *'}",
            row["iterations"],
            f"{1000 * row['seconds_per_iteration']:.3g}",
            f"{100 * row['spread']:.0f} %" if len(row["seconds"]) > 1 else "",
            len(row["seconds"]),
            f"{row['seconds_per_mixture'] / default[row['B'], row['T']]:.3g}",
            f"{row['seconds_per_mixture'] * RATE / ((row['T'] - 1) * HOP):.3g}",
        ]
        for name, rows in results["rows"].items()
        for row in rows
    ]
    header = [
        "row", "B", "T", "ms/mixture (median)", "iterations", "ms/iteration", "spread", "repeats", "time / default's",
        "real-time factor",
    ]  # fmt: skip
    legend = (
        "Transforms and the ELBOs that decide when to stop are included. An iteration: how much longer a run takes "
        "than one of a single iteration, divided by the number of the others. "
        f"\\*: {FEW} iterations were run, the rest is reckoned from these."
    )
    return f"### Separation\n\n{markdown_table(header, cells)}\n\n{legend}"


def _stream_section(stream: dict[str, Any]) -> str:
    cells = [[
        f"{stream['sound_seconds']:g} s of sound",
        f"{stream['median']:.3g}",
        f"{100 * stream['spread']:.0f} %" if len(stream["seconds"]) > 1 else "",
        len(stream["seconds"]),
        f"{stream['median'] / stream['sound_seconds']:.3g}",
    ]]  # fmt: skip
    header = ["Separator.separate", "s (median)", "spread", "repeats", "real-time factor"]
    return f"### A long sound\n\n{markdown_table(header, cells)}"


if __name__ == "__main__":
    main()
