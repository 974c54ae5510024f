"""How far before the first and after the last detection a source can be said to be: what lies beyond is cut."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.engines.protocol import PseudoObservation
from pyro_mixdvae.engines.registry import chain_engine
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.inference.estimates import begun
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.representations.boxes import Coordinates
from pyro_mixdvae.tracking.boxes import Array, is_outside
from pyro_mixdvae.tracking.scenes import BoxSequence, make_scene

ANYWHERE = 12**-0.5
"""Standard deviation of a place that may be anywhere in the image, in images."""

FIRST_LOOK = 64
"""Frames that the prior is followed for at first: most ends are no longer."""


def within_reach(sequence: BoxSequence, preset: Preset) -> BoxSequence:
    """The sequence without the empty frames at its ends that are further than `horizon` from the frames between them.

    A frame is empty that has neither a detection nor a label.
    """
    ahead, behind = empty_ends(sequence)
    most = max(ahead, behind)
    if not most:
        return sequence
    scene, _ = make_scene([sequence], preset.representation)
    reach = horizon(begun(preset.model, scene), preset.representation, scene.start[0], most)
    return sequence.without_ends(max(ahead - reach, 0), max(behind - reach, 0))


def empty_ends(sequence: BoxSequence) -> tuple[int, int]:
    """How many frames before the first and after the last that is not empty."""
    full = (~np.isnan(sequence.boxes[..., 0])).any(1)
    if sequence.labels is not None:
        full = full | (~np.isnan(sequence.labels[..., 0])).any(0)
    frames = np.flatnonzero(full)
    return int(frames[0]), int(len(sequence.boxes) - 1 - frames[-1])


def sentences_of_cuts(sequence: BoxSequence) -> list[str]:
    """Which frames were cut, and why: a sentence for each end."""
    ahead, behind = sequence.cut
    first, last = sequence.origin + ahead, sequence.origin + ahead + len(sequence.boxes) - 1
    what = "points" if sequence.boxes.shape[-1] == 2 else "boxes"
    empty_ahead, empty_behind = empty_ends(sequence)
    why = "and so far from it the prior knows no more of a source than that it is somewhere in the image, if so much"
    sentences = []
    if ahead:
        seen = first + empty_ahead
        sentences.append(
            f"Frames {sequence.origin} to {first - 1} have no {what}: the first detection is in frame {seen}, {why}."
        )
    if behind:
        seen = last - empty_behind
        end = last + behind
        sentences.append(f"Frames {last + 1} to {end} have no {what}: the last detection is in frame {seen}, {why}.")
    return sentences


def sentences_of_outside(boxes: Array, size: tuple[float, float]) -> list[str]:
    """That a prior has carried sources out of the image, where no detection can say anything: boxes [T, N, 4]."""
    outside = is_outside(boxes, size)
    if not outside.any():
        return []
    what = "points" if boxes.shape[-1] == 2 else "boxes"
    return [f"{outside.sum()} of the {what} lie wholly outside the image, where the prior alone has put them."]


@torch.no_grad()
def horizon(model: Any, coordinates: Coordinates, start: Tensor, most: int) -> int:
    """For how many frames the prior by itself still knows something of one of N sources, at most `most`.

    The sources are seen once, at `start` [N, D], and then left to p(s, z). Of a source nothing is known any more where
    the standard deviation of one of its edges is both above that of a place that may be anywhere in the image and
    above the size of the box, or where its box has left the image.
    """
    length = min(most, FIRST_LOOK)
    while True:
        lost = (~_known(model, coordinates, start, length)).nonzero()
        if len(lost):
            return int(lost[0])
        if length == most:
            return most
        length = min(most, 2 * length)


def _known(model: Any, coordinates: Coordinates, start: Tensor, length: int) -> Tensor:
    """Whether something is known of a source in each of the `length` frames after the one in which it was seen."""
    n_sources, content_dim = start.shape
    seen = start.new_full((1, length + 1, n_sources, content_dim), torch.nan)
    seen[0, 0] = start
    scene = Scene.of(seen, start.unsqueeze(0))
    scale = model.likelihood.noise.scale(scene.frames(slice(1)))[0, 0].diagonal().mT  # [N, D]
    value = start.unsqueeze(-2).expand(n_sources, length + 1, content_dim)
    precision = torch.zeros_like(value)
    precision[:, 0] = scale.square().reciprocal()
    observation = PseudoObservation(value.unsqueeze(0).contiguous(), precision.unsqueeze(0))
    engine = chain_engine(model, MeanField, scene).engine
    chain = engine.smooth(engine.teacher_forced(observation).transitions, observation)
    mean, variance = chain.mean[0, :, 1:, :, 0], chain.covariance[0, :, 1:, :, 0, 0]  # [N, length, D]
    boxes, spread = coordinates.boxes(mean), coordinates.box_covariance(mean, variance).sqrt()
    size = boxes[..., -2:] - boxes[..., :2]  # of points, zero
    is_sure = (spread <= torch.cat([size, size], -1)[..., : boxes.shape[-1]].clamp(min=ANYWHERE)).all(-1)
    is_inside = (boxes[..., -2:] > 0).all(-1) & (boxes[..., :2] < 1).all(-1)
    return (is_sure & is_inside).any(0)
