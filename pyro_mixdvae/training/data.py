"""What networks are trained on: examples of single sources, some of them held out for validation."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

VALIDATION_EPOCH = 2**31  # no epoch has this number


class Example(NamedTuple):
    """Content to be explained, and what is seen of it: the same where a source is seen by itself; [B, T, D] each."""

    content: Tensor
    observed: Tensor


class Tracks(Protocol):
    """Examples by their numbers; a tensor of contents [count, T, D] is one too."""

    def __len__(self) -> int:
        """Number of examples."""

    def __getitem__(self, indices: Tensor, /) -> Tensor | Example:
        """Those with the given numbers [B]; a tensor is content that is seen as it is."""


Examples = TypeVar("Examples", bound=Tracks, covariant=True)


@dataclass(frozen=True)
class TrainingData(Generic[Examples]):
    """Examples to train on, and to validate on.

    Attributes:
        of_epoch: gives the training examples of an epoch (from 0).
        validation: held-out examples.
        description: what they are, for the card.
        notes: sentences that the user should read.
    """

    of_epoch: Callable[[int], Examples]
    validation: Examples
    description: dict[str, Any]
    notes: Sequence[str] = ()


def split(
    members: npt.NDArray[np.int64], one_in: int, key: int | Sequence[int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Members [n] for training, and one in so many (at least one) for validation; each in a random order.

    Args:
        members: numbers of the tracks or clips, each of which is wholly in one of the two.
        one_in: how rare those for validation are.
        key: of the random numbers.
    """
    shuffled = np.random.default_rng(key).permutation(members)
    count = max(1, len(members) // one_in)
    return shuffled[count:], shuffled[:count]


def checksums(files: Iterable[tuple[str, Path]]) -> list[dict[str, str]]:
    """Names of files, and checksums of what they hold, for a card."""
    return [{"name": name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()} for name, file in files]
