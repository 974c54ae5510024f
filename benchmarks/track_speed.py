"""Time our tracker and its baselines, all in one run on one thread.

``python benchmarks/track_speed.py``: synthetic scenes; ``--data DATA`` takes samples of annotated sequences instead.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from framewise import make_gradients
from report import write
from synthetic_scenes import SIZE, synthetic_detections
from timing import Timing, measure

from pyro_mixdvae.baselines import jpda, sort
from pyro_mixdvae.benchmark.samples.triples import make_triples
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.reporting.tables import markdown_table
from pyro_mixdvae.representations.boxes import PublishedCorners
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.sequences import Size, find_sequences
from pyro_mixdvae.tracking.tracker import Tracker
from pyro_mixdvae.weights.store import save_network

N_SOURCES = 3
BATCHES = (1, 128)
LENGTHS = (60, 300)
LONG = 1000  # frames of a single scene for the default alone; annotated sequences may have none so long
GRADIENT_LENGTH = 20
# Pairs of (B, T), the second one twice the first.
DOUBLINGS = (((64, 60), (128, 60)), ((128, 60), (256, 60)), ((128, 60), (128, 120)), ((128, 150), (128, 300)))


@dataclass(frozen=True)
class Scenes:
    """Detections ``[B, T, K, 4]`` xyxy in pixels, and the size of each image."""

    detections: Array
    sizes: list[Size]


# B scenes of T frames.
Source = Callable[[int, int], Scenes]
Track = Callable[[Scenes], object]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    options = _parse(arguments)
    torch.set_num_threads(1)
    make_scenes: Source = _recorded(options.data) if options.data else _synthetic
    try:
        results = _measure_all(make_scenes, options)
    except InputError as error:
        sys.exit(str(error))
    markdown = "\n\n".join([_rows_section(results), _growth_section(results), _framewise_section(results)])
    print(markdown)
    if options.output:
        write(options.output, "track_speed", markdown, results)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of sequences with ground truth and detections")
    parser.add_argument(
        "--published-weights", type=Path, help="imported weights of the authors; an untrained SRNN if not given"
    )
    parser.add_argument("--repeats", type=int, default=5, help="of each measurement, at most")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds after which a measurement is not repeated")
    parser.add_argument("-o", "--output", type=Path, help="folder for track_speed.md and track_speed.json")
    return parser.parse_args(arguments)


def _synthetic(n_scenes: int, n_frames: int) -> Scenes:
    return Scenes(synthetic_detections(n_scenes, n_frames, N_SOURCES), [SIZE] * n_scenes)


def _recorded(data: Path) -> Source:
    """Samples of sequences; where there are fewer than asked for, they come again."""

    def make(n_scenes: int, n_frames: int) -> Scenes:
        samples = make_triples(find_sequences(data), n_frames, N_SOURCES)
        if not samples:
            raise InputError(f"{data}: no window of {n_frames} frames holds {N_SOURCES} targets: leave --data out.")
        chosen = [samples[number % len(samples)].shuffled(number) for number in range(n_scenes)]
        return Scenes(np.stack([sample.detections for sample in chosen]), [sample.size for sample in chosen])

    return make


def _measure_all(make_scenes: Source, options: argparse.Namespace) -> dict[str, Any]:
    ours = Tracker(n_sources=N_SOURCES)
    rows: dict[str, Track] = {
        "default": _batched(ours),
        _published_name(options.published_weights): _batched(_published(options.published_weights)),
        "SORT": lambda scenes: [sort.track(detections, N_SOURCES) for detections in scenes.detections],
        "JPDA": lambda scenes: [jpda.track(detections, N_SOURCES) for detections in scenes.detections],
    }

    def timed(name: str, n_scenes: int, n_frames: int) -> dict[str, Any]:
        scenes = make_scenes(n_scenes, n_frames)
        print(f"{name}: B = {n_scenes}, T = {n_frames}", file=sys.stderr)
        timing = measure(lambda: rows[name](scenes), options.repeats, options.budget)
        return {"B": n_scenes, "T": n_frames, **_per_scene(timing, n_scenes)}

    timings = {name: [timed(name, n_scenes, n_frames) for n_frames in LENGTHS for n_scenes in BATCHES] for name in rows}
    if not options.data:
        timings["default"].append(timed("default", 1, LONG))
    return {
        "rows": timings,
        "growth": [[timed("default", *once), timed("default", *twice)] for once, twice in DOUBLINGS],
        "framewise": [_measure_gradients(ours, n_scenes, options) for n_scenes in BATCHES],
    }


def _batched(tracker: Tracker) -> Track:
    return lambda scenes: tracker.track_many(list(scenes.detections), sizes=scenes.sizes)


def _published_name(weights: Path | None) -> str:
    return "published" if weights else "published (untrained SRNN)"


def _published(weights: Path | None) -> Tracker:
    """The published preset; without weights, an untrained network of the paper's size, which takes as long."""
    if weights:
        return Tracker(n_sources=N_SOURCES, preset="published", weights=weights)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "untrained.safetensors"
        torch.manual_seed(0)
        save_network(path, SRNN(), PublishedCorners(), {"data": "none: untrained, to measure time"})
        return Tracker(n_sources=N_SOURCES, preset="published", weights=path)


