"""Where the sources of a crowded film start, if nobody has said so: on the tracks that are best taken for theirs."""

from typing import Any

import numpy as np
import torch

from pyro_mixdvae.inference.association.choice import choose_tracks
from pyro_mixdvae.inference.association.motion import Track
from pyro_mixdvae.inference.association.scenes import detections_of, rates_of
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.models.assignments.exclusive import ExclusiveAssignment
from pyro_mixdvae.tracking.scenes import BoxSequence, make_scene


@torch.no_grad()
def with_likely_start(sequence: BoxSequence, preset: Preset) -> BoxSequence:
    """The sequence starting at N tracks of all that it shows, in the frame that has a detection of most of them.

    Without labels, where some frame has more detections than there are sources, and the model knows of clutter; else as
    it is.
    """
    n_sources, model = len(sequence.start), preset.model
    if sequence.labels is not None or not knows_bystanders(model):
        return sequence
    if not ((~np.isnan(sequence.boxes[..., 0])).sum(1) > n_sources).any():
        return sequence
    scene, _ = make_scene([sequence], preset.representation)
    model = model.replace(assignment=model.assignment.fitted(scene))
    seen = detections_of(model, scene, 0)
    tracks = choose_tracks(seen, rates_of(model.assignment, seen, 0), n_sources)
    if tracks is None:
        return sequence
    count = np.bincount([t for track in tracks for t, _ in track], minlength=len(sequence.boxes))
    first = int(count.argmax())
    start = np.stack([sequence.boxes[_nearest(track, first)] for track in tracks])
    return sequence._replace(start=start, first=first)


def knows_bystanders(model: Any) -> bool:
    """Whether a model has clutter, and sources that give one detection a frame."""
    return isinstance(model.assignment, ExclusiveAssignment) and model.clutter is not None


def _nearest(track: Track, frame: int) -> tuple[int, int]:
    return min(track, key=lambda place: abs(place[0] - frame))
