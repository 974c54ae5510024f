"""The error that a detector makes in every frame alike, which no averaging removes."""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.noise import Noise
from pyro_mixdvae.models.part import Part


class Wander(NamedTuple):
    """How far a source is from the mean of s, and the variance that its box has beside that of s: [B, N, T, D] each."""

    shift: Tensor
    variance: Tensor


class SystematicError(Part):
    """The contract: its variance, which intervals hold beside that of the posterior of s.

    Frames do not average it out, and no detection can tell it; the posterior of s, which takes errors as independent,
    does not hold it.
    """

    @abstractmethod
    def variance(self, noise: Noise, content: Tensor, seen: Tensor) -> Tensor:
        """[B, *, D] at a content [B, *, D]; `seen` [B, *] is the probability that the frame has a detection of it."""

    def wander(self, noise: Noise, content: Tensor, detected: Tensor, seen: Tensor, known: Tensor) -> Wander:
        """What boxes have beside s, whose mean is `content` [B, N, T, D]; by default no more than that variance.

        `detected` [B, N, T, D] are the detections of each source, NaN where none is its own likelier than not; `seen`
        [B, N, T] is the probability that the frame has one, and `known` [B, N, T] whether a person has said where it
        is.
        """
        return Wander(torch.zeros_like(content), self.variance(noise, content, seen))


class RepeatedError(SystematicError):
    """`share (2 - seen) scale^2`, the scale being that of the noise which repeats.

    A detector that draws a box too wide draws it too wide in the next frame as well. A source that is not seen is
    mostly hidden behind something, and in the frames before and after partly so: the detections that its box is
    inferred from are worse than others.

    Args:
        share: of the noise's variance, that repeats in every frame (0: none, as in the paper).

    Raises:
        InputError: a negative share.
    """

    def __init__(self, share: float = 1.0):
        super().__init__()
        if not share >= 0:
            raise InputError(f"a systematic error of {share} of the noise: give 0 or more.")
        self.share = share

    def variance(self, noise: Noise, content: Tensor, seen: Tensor) -> Tensor:
        """[B, *, D]."""
        return self.share * (2 - seen.unsqueeze(-1)) * noise.repeated(content).square()
