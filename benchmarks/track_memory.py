"""Print how much memory the default takes for a long scene: ``python benchmarks/track_memory.py``."""

import argparse
import resource
import subprocess
import sys
from collections.abc import Sequence

import torch
from synthetic_scenes import SIZE, synthetic_detections

from pyro_mixdvae.tracking.tracker import Tracker

LENGTHS = (1000, 10_000, 20_000, 40_000)
N_SOURCES = 3
MEBIBYTE = 1024  # `ru_maxrss` is in kibibytes on Linux


def main(arguments: Sequence[str] | None = None) -> None:
    """Track one scene of each length in a process of its own, and compare the peaks of their memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, nargs="+", default=LENGTHS, help="lengths, the shortest first")
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)  # what a process of its own is given
    options = parser.parse_args(arguments)
    if options.alone:
        print(_peak(options.alone))
        return
    print("| frames | peak, MiB | KiB/frame beyond the first row |")
    print("| -----: | --------: | -----------------------------: |")
    first: tuple[int, int] | None = None
    for frames in options.frames:
        command = [sys.executable, __file__, "--alone", str(frames)]
        peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        growth = f"{(peak - first[1]) / (frames - first[0]):.1f}" if first else ""
        first = first or (frames, peak)
        print(f"| {frames:>6} | {peak / MEBIBYTE:>9.0f} | {growth:>30} |", flush=True)


def _peak(frames: int) -> int:
    """Peak memory of this process, in KiB, after it has tracked a scene."""
    torch.set_num_threads(1)
    Tracker(N_SOURCES).track(synthetic_detections(1, frames, N_SOURCES)[0], SIZE)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
