"""Score separated mixtures of speech and flute: ``python benchmarks/separate_quality.py SPEECH_DIR FLUTE_DIR``.

SNR is the power of the speech above that of the flute, in decibels. Scores are those of one source in one mixture;
means have 95 % intervals of a bootstrap over mixtures.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import torch
from report import write
from sound_methods import by_separator, published, refuse_other_rates, true_sources
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.published import ITERATIONS
from pyro_mixdvae.reporting.tables import markdown_table
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.mixtures.mixing import Mixture, draw_mixtures, plan_mixtures
from pyro_mixdvae.separation.scores.measures import SCORES, estoi, pesq, scaled_rmse, si_sdr
from pyro_mixdvae.separation.scores.rows import Item, Mean, Row, rows_of
from pyro_mixdvae.separation.separator import Separator

SOURCES = ("speech", "flute")
BATCH = 20
_DIGITS = {"SI-SDR": 2, "RMSE": 4, "PESQ": 2, "ESTOI": 3}

# From the true sources [B, N, n], of which all but the ideal masks take the sum alone, to estimates of them.
Method = Callable[[Tensor], Tensor]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print tables of the means; with -o write them too, and the scores of each source in each mixture."""
    options = _parse(arguments)
    try:
        methods = _methods(options)
        items = _score_all(methods, options)
    except InputError as error:
        sys.exit(str(error))
    rows = {name: rows_of(scored, options.seed) for name, scored in items.items()}
    markdown = "\n\n".join(_section(rows, n_frames) for n_frames in dict.fromkeys(options.frames))
    print(markdown)
    if options.output:
        write(options.output, "separate_quality", markdown, _as_json(rows, items, options))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs=2, type=Path, metavar="DIR", help="recordings of speech, and of flutes")
    parser.add_argument("--sources", nargs=2, default=SOURCES, help="names or paths of weights: speech, flute")
    parser.add_argument(
        "--published-weights",
        nargs=2,
        type=Path,
        metavar=("FLUTE", "SPEECH"),
        help="the authors', imported, in this order; without them there is no row 'published'",
    )
    parser.add_argument("--published-iterations", type=int, default=ITERATIONS)
    parser.add_argument("--frames", nargs="+", type=int, default=(50, 100, 300), help="T of the mixtures")
    parser.add_argument("--snr", nargs="+", type=float, default=(-10.0, -5.0, 0.0, 5.0))
    parser.add_argument("--count", type=int, default=40, help="of mixtures at each length and SNR")
    parser.add_argument("--seed", type=int, default=0, help="of the mixtures, and of the bootstrap")
    parser.add_argument("--pesq", action="store_true", help="PESQ too (extra pesq)")
    parser.add_argument("-o", "--output", type=Path, help="folder for separate_quality.md and separate_quality.json")
    return parser.parse_args(arguments)


def _methods(options: argparse.Namespace) -> dict[str, Method]:
    default = Separator(options.sources)
    refuse_other_rates(default.stft)
    methods = {
        "default": _mixed(default),
        "first pass": _mixed(Separator(options.sources, n_iterations=1)),
        "assignment": _mixed(Separator(options.sources, preset="assignment")),
    }
    if options.published_weights:
        flute, speech = options.published_weights
        theirs = published((speech, flute), options.published_iterations)
        refuse_other_rates(theirs.stft)
        methods["published"] = _mixed(theirs)
    return methods | {
        "mixture": lambda sources: sources.sum(1, keepdim=True).expand_as(sources),
        "ideal binary mask": lambda sources: ideal_mask(sources, default.stft, is_binary=True),
        "ideal Wiener filter": lambda sources: ideal_mask(sources, default.stft, is_binary=False),
    }


def _mixed(separator: Separator) -> Method:
    return lambda sources: by_separator(separator, sources.sum(1))


def ideal_mask(sources: Tensor, stft: STFT, is_binary: bool) -> Tensor:
    """The mixture of sources [B, N, n] through a mask of their true powers p, [B, N, n].

    Binary: all to the greatest. Otherwise the Wiener filter `p_n / sum p`.
    """
    spectra = stft.spectrum(sources)
    power = squared_modulus(spectra)
    if is_binary:
        mask = torch.zeros_like(power).scatter_(1, power.argmax(1, keepdim=True), 1.0)
    else:
        mask = power / power.sum(1, keepdim=True).clamp(min=torch.finfo(power.dtype).tiny)
    return stft.waveform(mask * spectra.sum(1, keepdim=True), sources.shape[-1])


