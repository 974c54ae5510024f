"""Track made scenes without end, frame by frame: ``python benchmarks/live_soak.py --frames 100000 --seed 0``.

Three targets (``--n-sources``) walk; now and then one jumps, or leaves and comes in again at another side. Detections
are missed, false boxes are many. What is asked is not who is who but whether anybody follows: a good detection of a
target that no source stands on counts, until one does.
"""

import argparse
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from pyro_mixdvae.tracking.boxes import Array, iou
from pyro_mixdvae.tracking.live.tracker import LiveTracker

SIZE = (640, 480)
NOISE = 1.5  # pixels of each corner
LEAST_OVERLAP = 0.3  # of a source's box with a target, to count as following it
WARM = 1000  # frames after which memory is looked at first
SPEED = 1.5  # pixels a frame and coordinate


@dataclass
class Target:
    """One that walks, jumps, leaves and comes back: centre, size, velocity, and frames until it is back."""

    centre: Array
    size: Array
    velocity: Array
    away: int = 0

    def box(self) -> Array:
        """x1, y1, x2, y2."""
        return np.concatenate([self.centre - self.size / 2, self.centre + self.size / 2])


@dataclass(frozen=True)
class World:
    """How often what happens, a frame."""

    n_sources: int = 3
    detection: float = 0.93
    clutter: float = 0.3
    jump: float = 0.003
    leave: float = 0.002
    longest_away: int = 400

    def frames(self, n_frames: int, seed: int) -> Iterator[tuple[Array, Array, Array]]:
        """Boxes ``[N, 4]`` of the targets (NaN: away), which are detected ``[N]``, and all detections ``[K, 4]``."""
        rng = np.random.default_rng(seed)
        targets = [self._placed(rng, n) for n in range(self.n_sources)]
        for t in range(n_frames):
            for target in targets:
                self._move(target, rng, t)
            boxes = np.stack([np.full(4, np.nan) if target.away else target.box() for target in targets])
            is_seen = (rng.random(self.n_sources) < (self.detection if t else 1.0)) & ~np.isnan(boxes[:, 0])
            seen = boxes[is_seen] + rng.normal(0, NOISE, (is_seen.sum(), 4))
            detections = np.concatenate([seen, self._false(rng, rng.poisson(self.clutter) if t else 0)])
            yield boxes, is_seen, detections[rng.permutation(len(detections))]

    def _placed(self, rng: np.random.Generator, n: int) -> Target:
        width, height = SIZE
        size = rng.uniform((30, 75), (60, 150))
        centre = np.array([(n + 1) * width / (self.n_sources + 1), rng.uniform(size[1] / 2, height - size[1] / 2)])
        return Target(centre, size, rng.normal(0, SPEED, 2))

    def _false(self, rng: np.random.Generator, count: int) -> Array:
        size = rng.uniform((30, 75), (60, 150), (count, 2))
        corner = rng.uniform(0, np.array(SIZE) - size)
        return np.concatenate([corner, corner + size], -1)

    def _move(self, target: Target, rng: np.random.Generator, t: int) -> None:
        low, high = target.size / 2, np.array(SIZE) - target.size / 2
        if target.away:
            target.away -= 1
            if not target.away:  # it comes in at a side
                target.centre = rng.uniform(low, high)
                side = rng.integers(2)
                target.centre[side] = rng.choice([low[side], high[side]])
                target.velocity = np.sign((low + high) / 2 - target.centre) * np.abs(rng.normal(0, SPEED, 2))
            return
        happens = rng.random()
        if t and happens < self.jump:
            target.centre = rng.uniform(low, high)
        elif t and happens < self.jump + self.leave:
            target.away = int(rng.integers(5, self.longest_away))
        target.velocity = 0.98 * target.velocity + rng.normal(0, 0.2 * SPEED, 2)
        target.centre = target.centre + target.velocity
        bounced = (target.centre < low) | (target.centre > high)
        target.velocity[bounced] *= -1
        target.centre = target.centre.clip(low, high)


@dataclass
class Report:
    """What is counted on the way."""

    without: Array
    longest: int = 0
    told: int = 1
    not_finite: int = 0
    returns: int = 0
    is_lost: Array = field(default_factory=lambda: np.zeros(0))

    def add(self, frame: int, boxes: Array, is_seen: Array, sources: Array, lost: Array) -> None:
        """Take in a frame."""
        self.not_finite += int((~np.isfinite(sources)).sum())
        there = ~np.isnan(boxes[:, 0])
        self.without[~there] = 0
        overlap = iou(boxes[there], sources)
        targets, followers = linear_sum_assignment(overlap, maximize=True)
        is_followed = np.zeros(len(boxes), dtype=bool)
        is_near = overlap[targets, followers] >= LEAST_OVERLAP
        is_followed[np.flatnonzero(there)[targets[is_near]]] = True
        self.without[is_followed] = 0
        self.without += is_seen & ~is_followed
        self.longest = max(self.longest, int(self.without.max()))
        if self.longest >= 2 * self.told:
            self.told = self.longest
            print(f"frame {frame}: {self.longest} good detections of a target without a source", file=sys.stderr)
        if len(self.is_lost):
            self.returns += int((self.is_lost & ~lost).sum())
        self.is_lost = lost


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a row: what was tracked, the longest stretch without a source, what was not finite, memory and speed.

    Ctrl-C, or a kill, ends it with the row of what was done so far.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-sources", type=int, default=3)
    parser.add_argument("--lag", type=int, default=0)
    parser.add_argument("--clutter", type=float, default=World.clutter, help="false boxes a frame")
    parser.add_argument("--detection", type=float, default=World.detection, help="chance that a target is detected")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    world = World(options.n_sources, options.detection, options.clutter)
    tracker = LiveTracker(options.n_sources, SIZE, lag=options.lag)
    report = Report(np.zeros(options.n_sources, np.int64))
    memory = 0
    truth: dict[int, tuple[Array, Array]] = {}
    began = time.process_time()
    frames = 0
    try:
        for t, (boxes, is_seen, detections) in enumerate(world.frames(options.frames, options.seed)):
            truth[t] = boxes, is_seen
            result = tracker.update(detections)
            if result is not None:
                report.add(result.frame, *truth.pop(result.frame), result.boxes, result.lost)
                report.not_finite += int((~np.isfinite(result.upper - result.lower)).sum())
            frames = t + 1
            if frames == min(WARM, options.frames):
                memory = _resident()
    except KeyboardInterrupt:
        print(f"stopped after {frames} of {options.frames} frames", file=sys.stderr)
    seconds = time.process_time() - began
    print("| seed | frames | longest without a source | lost and found | not finite | MiB at start, end | frames/s |")
    print("| ---: | -----: | -----------------------: | -------------: | ---------: | ----------------: | -------: |")
    print(
        f"| {options.seed} | {frames} | {report.longest} | {report.returns} | {report.not_finite} "
        f"| {memory}, {_resident()} | {frames / seconds:.0f} |"
    )


def _resident() -> int:
    """The most memory that the process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 * 1024 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
