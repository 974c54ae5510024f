"""Score our tracker and its rivals on the same samples of a few targets, cut from annotated sequences.

``python benchmarks/track_quality.py DATA``, where DATA is a folder of MOTChallenge sequences.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from interval_coverage import Coverage, coverage
from interval_coverage import pool as pool_coverage
from report import markdown_table, write

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.rivals import ceiling, jpda, sort
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files import Tracks
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scores import OVERALL, Score, pool, score
from pyro_mixdvae.tracking.sequences import find_sequences
from pyro_mixdvae.tracking.tracker import Tracker
from pyro_mixdvae.tracking.triples import Sample, make_triples

N_SOURCES = 3
BATCH = 128
ROWS = ("ours", "published", "sort", "jpda", "ceiling")


@dataclass(frozen=True)
class Outcome:
    """What a tracker made of one sample; ``result`` where it gives intervals as well."""

    boxes: Array
    result: TrackingResult | None = None


@dataclass(frozen=True)
class Measurement:
    """A row of the tables: one tracker on the samples of one length of one sequence, or of all."""

    row: str
    n_frames: int
    samples: int
    score: Score
    coverage: Coverage | None
    seconds_per_sample: float


# From all samples to the outcome of each.
Row = Callable[[Sequence[Sample]], list[Outcome]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    try:
        rows = {name: _row(name, options.published_weights) for name in options.rows}
        measurements = [
            measurement for n_frames in options.frames for measurement in _measure_length(rows, n_frames, options)
        ]
    except InputError as error:
        sys.exit(str(error))
    markdown = "\n\n".join(_section(n_frames, measurements) for n_frames in options.frames)
    print(markdown)
    if options.output:
        write(options.output, "track_quality", markdown, [_record(measurement) for measurement in measurements])


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of sequences with ground truth and detections")
    parser.add_argument("-T", "--frames", type=int, nargs="+", default=[60, 120, 240], help="lengths of the samples")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=["ours", "sort", "jpda", "ceiling"])
    parser.add_argument("--published-weights", type=Path, help="imported weights of the authors, for `published`")
    parser.add_argument("--triples-per-window", type=int, default=20, help="samples of a window, at most")
    parser.add_argument("--step", type=int, help="frames from one window to the next; by default side by side")
    parser.add_argument("--seed", type=int, default=0, help="of the samples and the order of their detections")
    parser.add_argument("-o", "--output", type=Path, help="folder for track_quality.md and track_quality.json")
    options = parser.parse_args(arguments)
    if "published" in options.rows and not options.published_weights:
        parser.error("the row `published` needs --published-weights")
    return options


def _row(name: str, published_weights: Path | None) -> Row:
    if name == "ceiling":
        return lambda samples: [Outcome(ceiling.track(sample)) for sample in samples]
    if name == "sort":
        return lambda samples: [Outcome(sort.track(sample.detections, N_SOURCES)) for sample in samples]
    if name == "jpda":
        return lambda samples: [Outcome(jpda.track(sample.detections, N_SOURCES)) for sample in samples]
    if name == "published":
        return _batched(Tracker(n_sources=N_SOURCES, preset="published", weights=published_weights))
    return _batched(Tracker(n_sources=N_SOURCES))


def _batched(tracker: Tracker) -> Row:
    def track(samples: Sequence[Sample]) -> list[Outcome]:
        outcomes = []
        for first in range(0, len(samples), BATCH):
            batch = samples[first : first + BATCH]
            results = tracker.track_many(
                [sample.detections for sample in batch], sizes=[sample.size for sample in batch]
            )
            outcomes += [Outcome(result.boxes, result) for result in results]
        return outcomes

    return track


def _measure_length(rows: dict[str, Row], n_frames: int, options: argparse.Namespace) -> list[Measurement]:
    samples = make_triples(
        find_sequences(options.data),
        n_frames=n_frames,
        n_sources=N_SOURCES,
        triples_per_window=options.triples_per_window,
        step=options.step,
        seed=options.seed,
    )
    if not samples:
        return []
    # Column n of a sample is target n; only the ceiling may know.
    shuffled = [sample.shuffled(options.seed + number) for number, sample in enumerate(samples)]
    return [
        measurement
        for name, row in rows.items()
        for measurement in _measure(name, row, samples if name == "ceiling" else shuffled, n_frames)
    ]


def _measure(name: str, row: Row, samples: Sequence[Sample], n_frames: int) -> list[Measurement]:
    """The measurements of each sequence, and of all together last."""
    start = time.perf_counter()
    outcomes = row(samples)
    seconds = (time.perf_counter() - start) / len(samples)
    scores = [
        score(Tracks.from_boxes(outcome.boxes), Tracks.from_boxes(sample.ground_truth)).overall
        for sample, outcome in zip(samples, outcomes, strict=True)
    ]
    covered = [
        coverage(outcome.result, sample.ground_truth) if outcome.result else None
        for sample, outcome in zip(samples, outcomes, strict=True)
    ]
    sequences = dict.fromkeys(sample.sequence for sample in samples)
    groups = {
        sequence: [i for i, sample in enumerate(samples) if sample.sequence == sequence] for sequence in sequences
    }
    groups[OVERALL] = list(range(len(samples)))
    return [
        Measurement(
            row=name,
            n_frames=n_frames,
            samples=len(members),
            score=pool([scores[i] for i in members], group),
            coverage=_pool_coverage([covered[i] for i in members]),
            seconds_per_sample=seconds,
        )
        for group, members in groups.items()
    ]


def _pool_coverage(coverages: Sequence[Coverage | None]) -> Coverage | None:
    known = [one for one in coverages if one is not None]
    return pool_coverage(known) if known else None


def _section(n_frames: int, measurements: Sequence[Measurement]) -> str:
    """The table of one length; a sequence's rows stand together, so that trackers are compared on it."""
    chosen = [measurement for measurement in measurements if measurement.n_frames == n_frames]
    title = f"### T = {n_frames}"
    if not chosen:
        return f"{title}\n\nNo window of this length holds {N_SOURCES} targets that are annotated and detected enough."
    order = list(dict.fromkeys(measurement.score.name for measurement in chosen))
    chosen.sort(key=lambda measurement: order.index(measurement.score.name))
    header = ["sequence (samples)", "row", "MOTA", "IDF1", "MOTP", "#IDS", "#FP", "#FN", "ms/sample"]
    with_intervals = any(measurement.coverage for measurement in chosen)
    header += ["inside 90 %: observed", "inferred"] if with_intervals else []
    rows = [_cells(measurement)[: len(header)] for measurement in chosen]
    return f"{title}\n\n{markdown_table(header, rows)}"


def _cells(measurement: Measurement) -> list[str]:
    counted, covered = measurement.score, measurement.coverage
    return [
        f"{counted.name} ({measurement.samples})",
        measurement.row,
        f"{counted.mota:.4f}",
        f"{counted.idf1:.4f}",
        f"{counted.motp:.4f}",
        str(counted.switches),
        str(counted.false_positives),
        str(counted.false_negatives),
        f"{1000 * measurement.seconds_per_sample:.2f}" if counted.name == OVERALL else "",
        f"{covered.of_observed:.3f}" if covered else "",
        f"{covered.of_inferred:.3f}" if covered else "",
    ]


def _record(measurement: Measurement) -> dict[str, Any]:
    return {
        "row": measurement.row,
        "sequence": measurement.score.name,
        "n_frames": measurement.n_frames,
        "samples": measurement.samples,
        "seconds_per_sample": measurement.seconds_per_sample,
        **measurement.score.columns,
        "coverage": asdict(measurement.coverage) if measurement.coverage else None,
    }


if __name__ == "__main__":
    main()
