"""Print what a frame of a crowd costs, offline and live, on one thread: ``python benchmarks/crowds.py``.

Times are of the process, so that other work on the machine counts little: of a run of the default over the scene, by
its frames, and of the median frame of `LiveTracker`.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from synthetic_scenes import SIZE, synthetic_detections

from pyro_mixdvae.reporting.tables import markdown_table
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.live.tracker import LiveTracker
from pyro_mixdvae.tracking.tracker import Tracker


class Crowd(NamedTuple):
    """N sources and K boxes a frame, through so many frames."""

    n_sources: int
    n_boxes: int
    n_frames: int
    is_identical: bool = False

    @property
    def name(self) -> str:
        """In words."""
        kind = "identical" if self.is_identical else "scattered"
        return f"{self.n_sources} sources, {self.n_boxes} boxes, {kind}; {self.n_frames} frames"


CROWDS = (
    Crowd(3, 5, 300),
    Crowd(10, 500, 20),
    Crowd(10, 500, 20, is_identical=True),
    Crowd(20, 40, 60),
    Crowd(22, 30, 600),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Time every crowd; live frames that warm up do not count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, of which the median counts")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the rows to time, from 0 on")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = []
    for number, crowd in enumerate(CROWDS):
        if options.only is None or number in options.only:
            boxes = crowded_detections(crowd)
            offline = _offline(crowd, boxes, options.repeats)
            live = _live(crowd, boxes, options.repeats)
            rows.append([crowd.name, f"{1e3 * offline:.3g}", f"{1e3 * live:.3g}", f"{offline / live:.2g}"])
            print("| " + " | ".join(rows[-1]) + " |", flush=True)
    print(markdown_table(("crowd", "offline, ms/frame", "live, ms/frame", "offline / live"), rows))


def crowded_detections(crowd: Crowd, seed: int = 0) -> Array:
    """Detections ``[T, K, 4]``: those of N targets, of which one in ten is missed, and false boxes of their sizes.

    In the first frame stand the targets alone. Or K times one box, in every frame the same.
    """
    if crowd.is_identical:
        return np.broadcast_to(np.array([900.0, 500.0, 960.0, 640.0]), (crowd.n_frames, crowd.n_boxes, 4)).copy()
    rng = np.random.default_rng(seed)
    targets = synthetic_detections(1, crowd.n_frames, crowd.n_sources, seed)[0]
    shape = (crowd.n_frames, crowd.n_boxes - crowd.n_sources)
    sides = np.nanmedian(targets[..., 2:] - targets[..., :2], axis=(0, 1)) * rng.uniform(0.5, 2.0, (*shape, 1))
    corner = rng.uniform(0.0, 1.0, (*shape, 2)) * (np.array(SIZE) - sides)
    false = np.concatenate([corner, corner + sides], -1)
    false[0] = np.nan
    return np.concatenate([targets, false], 1)


def _offline(crowd: Crowd, boxes: Array, repeats: int) -> float:
    """Seconds a frame of a run of the default: the median of several, after one that compiles."""
    tracker = Tracker(crowd.n_sources)
    tracker.track(boxes[:3], size=SIZE)
    return statistics.median(_seconds(lambda: tracker.track(boxes, size=SIZE)) for _ in range(repeats)) / len(boxes)


def _live(crowd: Crowd, boxes: Array, repeats: int) -> float:
    """Seconds of the median frame."""
    seconds = []
    for _ in range(repeats):
        live = LiveTracker(crowd.n_sources, SIZE)
        each = [_seconds(partial(live.update, frame)) for frame in boxes]
        seconds += each[10:]
    return statistics.median(seconds)


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


if __name__ == "__main__":
    main()
