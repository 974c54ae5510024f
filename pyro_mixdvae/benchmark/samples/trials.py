"""A trial: a sample made as hard as was asked for, and what is known about its detections."""

from dataclasses import dataclass, replace

import numpy as np

from pyro_mixdvae.benchmark.samples.triples import SURE_FRAMES, Sample
from pyro_mixdvae.tracking.boxes import Array, centre_size_to_xyxy, xyxy_to_centre_size
from pyro_mixdvae.tracking.files.rows import Flags, Integers

CLUTTER = -1
ABSENT = -2
# Standard deviation of the logarithm of a clutter box's size relative to a true one.
CLUTTER_SPREAD = 0.2


@dataclass(frozen=True)
class Difficulty:
    """What is done to the detections of a sample beyond putting them in random order.

    Attributes:
        extra_misses: probability that a detection is taken away.
        clutter: expected number of false boxes a frame, a Poisson number in each.
        spared_frames: in so many first frames nothing is taken away and nothing false appears, so that all methods
            know where the targets start.
    """

    extra_misses: float = 0.0
    clutter: float = 0.0
    spared_frames: int = SURE_FRAMES


@dataclass(frozen=True)
class Trial:
    """What the methods are given, and the truth that their results are held against.

    Attributes:
        sample: the targets, and their detections as far as they are left.
        detections: ``[T, K, 4]`` xyxy in pixels in random order, NaN where there is none.
        confidence: ``[T, K]``, NaN where there is no detection.
        owner: ``[T, K]``, which target gave the detection: 0..N-1, `CLUTTER`, or `ABSENT` where there is no detection.
    """

    sample: Sample
    detections: Array
    confidence: Array
    owner: Integers

    def first_frames(self, n_frames: int) -> "Trial":
        """The beginning of the trial."""
        sample = replace(
            self.sample,
            ground_truth=self.sample.ground_truth[:n_frames],
            detections=self.sample.detections[:n_frames],
            confidence=self.sample.confidence[:n_frames],
        )
        return Trial(sample, self.detections[:n_frames], self.confidence[:n_frames], self.owner[:n_frames])


def make_trial(sample: Sample, difficulty: Difficulty, seed: int) -> Trial:
    """Take detections away, add false ones, and shuffle each frame; the same seed gives the same trial.

    A false box has the size of one of the sample's true boxes, give or take a fifth, its centre anywhere in the image,
    and the confidence of one of the sample's detections: nothing but its place gives it away.
    """
    random = np.random.default_rng(seed)
    spared = np.arange(len(sample.ground_truth)) < difficulty.spared_frames
    sample = _with_misses(sample, difficulty.extra_misses, spared, random)
    false, false_confidence = _clutter(sample, difficulty.clutter, spared, random)
    boxes = np.concatenate([sample.detections, false], axis=1)
    confidence = np.concatenate([sample.confidence, false_confidence], axis=1)
    owner = np.concatenate(
        [np.tile(np.arange(sample.detections.shape[1]), (len(boxes), 1)), np.full(false.shape[:2], CLUTTER)], axis=1
    )
    owner = np.where(np.isnan(boxes[..., 0]), ABSENT, owner)
    order = random.permuted(np.tile(np.arange(boxes.shape[1]), (len(boxes), 1)), axis=1)
    return Trial(
        sample=sample,
        detections=np.take_along_axis(boxes, order[..., None], axis=1),
        confidence=np.take_along_axis(confidence, order, axis=1),
        owner=np.take_along_axis(owner, order, axis=1),
    )


def _with_misses(sample: Sample, probability: float, spared: Flags, random: np.random.Generator) -> Sample:
    missed = (random.random(sample.confidence.shape) < probability) & ~spared[:, None]
    return replace(
        sample,
        detections=np.where(missed[..., None], np.nan, sample.detections),
        confidence=np.where(missed, np.nan, sample.confidence),
    )


def _clutter(sample: Sample, rate: float, spared: Flags, random: np.random.Generator) -> tuple[Array, Array]:
    """False boxes ``[T, J, 4]`` and their confidence ``[T, J]``, NaN where a frame has fewer than the most."""
    count = random.poisson(rate, len(spared)) * ~spared
    shape = (len(spared), int(count.max(initial=0)))
    sizes = xyxy_to_centre_size(sample.ground_truth)[..., 2:].reshape(-1, 2)
    size = random.choice(sizes, shape) * np.exp(CLUTTER_SPREAD * random.standard_normal((*shape, 1)))
    centre = random.random((*shape, 2)) * np.array(sample.size)
    confidence = random.choice(sample.confidence[~np.isnan(sample.confidence)], shape)
    missing = np.arange(shape[1]) >= count[:, None]
    boxes = centre_size_to_xyxy(np.concatenate([centre, size], axis=-1))
    return np.where(missing[..., None], np.nan, boxes), np.where(missing, np.nan, confidence)