def _measure_gradients(tracker: Tracker, n_scenes: int, options: argparse.Namespace) -> dict[str, Any]:
    detections = synthetic_detections(n_scenes, GRADIENT_LENGTH, N_SOURCES)
    gradients = make_gradients(tracker.preset, detections, N_SOURCES, SIZE)
    vectorised, stepwise = (
        _per_scene(measure(gradient, options.repeats, options.budget), n_scenes) for gradient in gradients
    )
    return {"B": n_scenes, "T": GRADIENT_LENGTH, "vectorised": vectorised, "stepwise": stepwise}


def _per_scene(timing: Timing, n_scenes: int) -> dict[str, Any]:
    seconds = Timing(tuple(repeat / n_scenes for repeat in timing.seconds))
    return {"seconds_per_sample": seconds.median, "spread": seconds.spread, **asdict(seconds)}


def _rows_section(results: dict[str, Any]) -> str:
    default = {(row["B"], row["T"]): row["seconds_per_sample"] for row in results["rows"]["default"]}
    cells = [
        [
            name,
            row["B"],
            row["T"],
            f"{1000 * row['seconds_per_sample']:.3g}",
            f"{100 * row['spread']:.0f} %" if len(row["seconds"]) > 1 else "",
            len(row["seconds"]),
            f"{row['seconds_per_sample'] / default[row['B'], row['T']]:.3g}",
        ]
        for name, rows in results["rows"].items()
        for row in rows
    ]
    header = ["row", "B", "T", "ms/sample (median)", "spread", "repeats", "time / default's"]
    return f"### Tracking\n\n{markdown_table(header, cells)}"


def _growth_section(results: dict[str, Any]) -> str:
    cells = []
    for once, twice in results["growth"]:
        first, second = (row["B"] * row["seconds_per_sample"] for row in (once, twice))
        change = f"B = {once['B']}, T = {once['T']} to B = {twice['B']}, T = {twice['T']}"
        cells.append([change, f"{first:.3g}", f"{second:.3g}", f"{second / first:.2f}"])
    header = ["default", "s, all samples", "s at twice the size", "ratio (linear: 2)"]
    return f"### Growth\n\n{markdown_table(header, cells)}"


def _framewise_section(results: dict[str, Any]) -> str:
    cells = []
    for row in results["framewise"]:
        vectorised, stepwise = (row[name]["seconds_per_sample"] for name in ("vectorised", "stepwise"))
        frame = [f"{1e6 * seconds / row['T']:.3g}" for seconds in (vectorised, stepwise)]
        cells.append([f"B = {row['B']}, T = {row['T']}", *frame, f"{stepwise / vectorised:.3g}"])
    header = ["one gradient of the ELBO", "vectorised, µs/frame", "frame by frame, µs/frame", "ratio"]
    return f"### The same model written frame by frame\n\n{markdown_table(header, cells)}"


if __name__ == "__main__":
    main()
