"""Everything that a run needs besides data, in one object: for boxes and for sounds."""

from dataclasses import dataclass
from typing import Any

from pyro_mixdvae.inference.algorithms import Algorithm


@dataclass(frozen=True)
class Preset:
    """A model, its guide and algorithm, and the representation that it works in; each can be swapped (`replace`).

    Attributes:
        model: p(o, w, s, z).
        guide: the family of q, or a program.
        algorithm: how q moves.
        representation: how boxes, or sounds, become the content of the model.
    """

    model: Any
    guide: Any
    algorithm: Algorithm
    representation: Any
