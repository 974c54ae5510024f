"""A model of one's own instrument: ``python benchmarks/own_instrument.py NOTES PHRASES SPEECH --against SPEECH``.

Trains a model on single notes of a player (or takes one that is there, with --weights), and scores it on mixtures of
the player's phrases with speech of speakers that nothing was trained on. SNR is the power of the speech above that of
the instrument, in decibels; figures are means of the gain in SI-SDR over the mixture, with standard errors.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from report import write
from spoiling import LOSSY, WAYS, spoiled

from pyro_mixdvae.benchmark.sounds.mixdvae import of_posterior, peaks
from pyro_mixdvae.cli.main import app
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.reporting.tables import markdown_table
from pyro_mixdvae.separation.fit import FitSums
from pyro_mixdvae.separation.mixtures.mixing import draw_mixtures, plan_mixtures
from pyro_mixdvae.separation.scores.measures import si_sdr
from pyro_mixdvae.separation.separator import Separator


class Scored(NamedTuple):
    """A mixture: its length and SNR; of speech and instrument the gains in decibels, and whether there is a warning."""

    n_frames: int
    snr: float
    gains: tuple[float, float]
    steadiness: tuple[float, float]
    warned: tuple[bool, bool]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train where there are no weights, separate, and print the table."""
    options = _parse(arguments)
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        weights, other = options.weights, options.other or Path("speech")
        if weights is None:
            weights = (options.output or Path(folder)) / "instrument.safetensors"
            seconds = trained(options, weights)
            if options.against and not options.other:
                other = weights.with_name("instrument-others.safetensors")
        try:
            scored = list(_scores(options, weights, other))
        except InputError as error:
            sys.exit(str(error))
    markdown = _table(scored)
    print(markdown)
    if options.output:
        rows = [row._asdict() for row in scored]
        write(options.output, "own_instrument", markdown, {"training_cpu_seconds": seconds, "mixtures": rows})


def trained(options: argparse.Namespace, weights: Path) -> float:
    """Train by the command line; seconds of CPU that it took."""
    against = [word for folder in options.against for word in ("--against", str(folder))]
    with tempfile.TemporaryDirectory() as folder:
        notes = options.notes
        if options.spoil:
            notes = Path(folder)
            spoiled(options.notes, notes, options.spoil, options.seed)
        command = ["train", "audio", str(notes), "-o", str(weights), "--overwrite", *against, *options.train]
        before = time.process_time()
        app(command, standalone_mode=False)
    seconds = time.process_time() - before
    print(f"trained in {seconds / 60:.1f} min of CPU", file=sys.stderr)
    return seconds


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notes", type=Path, help="recordings of the instrument to train on")
    parser.add_argument("phrases", type=Path, help="recordings of the same player to test on")
    parser.add_argument("speech", type=Path, help="recordings of speech to test on")
    parser.add_argument("--against", type=Path, nargs="*", default=[], help="sounds to train against, none of the test")
    parser.add_argument("--weights", type=Path, help="of the instrument: a file, or the name of one that ships")
    parser.add_argument("--other", type=Path, help="weights of the speech, in place of those that learn along, or ship")
    ways = [*WAYS, LOSSY]
    parser.add_argument("--spoil", nargs="+", choices=ways, default=[], help="what is done to the notes before")
    parser.add_argument("--frames", nargs="+", type=int, default=(50, 100, 300), help="T of the mixtures")
    parser.add_argument("--snr", nargs="+", type=float, default=(-10.0, -5.0, 0.0, 5.0))
    parser.add_argument("--count", type=int, default=10, help="of mixtures at each length and SNR")
    parser.add_argument("--seed", type=int, default=0, help="of the mixtures")
    parser.add_argument("--train", nargs=argparse.REMAINDER, default=[], help="what follows goes to mixdvae train")
    parser.add_argument("-o", "--output", type=Path, help="folder for the weights, the table and all gains")
    options = parser.parse_args(arguments)
    if options.weights and options.spoil:
        parser.error("--spoil is for what is trained on, and with --weights nothing is.")
    return options


def _scores(options: argparse.Namespace, weights: Path, other: Path) -> Iterator[Scored]:
    separator = Separator([other, weights])
    recipes = plan_mixtures(options.snr, options.frames, options.count, options.seed)
    for mixture in draw_mixtures([options.speech, options.phrases], recipes):
        mixed = torch.from_numpy(mixture.samples)[None]
        posterior = separator.infer(mixed / peaks(mixed))
        stems = of_posterior(separator, mixed, posterior).waveforms[0].numpy()
        sums = FitSums(len(separator.names))
        sums.add(posterior)
        fits = sums.fits(separator.names)
        gains = [
            si_sdr(true, found) - si_sdr(true, mixture.samples)
            for true, found in zip(mixture.sources, stems, strict=True)
        ]
        steadiness, warned = [fit.steadiness for fit in fits], [fit.warning is not None for fit in fits]
        yield Scored(mixture.recipe.n_frames, mixture.recipe.snr, tuple(gains), tuple(steadiness), tuple(warned))


def _table(scored: Sequence[Scored]) -> str:
    rows = []
    for n_frames in dict.fromkeys(row.n_frames for row in scored):
        gains = np.array([row.gains for row in scored if row.n_frames == n_frames])
        error = gains.std(0, ddof=1) / np.sqrt(len(gains))
        cells = [f"{mean:.1f} ± {spread:.1f}" for mean, spread in zip(gains.mean(0), error, strict=True)]
        rows.append([n_frames, len(gains), *cells])
    table = markdown_table(["T", "mixtures", "speech, gain in dB", "instrument, gain in dB"], rows)
    return f"{table}\n\n{_of_warnings(scored)}"


def _of_warnings(scored: Sequence[Scored]) -> str:
    """How many parts that came out badly, or well, carry a warning."""
    gains = np.array([row.gains for row in scored]).ravel()
    warned = np.array([row.warned for row in scored]).ravel()
    shares = [
        f"of {of.sum()} parts {what} {warned[of].mean():.0%} have a warning"
        for what, of in (("below 2 dB", gains < 2), ("above 6 dB", gains > 6))
        if of.any()
    ]
    return "Gains: " + "; ".join(shares) + "."


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
