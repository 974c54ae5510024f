"""Print what `mixdvae track` takes for films of any length: ``python benchmarks/long_films.py --frames 10000 20000``.

Four targets walk (`live_soak.World`, where nobody jumps or leaves); 7 % of their detections are missed, and there are
.3 false boxes a frame. Each film is a file, and tracked by a process of its own: peak memory, time, and in how many
frames a source stands on another target than in the frame before (where it stands on one at all). With `--leave`
targets leave, and come in again at a side: they are tracked with `--max-sources`, and names are then a guess.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from live_soak import SIZE, World

from pyro_mixdvae.tracking.boxes import Array, iou

WORLD = World(n_sources=4, jump=0.0, leave=0.0)
TRACK = "from pyro_mixdvae.cli.main import run; run()"
MEBIBYTE = 1024  # `ru_maxrss` is in kibibytes on Linux
AT_ONCE = 10_000
LEAST_OVERLAP = 0.3


def main(arguments: Sequence[str] | None = None) -> None:
    """One row a length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=(10_000, 20_000, 100_000), help="lengths")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--leave", type=float, default=0.0, help="chance a frame that a target leaves")
    options = parser.parse_args(arguments)
    world = replace(WORLD, leave=options.leave)
    print("| frames | peak, MiB | process time, s | ms/frame | wall, s | exchanges |")
    print("| -----: | --------: | --------------: | -------: | ------: | --------: |")
    for n_frames in options.frames:
        with tempfile.TemporaryDirectory() as folder:
            truth = _write(Path(folder) / "film.txt", world, n_frames, options.seed)
            peak, seconds, wall = _track(Path(folder), options.leave > 0)
            exchanges = _exchanges(truth, Path(folder) / "tracks.txt")
        print(
            f"| {n_frames:>7} | {peak / MEBIBYTE:>9.0f} | {seconds:>15.1f} | {1e3 * seconds / n_frames:>8.2f} "
            f"| {wall:>7.1f} | {exchanges:>9} |",
            flush=True,
        )


def _write(path: Path, world: World, n_frames: int, seed: int) -> Array:
    """The detections of a film, as a det.txt; the boxes of its targets ``[T, N, 4]``."""
    truth = np.empty((n_frames, world.n_sources, 4), np.float32)
    with path.open("w") as file:
        for t, (boxes, _, detections) in enumerate(world.frames(n_frames, seed)):
            truth[t] = boxes
            file.writelines(
                f"{t + 1},-1,{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},1\n"
                for x1, y1, x2, y2 in detections.tolist()
            )
    return truth


def _track(folder: Path, some_leave: bool) -> tuple[int, float, float]:
    """Peak memory in KiB, process time and wall time in seconds of `mixdvae track`."""
    size = f"{SIZE[0]}x{SIZE[1]}"
    options = [
        "--max-sources" if some_leave else "-n",
        str(WORLD.n_sources),
        "--size",
        size,
        "-o",
        str(folder / "tracks.txt"),
    ]
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", TRACK, "track", str(folder / "film.txt"), *options], stdout=subprocess.DEVNULL
    ) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.returncode)
    return usage.ru_maxrss, usage.ru_utime + usage.ru_stime, time.perf_counter() - start


def _exchanges(truth: Array, tracks: Path) -> int:
    """How often a source is found on another target than when it was last found on one."""
    count, last = 0, np.full(WORLD.n_sources, -1)
    rows = np.loadtxt(tracks, delimiter=",", usecols=range(6), ndmin=2)
    frames, sources = rows[:, :2].astype(int).T - 1
    for first in range(0, len(truth), AT_ONCE):
        part = truth[first : first + AT_ONCE].astype(float)
        own = (frames >= first) & (frames < first + len(part))
        ltwh = np.full(part.shape, np.nan)
        ltwh[frames[own] - first, sources[own]] = rows[own, 2:]
        overlap = np.nan_to_num(iou(np.concatenate([ltwh[..., :2], ltwh[..., :2] + ltwh[..., 2:]], -1), part))
        where = np.where(overlap.max(-1) >= LEAST_OVERLAP, overlap.argmax(-1), -1)
        for now in where:
            is_found = now >= 0
            count += int((is_found & (last >= 0) & (now != last)).sum())
            last = np.where(is_found, now, last)
    return count


if __name__ == "__main__":
    main()
