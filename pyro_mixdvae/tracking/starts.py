"""Where the sources of a crowded film start, if nobody has said so: on the tracks that are best taken for theirs."""

from typing import Any

import numpy as np
import torch

from pyro_mixdvae.inference.association.choice import choose_tracks
from pyro_mixdvae.inference.association.motion import Track
from pyro_mixdvae.inference.association.scenes import detections_of, rates_of
from pyro_mixdvae.inference.estimates import begun
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.models.assignments.exclusive import ExclusiveAssignment
from pyro_mixdvae.tracking.films import Film, Start, stretch_of
from pyro_mixdvae.tracking.footprint import BLOCK
from pyro_mixdvae.tracking.scenes import make_scene


@torch.no_grad()
def likely_start(film: Film, start: Start, preset: Preset) -> Start:
    """On N tracks of all that a block of the film shows, in the frame that has a detection of most of them.

    Where some frame has more detections than there are sources, and the model knows of clutter; else as it was.

    Args:
        film: the detections.
        start: in the first frame that has N; the block is around it.
        preset: the model, and how boxes are represented.
    """
    n_sources, model = len(start.boxes), preset.model
    since, until = max(start.frame - BLOCK, 0), min(start.frame + BLOCK, len(film.counts))
    if not knows_bystanders(model) or not (film.counts[since:until] > n_sources).any():
        return start
    sequence = stretch_of(film, since, until, start, None)
    scene, _ = make_scene([sequence], preset.representation)
    model = begun(model.replace(assignment=model.assignment.fitted(scene)), scene)
    seen = detections_of(model, scene, 0)
    tracks = choose_tracks(seen, rates_of(model.assignment, seen, 0), n_sources)
    if tracks is None:
        return start
    count = np.bincount([t for track in tracks for t, _ in track], minlength=until - since)
    frame = int(count.argmax())
    # Sources are numbered in the order of the detections that they start at.
    places = sorted((_nearest(track, frame) for track in tracks), key=lambda place: (abs(place[0] - frame), place[1]))
    boxes = np.stack([sequence.boxes[place] for place in places])
    return Start(since + frame, boxes, int(film.counts[since + frame]), (since, until - 1))


def knows_bystanders(model: Any) -> bool:
    """Whether a model has clutter, and sources that give one detection a frame."""
    return isinstance(model.assignment, ExclusiveAssignment) and model.clutter is not None


def _nearest(track: Track, frame: int) -> tuple[int, int]:
    return min(track, key=lambda place: abs(place[0] - frame))
