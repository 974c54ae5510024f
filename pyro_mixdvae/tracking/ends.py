"""How far before the first and after the last detection a source can be said to be: what lies beyond is cut."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.engines.protocol import PseudoObservation
from pyro_mixdvae.engines.registry import chain_engine
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.inference.estimates import begun
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.representations.boxes import Coordinates
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.films import Film, Start, full_frames, stretch_of
from pyro_mixdvae.tracking.footprint import BLOCK
from pyro_mixdvae.tracking.scenes import make_scene

ANYWHERE = 12**-0.5
"""Standard deviation of a place that may be anywhere in the image, in images."""

FIRST_LOOK = 64
"""Frames that the prior is followed for at first: most ends are no longer."""


class Ends(NamedTuple):
    """The two ends of a film of T frames.

    Attributes:
        since, until: the frames between its cut ends.
        first, last: the first and the last of the frames that have a detection or a label; all count from 0.
        n_frames: T.
        origin: the number by which users call the first frame.
    """

    since: int
    until: int
    first: int
    last: int
    n_frames: int
    origin: int = 1

    def sentences(self, what: str = "boxes") -> list[str]:
        """Which frames were cut, and why, a sentence for each end: frames of boxes, or points."""
        why = "and so far from it nobody can say where a source is, if it is in the image at all"
        sentences, origin = [], self.origin
        if self.since:
            sentences.append(
                f"Frames {origin} to {self.since - 1 + origin} have no {what}: the first detection is in frame "
                f"{self.first + origin}, {why}."
            )
        if self.until < self.n_frames:
            sentences.append(
                f"Frames {self.until + origin} to {self.n_frames - 1 + origin} have no {what}: the last detection is "
                f"in frame {self.last + origin}, {why}."
            )
        return sentences


def ends_of(film: Film, start: Start, labels: Labels | None, preset: Preset, origin: int = 1) -> Ends:
    """Of a film whose empty frames at its ends are cut where they are further than `horizon` from those between them.

    A frame is empty that has neither a detection nor a label.
    """
    full, n_frames = full_frames(film, labels), len(film.counts)
    first, last = int(full[0]), int(full[-1])
    most = max(first, n_frames - 1 - last)
    if not most:
        return Ends(0, n_frames, first, last, n_frames, origin)
    scene, _ = make_scene(
        [stretch_of(film, start.frame, min(start.frame + BLOCK, n_frames), start, labels)], preset.representation
    )
    reach = horizon(begun(preset.model, scene), preset.representation, scene.start[0], most)
    return Ends(max(first - reach, 0), min(last + 1 + reach, n_frames), first, last, n_frames, origin)


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
    near, far = coordinates.corners(boxes)
    side = torch.cat([far - near] * (boxes.shape[-1] // 2), -1)
    is_sure = (spread <= side.clamp(min=ANYWHERE)).all(-1)
    is_inside = (far > 0).all(-1) & (near < 1).all(-1)
    return (is_sure & is_inside).any(0)