def _score_all(methods: dict[str, Method], options: argparse.Namespace) -> dict[str, list[Item]]:
    """The scores of each method."""
    recipes = plan_mixtures(options.snr, options.frames, options.count, options.seed)
    items: dict[str, list[Item]] = {name: [] for name in methods}
    done = 0
    for batch in _batches(draw_mixtures(options.folders, recipes)):
        sources = true_sources(batch)
        unprocessed = _scores(batch, methods["mixture"](sources), options.pesq)
        for name, method in methods.items():
            scores = unprocessed if name == "mixture" else _scores(batch, method(sources), options.pesq)
            items[name] += [
                Item(mixture.recipe.name, source, scored[n], before[n], mixture.recipe.snr, mixture.recipe.n_frames)
                for mixture, scored, before in zip(batch, scores, unprocessed, strict=True)
                for n, source in enumerate(SOURCES)
            ]
        done += len(batch)
        print(f"{done} of {len(recipes)} mixtures", file=sys.stderr)
    return items


def _batches(mixtures: Iterable[Mixture]) -> Iterator[list[Mixture]]:
    """Up to `BATCH` that follow each other and are of one length."""
    for _, alike in groupby(mixtures, lambda mixture: mixture.recipe.n_frames):
        while batch := list(islice(alike, BATCH)):
            yield batch


def _scores(batch: list[Mixture], estimates: Tensor, with_pesq: bool) -> list[list[dict[str, float]]]:
    """Of each source in each mixture."""
    return [
        [_score(*pair, with_pesq) for pair in zip(mixture.sources, of_mixture, strict=True)]
        for mixture, of_mixture in zip(batch, estimates.numpy(), strict=True)
    ]


def _score(reference: Samples, estimate: Samples, with_pesq: bool) -> dict[str, float]:
    """Each of `SCORES` of sounds [n]; NaN where it does not exist, and for an estimate that is not finite."""
    if not math.isfinite(float(estimate.sum())):
        return dict.fromkeys(SCORES, math.nan)
    return {
        "SI-SDR": si_sdr(reference, estimate),
        "RMSE": scaled_rmse(reference, estimate),
        "PESQ": pesq(reference, estimate) if with_pesq else math.nan,
        "ESTOI": estoi(reference, estimate),
    }


def _section(rows: dict[str, list[Row]], n_frames: int) -> str:
    """Means at one length: at all SNRs, and then at each."""
    chosen = [(name, row) for name, method in rows.items() for row in method if row.n_frames == n_frames]
    ratios = sorted({row.snr for _, row in chosen if row.snr is not None})
    together = [pair for pair in chosen if pair[1].snr is None] or chosen
    parts = [f"### T = {n_frames}\n\n{_table(together)}"]
    if len(ratios) > 1:
        parts += [f"SNR {snr:g} dB:\n\n{_table([pair for pair in chosen if pair[1].snr == snr])}" for snr in ratios]
    return "\n\n".join(parts)


def _table(rows: Sequence[tuple[str, Row]]) -> str:
    cells = [
        [name, row.source, row.items, *(_cell(row.columns[score], digits) for score, digits in _DIGITS.items())]
        for source in SOURCES
        for name, row in rows
        if row.source == source
    ]
    return markdown_table(["method", "source", "mixtures", *_DIGITS], cells)


def _cell(mean: Mean, digits: int) -> str:
    """The mean, its interval, and how many have no such score."""
    if math.isnan(mean.value):
        return "n/a"
    interval = "" if math.isnan(mean.low) else f" [{mean.low:.{digits}f}, {mean.high:.{digits}f}]"
    return f"{mean.value:.{digits}f}{interval}" + (f", {mean.missing} n/a" if mean.missing else "")


def _as_json(rows: dict[str, list[Row]], items: dict[str, list[Item]], options: argparse.Namespace) -> dict[str, Any]:
    """Means over mixtures (T or SNR null: over all), and what they are of."""
    return {
        "options": {"snr": [*options.snr], "frames": [*options.frames], "count": options.count, "seed": options.seed},
        "rows": [
            {
                "method": name,
                "source": row.source,
                "T": row.n_frames,
                "snr": row.snr,
                "mixtures": row.items,
                "columns": {
                    column: {key: _or_null(value) for key, value in mean._asdict().items()}
                    for column, mean in row.columns.items()
                },
            }
            for name, method in rows.items()
            for row in method
        ],
        "items": {
            name: [
                {"mixture": item.mixture, "source": item.source}
                | {score: _or_null(value) for score, value in item.estimate.items()}
                for item in scored
            ]
            for name, scored in items.items()
        },
    }


def _or_null(value: float) -> float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value


if __name__ == "__main__":
    main()
