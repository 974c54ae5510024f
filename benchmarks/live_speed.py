"""Print how many frames a second `LiveTracker` takes, on one thread: ``python benchmarks/live_speed.py``."""

import argparse
import statistics
import time
from collections.abc import Sequence

import torch
from synthetic_scenes import SIZE, synthetic_detections

from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.live.tracker import LiveTracker

CASES = ((3, 0), (3, 5), (3, 15), (20, 0), (20, 5))  # sources, lag


def main(arguments: Sequence[str] | None = None) -> None:
    """Time every frame of one synthetic scene; the first frames, which warm up, do not count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200, help="frames of the scene")
    frames = parser.parse_args(arguments).frames
    torch.set_num_threads(1)
    print("| sources | lag | frames/s (median frame) | slowest twentieth |")
    print("| ------: | --: | ----------------------: | ----------------: |")
    for n_sources, lag in CASES:
        seconds = sorted(_seconds(synthetic_detections(1, frames, n_sources)[0], n_sources, lag))
        slow = seconds[int(0.95 * len(seconds))]
        print(f"| {n_sources:>7} | {lag:>3} | {1 / statistics.median(seconds):>23.0f} | {1 / slow:>17.0f} |")


def _seconds(detections: Array, n_sources: int, lag: int) -> list[float]:
    """Seconds of each frame of detections ``[T, K, 4]`` after the window has filled."""
    tracker = LiveTracker(n_sources, SIZE, lag=lag)
    seconds = []
    for frame in detections:
        start = time.perf_counter()
        tracker.update(frame)
        seconds.append(time.perf_counter() - start)
    return seconds[lag + 10 :]


if __name__ == "__main__":
    main()
