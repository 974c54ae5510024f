"""Where the sources of a crowded film start: on the tracks that are best taken for theirs; labels name them."""

from typing import Any

import numpy as np
import torch

from pyro_mixdvae.inference.association.choice import choose_tracks, named
from pyro_mixdvae.inference.association.motion import Track
from pyro_mixdvae.inference.association.scenes import detections_of, drawn_in, rates_of
from pyro_mixdvae.inference.estimates import begun
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.models.assignments.exclusive import ExclusiveAssignment
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.films import Film, Start, stretch_of
from pyro_mixdvae.tracking.footprint import BLOCK
from pyro_mixdvae.tracking.scenes import make_scene, steadied


@torch.no_grad()
def likely_start(film: Film, start: Start, preset: Preset, labels: Labels | None) -> Start:
    """On N tracks of all that a block of the film shows, in the frame that has a detection of most of them.

    Where some frame has more detections than there are sources, and the model knows of clutter; else as it was. Labels
    name the tracks that are found without them; where these are not of those who are labelled, it is as it was, too.

    Args:
        film: the detections.
        start: in the first frame that has N, or that is labelled; the block is around it.
        preset: the model, and how boxes are represented.
        labels: boxes drawn by a person.
    """
    n_sources, model = len(start.boxes), preset.model
    since, until = max(start.frame - BLOCK, 0), min(start.frame + BLOCK, len(film.counts))
    if not (film.counts[since:until] > n_sources).any() or not knows_bystanders(model):
        return start
    sequence = stretch_of(film, since, until, start, labels)
    scene, _ = make_scene([steadied(sequence, preset.camera)], preset.representation)
    model = begun(model.replace(assignment=model.assignment.fitted(scene)), scene)
    seen = detections_of(model, scene, 0)
    rates = rates_of(model.assignment, seen, 0)
    found = choose_tracks(seen, rates, n_sources)
    tracks = None if found is None else found.tracks
    if found is not None and labels is not None:
        tracks = named(seen, found, rates, drawn_in(scene, 0))
    if tracks is None:
        return start
    count = np.bincount([t for track in tracks for t, _ in track], minlength=until - since)
    frame = int(count.argmax())
    places = [_nearest(track, frame) for track in tracks]
    if labels is not None:
        boxes = np.stack([sequence.boxes[place] for place in places])
        return Start(since + frame, boxes, compared=(since, until - 1))
    # Sources are numbered in the order of the detections that they start at.
    places = sorted(places, key=lambda place: (abs(place[0] - frame), place[1]))
    boxes = np.stack([sequence.boxes[place] for place in places])
    return Start(since + frame, boxes, int(film.counts[since + frame]), (since, until - 1))


def knows_bystanders(model: Any) -> bool:
    """Whether a model has clutter, and sources that give one detection a frame."""
    return isinstance(model.assignment, ExclusiveAssignment) and model.clutter is not None


def _nearest(track: Track, frame: int) -> tuple[int, int]:
    return min(track, key=lambda place: abs(place[0] - frame))
