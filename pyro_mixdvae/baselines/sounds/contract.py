"""What a row of the table of sounds is: it separates mixtures, and may have learned to from clean clips before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.recordings.clips import Clips

Learned = Mapping[str, Tensor]
"""What was learned, by name."""


class Belief(Protocol):
    """What a method that says how sure it is believes of s, in units of the mixture."""

    def draws(self, mixture: int, frequencies: Tensor, count: int, seed: int) -> Tensor:
        """Draws of s in one of the B mixtures at some frequencies [K], [count, N, T, K]."""


class Estimates(NamedTuple):
    """What a method makes of B mixtures.

    Attributes:
        waveforms: of the sources, [B, N, n].
        belief: how sure it is of their spectra; None: it does not say.
    """

    waveforms: Tensor
    belief: Belief | None = None


class SoundMethod(Protocol):
    """Separates mixtures at the rate of the transform."""

    def separate(self, mixtures: Tensor, truth: Tensor) -> Estimates:
        """Mixtures [B, n] of any level; the true sources [B, N, n] are for methods that know the answer alone."""


@dataclass(frozen=True)
class Lesson:
    """What there is to learn from.

    Attributes:
        clips: clean ones of each of the N sources.
        stft: transform that methods work in.
        n_steps: of the training of a network.
        seed: of all that is drawn.
    """

    clips: Sequence[Clips]
    stft: STFT
    n_steps: int
    seed: int


class Learner(Protocol):
    """A method that learns before it separates."""

    def learn(self, lesson: Lesson) -> dict[str, Tensor]:
        """What it needs later, of clean clips alone.

        Raises:
            InputError: a package is missing; says which.
        """

    def method(self, learned: Learned, stft: STFT) -> SoundMethod:
        """The method that has learned this."""
