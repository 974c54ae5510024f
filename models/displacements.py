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
    batch count together.

    Args:
        scene: the detections.
        unit: of displacement, [*, D] -> [*, D]; nearest is what is so in these units.
    """
    n_steps = scene.n_frames - 1
    if n_steps < 1:
        return None
    chosen = torch.linspace(0, n_steps - 1, min(n_steps, MOST_PAIRS)).round().long().unique()
    at, to = scene.observations[:, chosen].double(), scene.observations[:, chosen + 1].double()
    both = scene.mask[:, chosen].unsqueeze(-1) & scene.mask[:, chosen + 1].unsqueeze(-2)
    difference = (to.unsqueeze(-3) - at.unsqueeze(-2)) / unit(at).unsqueeze(-2)  # [B, M, K, K, D]
    distance = torch.where(both, difference.square().sum(-1), torch.inf)
    forth, back = distance.argmin(-1, keepdim=True), distance.argmin(-2, keepdim=True)
    numbers = torch.arange(distance.shape[-1], device=distance.device)
    is_mutual = both & (forth == numbers) & (back == numbers.unsqueeze(-1))
    if not is_mutual.any():
        return None
    far = distance[is_mutual]
    found: Tensor = difference[is_mutual][far <= far.quantile(KEPT)].square().mean(0).to(scene.start)
    return found
