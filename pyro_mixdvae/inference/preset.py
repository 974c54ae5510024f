"""Everything that a run needs besides data, in one object: for boxes and for sounds."""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.algorithms import SVI, Algorithm, Hybrid
from pyro_mixdvae.inference.camera import Camera

Method = Literal["coordinate", "svi", "hybrid"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class Preset:
    """A model, its guide and algorithm, and what it works in; each can be swapped (`replace`).

    Attributes:
        model: p(o, w, s, z).
        guide: the family of q, or a program.
        algorithm: how q moves.
        representation: how boxes, or sounds, become the content of the model.
        camera: what moves the picture that boxes are in; None: nothing does.
    """

    model: Any
    guide: Any
    algorithm: Algorithm
    representation: Any
    camera: Camera | None = None


def chosen_algorithm(own: Algorithm, chosen: Method | Algorithm | None, n_iterations: int | None) -> Algorithm:
    """The algorithm that a user asks for, over a preset's `own`: by name, with so many iterations.

    Raises:
        InputError: no such algorithm, or less than one iteration.
    """
    if isinstance(chosen, str) and chosen not in METHODS:
        raise InputError(f"There is no algorithm '{chosen}': choose from {', '.join(METHODS)}.")
    if chosen == "svi":
        return SVI() if n_iterations is None else SVI(n_iterations)
    if chosen == "hybrid":
        return Hybrid(own) if n_iterations is None else Hybrid(own, SVI(n_iterations))
    # "coordinate" stands for the closed-form updates of the preset, the published ones among them.
    algorithm = own if chosen is None or isinstance(chosen, str) else chosen
    if n_iterations is None:
        return algorithm
    name = "n_steps" if isinstance(algorithm, SVI) else "n_iterations"
    if isinstance(algorithm, Hybrid):
        return Hybrid(algorithm.start, replace(algorithm.svi, n_steps=n_iterations))
    return replace(algorithm, **{name: n_iterations})  # type: ignore[type-var]
