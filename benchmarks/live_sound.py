"""Hold live separation to that of whole sounds: ``python benchmarks/live_sound.py SPEECH_DIR FLUTE_DIR``.

The same mixtures are separated as wholes and live, in blocks of 10 ms: gains in SI-SDR of both, latency, and how long
the work takes beside the sound, on one thread. Then the mixtures are looped for some minutes: what memory is in use.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from pyro_mixdvae import LiveSeparator, Separator
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.reporting.tables import markdown_table
from pyro_mixdvae.separation.mixtures.mixing import RATE, Mixture, draw_mixtures, plan_mixtures
from pyro_mixdvae.separation.scores.measures import si_sdr

BLOCK = RATE // 100


@dataclass(frozen=True)
class Live:
    """Of one mixture.

    Attributes:
        stems: ``[N, n]``.
        factors: of each call that separated something, seconds of the processor a second of its hop.
        latest: seconds that a sample had to wait for its stems, at most; the work not counted.
    """

    stems: npt.NDArray[np.float32]
    factors: list[float]
    latest: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs=2, type=Path, metavar="DIR", help="folders of recordings, one a source")
    parser.add_argument("--sources", nargs=2, default=("speech", "flute"), help="names or paths of weights")
    parser.add_argument("--snr", nargs="+", type=float, default=(-10.0, -5.0, 0.0, 5.0), help="decibels")
    parser.add_argument("--frames", type=int, default=375, help="of 16 ms, of a mixture")
    parser.add_argument("--count", type=int, default=4, help="mixtures at each ratio")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=20.0, help="of the loop")
    for name in ("window", "hop", "lookahead"):
        parser.add_argument(f"--{name}", type=float, help="seconds; those of LiveSeparator if not given")
    parser.add_argument("--iterations", type=int, dest="n_iterations", help="of LiveSeparator")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    names = ("window", "hop", "lookahead", "n_iterations")
    chosen = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    recipes = plan_mixtures(options.snr, [options.frames], options.count, options.seed)
    try:
        live = LiveSeparator(RATE, options.sources, **chosen)
        mixtures = list(draw_mixtures(options.data, recipes))
    except InputError as error:
        sys.exit(str(error))
    print(_quality(mixtures, Separator(options.sources), live, options.snr), flush=True)
    print(_loop(mixtures, live, options.minutes))


def _quality(mixtures: Sequence[Mixture], separator: Separator, live: LiveSeparator, snrs: Sequence[float]) -> str:
    rows: dict[float, list[npt.NDArray[np.float64]]] = {snr: [] for snr in snrs}
    factors, latest = [], 0.0
    for mixture in mixtures:
        print(mixture.recipe.name, file=sys.stderr)
        whole = np.asarray(separator.separate(mixture.samples, RATE).stems)
        found = separate(live, mixture.samples)
        factors, latest = factors + found.factors, max(latest, found.latest)
        rows[mixture.recipe.snr].append(np.stack([gains(whole, mixture), gains(found.stems, mixture)]))
    cells = [_cells(f"{snr:g}", pairs) for snr, pairs in rows.items()]
    cells.append(_cells("all", [pair for pairs in rows.values() for pair in pairs]))
    header = ["ratio, dB", "mixtures", "whole", "live", "loss, mean", "loss, worst part"]
    ordered = sorted(factors)
    timing = markdown_table(
        ["latency, s", "latest seen, s", "real-time factor (median)", "slowest twentieth"],
        [[f"{live.latency:.3f}", f"{latest:.3f}", f"{statistics.median(factors):.3f}",
          f"{ordered[int(0.95 * len(ordered))]:.3f}"]],
    )  # fmt: skip
    return f"Gains in SI-SDR, {' / '.join(live.names)}:\n\n{markdown_table(header, cells)}\n\n{timing}\n"


def _cells(name: str, pairs: Sequence[npt.NDArray[np.float64]]) -> list[object]:
    """Of pairs [2, N] of gains, whole and live."""
    whole, live = np.mean(pairs, 0)
    losses = np.stack(pairs)[:, 0] - np.stack(pairs)[:, 1]
    means = [" / ".join(f"{value:.2f}" for value in row) for row in (whole, live, losses.mean(0))]
    return [name, len(pairs), *means, f"{losses.max():.2f}"]


def separate(live: LiveSeparator, samples: npt.NDArray[np.float32]) -> Live:
    """Stems of a mixture ``[n]`` that comes block by block."""
    parts, factors, latest, n_ready = [], [], 0.0, 0
    for begin in range(0, len(samples), BLOCK):
        block = samples[begin : begin + BLOCK]
        before = time.process_time()
        parts.append(live.update(block))
        busy = time.process_time() - before
        if parts[-1].shape[1]:
            factors.append(busy * RATE / parts[-1].shape[1])
        n_ready += parts[-1].shape[1]
        latest = max(latest, (begin + len(block) - n_ready) / RATE)
    # The first stems are those of a shorter piece: the window begins before the sound.
    return Live(np.concatenate([*parts, live.finish()], 1), factors[1:], latest)


def gains(stems: npt.NDArray[np.floating], mixture: Mixture) -> npt.NDArray[np.float64]:
    """``[N]``, decibels of SI-SDR above those of the mixture."""
    pairs = zip(stems, mixture.sources, strict=True)
    return np.array([si_sdr(source, stem) - si_sdr(source, mixture.samples) for stem, source in pairs])


def _loop(mixtures: Sequence[Mixture], live: LiveSeparator, minutes: float) -> str:
    """Memory in use and real-time factor, minute by minute, of the mixtures over and over."""
    loop = np.concatenate([mixture.samples for mixture in mixtures])
    cells, position, n_given = [], 0, 0
    for minute in sorted({min(1.0, minutes), minutes / 2, minutes}):
        before, n_before = time.process_time(), n_given
        while n_given < 60 * RATE * minute:
            block = loop[position : position + BLOCK]
            live.update(block)
            n_given, position = n_given + len(block), (position + len(block)) % len(loop)
        factor = (time.process_time() - before) * RATE / (n_given - n_before)
        cells.append([f"{minute:g}", f"{resident():.0f}", f"{factor:.3f}"])
    live.finish()
    return markdown_table(["minutes", "memory in use, MiB", "real-time factor since the row before"], cells)


def resident() -> float:
    """MiB of memory that this process has in use (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
