"""How far things move in a frame, as far as that can be said before anything is known of who is who."""

from collections.abc import Callable

import torch
from torch import Tensor

from pyro_mixdvae.models.scene import Scene

MOST_PAIRS = 2048
"""Pairs of neighbouring frames that are looked at; of a longer scene, so many spread over it."""

KEPT = 0.95
"""Of the displacements, those that are not the furthest."""


def mean_square_displacement(scene: Scene, unit: Callable[[Tensor], Tensor]) -> Tensor | None:
    """Of the displacements between mutually nearest detections of neighbouring frames, [D]; None where there are none.

    Each of two is the nearest to the other: so a target that is missed in one of the frames leaves no displacement to
    another target, and a false detection seldom any; the furthest, among which such are, do not count. Scenes of a
    batch count together. Near is what is so on the mean of the coordinates that both have; a coordinate that no pair
    has moves as the others do on the mean.

    Args:
        scene: the detections.
        unit: of displacement, [*, D] -> [*, D]; nearest is what is so in these units.
    """
    n_steps = scene.n_frames - 1
    if n_steps < 1:
        return None
    chosen = torch.linspace(0, n_steps - 1, min(n_steps, MOST_PAIRS)).round().long().unique()
    at, to = scene.observations[:, chosen].double(), scene.observations[:, chosen + 1].double()
    both = scene.given[:, chosen].unsqueeze(-2) & scene.given[:, chosen + 1].unsqueeze(-3)  # [B, M, K, K, D]
    difference = torch.where(both, (to.unsqueeze(-3) - at.unsqueeze(-2)) / unit(at).unsqueeze(-2), 0.0)
    n_given = both.sum(-1)
    square = difference.square().sum(-1) * (both.shape[-1] / n_given.clamp(min=1))
    distance = torch.where(n_given > 0, square, torch.inf)
    forth, back = distance.argmin(-1, keepdim=True), distance.argmin(-2, keepdim=True)
    numbers = torch.arange(distance.shape[-1], device=distance.device)
    is_mutual = (n_given > 0) & (forth == numbers) & (back == numbers.unsqueeze(-1))
    if not is_mutual.any():
        return None
    far = distance[is_mutual]
    kept = far <= far.quantile(KEPT)
    squares, counts = difference[is_mutual][kept].square().sum(0), both[is_mutual][kept].sum(0)
    every = torch.where(counts > 0, squares / counts.clamp(min=1), squares.sum() / counts.sum())
    found: Tensor = every.to(scene.start)
    return found
