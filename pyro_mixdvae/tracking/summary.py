"""From the posterior to what a user reads: boxes in pixels, intervals, samples."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.guides.contract import Guide
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.models.systematic import Wander
from pyro_mixdvae.process_state import seeded
from pyro_mixdvae.representations.boxes import Coordinates
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.doubts import doubts_of
from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.films import BoxSequence
from pyro_mixdvae.tracking.intervals import limits
from pyro_mixdvae.tracking.poses import Parts, is_of_poses, named_parts, parts_of, points_of
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scenes import corners_moved


@torch.no_grad()
def summarise(
    sequences: Sequence[BoxSequence],
    scale: Tensor,
    posterior: Posterior,
    coordinates: Coordinates,
    level: float,
    n_samples: int,
    seed: int,
) -> list[TrackingResult]:
    """The result of each of B sequences, from the posterior of the scene that `make_scene` made, with its scale [B, 4].

    Intervals are Gaussian, to first order in the coordinates, of the posterior of s and the detector's repeated error;
    a label has no such error.
    """
    scene, model = posterior.scene, posterior.model
    wander = wander_of(posterior)
    mean = posterior.mean + wander.shift
    # In double precision: the limits of a narrow interval, and the sides of a tiny box, are to differ.
    pixels = scale[:, None, None].double()
    boxes = coordinates.boxes(mean.double()) * pixels
    seen = seen_in(posterior)
    systematic = wander.variance.masked_fill(scene.label_given, 0.0)
    spread = coordinates.box_covariance(mean.double(), (posterior.variance + systematic).double()).sqrt() * pixels
    moved = _camera(sequences, *boxes.shape[2:])
    means = _by_frame(boxes) + moved
    samples = means[None, ...][:0]
    if n_samples:
        drawn = _draws(posterior.guide, systematic, n_samples, seed) + wander.shift
        samples = _by_frame(coordinates.boxes(drawn.double()) * pixels) + moved
    lower, upper = limits(means, _by_frame(spread), level)
    observed = ((seen > 0.5) | scene.label_mask).transpose(1, 2).numpy()
    responsibilities = posterior.responsibilities.double().numpy()
    if not model.assignment.has_clutter:
        responsibilities = np.concatenate([responsibilities, np.zeros_like(responsibilities[..., :1])], -1)
    responsibilities = np.where(scene.mask.unsqueeze(-1).numpy(), responsibilities, np.nan)
    records = [{name: value.tolist() for name, value in record.items()} for record in posterior.records]
    doubts = doubts_of(posterior, [sequence.since for sequence in sequences])
    shown = shown_parts(posterior, observed) if is_of_poses(means) else None
    results = []
    for b, sequence in enumerate(sequences):
        n_frames, n_detections = sequence.boxes.shape[:2]
        limits_of = [part[b, :n_frames] for part in (means, lower, upper)]
        parts = None
        if shown is not None:
            each = [parts_of(part) for part in limits_of]
            names = named_parts(sequence.parts, each[0].shape[-2])
            parts = Parts(names, each[0], each[1], each[2], shown[b, :n_frames])
            limits_of = [points_of(part) for part in limits_of]
        results.append(
            TrackingResult(
                boxes=limits_of[0],
                lower=limits_of[1],
                upper=limits_of[2],
                level=level,
                observed=observed[b, :n_frames],
                responsibilities=responsibilities[b, :n_frames, :n_detections],
                records=tuple({name: value[b] for name, value in record.items()} for record in records),
                samples=points_of(samples[:, b, :n_frames]),
                first=sequence.since,
                engine=posterior.engine,
                doubts=doubts[b],
                notes=tuple(_notes(posterior, sequence)),
                parts=parts,
            )
        )
    return results


def shown_parts(posterior: Posterior, observed: Flags) -> Flags:
    """Whether a part was seen ``[B, T, N, P]``: of sources that are `observed` ``[B, T, N]``, by what shows them."""
    scene = posterior.scene
    best = posterior.responsibilities[..., : scene.n_sources].argmax(-2)  # [B, T, N]
    given = torch.take_along_dim(scene.given, best.unsqueeze(-1), 2) | scene.label_given.transpose(1, 2)
    return given.unflatten(-1, (-1, 2)).all(-1).numpy() & observed[..., None]


def seen_in(posterior: Posterior) -> Tensor:
    """The probability that each frame has a detection of each source, [B, N, T]."""
    own = posterior.responsibilities[..., : posterior.scene.n_sources]
    return own.sum(-2).clamp(max=1.0).transpose(1, 2)


def wander_of(posterior: Posterior) -> Wander:
    """What boxes have beside s, [B, N, T, D]; a box that a person has drawn stays where it is."""
    scene, model, mean = posterior.scene, posterior.model, posterior.mean
    seen = seen_in(posterior)
    if model.systematic is None:
        return Wander(torch.zeros_like(mean), torch.zeros_like(mean))
    is_labelled = scene.label_mask
    detected = own_detections(posterior.responsibilities, scene.observations, scene.n_sources).transpose(1, 2)
    found: Wander = model.systematic.wander(model.likelihood.noise, mean, detected, seen, is_labelled)
    return Wander(found.shift.masked_fill(is_labelled.unsqueeze(-1), 0.0), found.variance)


def own_detections(responsibilities: Tensor, observations: Tensor, n_sources: int) -> Tensor:
    """The detection of each source [*, N, D], NaN where none is its own likelier than not.

    Args:
        responsibilities: of each class for each detection, [*, K, C]: of sources first.
        observations: [*, K, D].
        n_sources: N.
    """
    if not observations.shape[-2]:
        return observations.new_full((*observations.shape[:-2], n_sources, observations.shape[-1]), torch.nan)
    best = responsibilities[..., :n_sources].max(-2)
    likeliest = torch.take_along_dim(observations, best.indices.unsqueeze(-1), -2)
    return torch.where((best.values > 0.5).unsqueeze(-1), likeliest, torch.nan)


def _draws(guide: Guide, systematic: Tensor, n_samples: int, seed: int) -> Tensor:
    """Trajectories of content [S, B, N, T, D], given the variance of the detector's repeated error [B, N, T, D]."""
    generator = seeded(seed)
    drawn = guide.sample(n_samples, generator)
    # One error for all frames of a trajectory: it is systematic.
    error = torch.randn(drawn[..., :1, :].shape, generator=generator, dtype=drawn.dtype).to(drawn.device)
    return drawn + error * systematic.sqrt()


def _notes(posterior: Posterior, sequence: BoxSequence) -> Iterator[str]:
    """What there is to say of how a sequence was inferred."""
    if posterior.note is not None:
        yield posterior.note
    if sequence.camera is not None:
        yield "The camera shakes: what all boxes of a frame do at once was taken for it, and for no source's way."


def _camera(sequences: Sequence[BoxSequence], n_frames: int, width: int) -> Array:
    """How far the camera moves each number of the boxes of each frame ``[B, T, 1, 4]``."""
    moved = np.zeros((len(sequences), n_frames, 1, width))
    for b, sequence in enumerate(sequences):
        if sequence.camera is not None:
            moved[b, : len(sequence.camera), 0] = corners_moved(sequence.camera, width)
    return moved


def _by_frame(corners: Tensor) -> Array:
    """[*, N, T, 4] -> ``[*, T, N, 4]``."""
    array: Array = corners.transpose(-3, -2).double().numpy()
    return array
