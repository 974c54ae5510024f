"""How many exchanges of names lie near a moment that is named: ``python benchmarks/doubt.py``.

On synthetic mice, whose overlapping boxes a detector suppresses, and with --data on annotated sequences in which
everyone is there throughout. An exchange is what a person would find: a target's match (IoU .5, kept while it can be)
changes from one source to another, which it then keeps for ten frames. While two targets overlap by as much nobody can
tell by boxes whose a source is: those frames have no match, and all of that time counts as the exchange.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mice import ARENA, mice
from report import write

from pyro_mixdvae import Tracker
from pyro_mixdvae.reporting.tables import markdown_table
from pyro_mixdvae.tracking.boxes import Array, iou
from pyro_mixdvae.tracking.files.detections import read_detections
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.files.tracks import read_ground_truth
from pyro_mixdvae.tracking.result import TrackingResult

WITHIN = 10
"""Frames between an exchange and a moment that finds it, at most."""

STAYS = 10
"""Frames that a new match has to stay."""


class Exchange(NamedTuple):
    """A target was last matched to its old source in frame `old`, and to its new one from frame `new` on."""

    old: int
    new: int


class Found(NamedTuple):
    """Of one scene: its frames, those that are named, its exchanges, and how many of them are found."""

    frames: int
    named: int
    exchanges: int
    found: int
    found_at_new: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Print exchanges, how many are found and the share of frames that are named; with -o write them too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=5000, help="of each scene of mice")
    parser.add_argument("--scenes", type=int, default=4, help="of mice")
    parser.add_argument("--data", type=Path, help="folder of annotated sequences")
    parser.add_argument("-o", "--output", type=Path, help="folder for doubt.md and .json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    results = {"mice": [of_mice(seed, options.frames) for seed in range(options.scenes)]}
    if options.data:
        folders = sorted(path for path in options.data.iterdir() if (path / "gt").is_dir())
        results[options.data.name] = [of_sequence(folder, False) for folder in folders]
        results[f"{options.data.name}, first frame labelled"] = [of_sequence(folder, True) for folder in folders]
    rows, each = [], {}
    for name, found in results.items():
        frames, named, exchanges, near, at_new = (sum(column) for column in zip(*found, strict=True))
        rows.append([name, frames, f"{named / frames:.1%}", exchanges, near, at_new])
        each[name] = [one._asdict() for one in found]
    header = (
        "",
        "frames",
        "named",
        "exchanges",
        f"within {WITHIN} frames of a named one",
        "measured from the new match",
    )
    table = markdown_table(header, rows)
    print(table)
    if options.output:
        write(options.output, "doubt", table, each)


def of_mice(seed: int, n_frames: int) -> Found:
    """Mice that are labelled in the first frame."""
    boxes, truth = mice(n_frames, seed)
    return judged(Tracker(truth.shape[1]).track(boxes, ARENA, first_boxes(truth)), truth)


def of_sequence(folder: Path, is_labelled: bool) -> Found:
    """All targets of the ground truth."""
    detections, truth = read_detections(folder), read_ground_truth(folder).boxes
    labels = first_boxes(truth) if is_labelled else None
    tracker = Tracker(truth.shape[1])
    return judged(tracker.track(detections.boxes, detections.size, labels, confidence=detections.confidence), truth)


def first_boxes(truth: Array) -> Labels:
    """Labels of all targets ``[T, N, 4]`` in the first frame."""
    sources = np.arange(truth.shape[1])
    return Labels(np.zeros_like(sources), sources, truth[0])


def judged(result: TrackingResult, truth: Array) -> Found:
    """How many exchanges are near a moment that the result names."""
    truth = truth[result.first : result.first + len(result.boxes)]
    named = np.zeros(len(truth), bool)
    for doubt in result.doubts:
        named[doubt.first - result.first : doubt.last - result.first + 1] = True
    exchanges = [each for target in matches(result.boxes, truth).T for each in exchanges_of(target)]
    near = [named[max(each.old - WITHIN, 0) : each.new + WITHIN + 1].any() for each in exchanges]
    at_new = [named[max(each.new - WITHIN, 0) : each.new + WITHIN + 1].any() for each in exchanges]
    return Found(len(truth), int(named.sum()), len(exchanges), sum(map(int, near)), sum(map(int, at_new)))


def matches(boxes: Array, truth: Array, least: float = 0.5) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The source of each target in each frame ``[T, N]``: the last while it overlaps, else the best.

    -1 for none, and where the target overlaps another as much as a match has to.
    """
    found = np.full(truth.shape[:2], -1)
    last = found[0].copy()
    for t, overlap in enumerate(np.nan_to_num(iou(truth, boxes))):
        free = np.where(overlap >= least, overlap, 0.0)
        for target in np.flatnonzero(last >= 0):
            if free[target, last[target]] > 0:
                found[t, target] = last[target]
                free[target], free[:, last[target]] = 0.0, 0.0
        while free.any():
            target, source = np.unravel_index(free.argmax(), free.shape)
            found[t, target] = source
            free[target], free[:, source] = 0.0, 0.0
        last = np.where(found[t] >= 0, found[t], last)
    beside = np.nan_to_num(iou(truth, truth)) * (1 - np.eye(truth.shape[1]))
    return np.where((beside >= least).any(-1), -1, found)


def exchanges_of(match: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Iterator[Exchange]:
    """Of one target, given its source in each frame ``[T]``."""
    frames = np.flatnonzero(match >= 0)
    if not len(frames):
        return
    sources = match[frames]
    source, old = sources[0], frames[0]
    for k, (frame, now) in enumerate(zip(frames, sources, strict=True)):
        ahead = sources[k : k + STAYS]
        if now == source:
            old = frame
        elif len(ahead) == STAYS and (ahead == now).all():
            yield Exchange(int(old), int(frame))
            source, old = now, frame


if __name__ == "__main__":
    main()
