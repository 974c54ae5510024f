"""Small scenes with known answers, and how close numbers have to be."""

from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.models import Scene

EXACT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9}
N_ERRORS = 4.0  # how many standard errors a sample mean may be off


def boxes(*shape: int, spread: float = 0.2) -> Tensor:
    """Contents (cx, cy, log w, log h) [*shape, 4]: boxes of about a tenth of the image, anywhere in it."""
    centre = 0.5 + spread * torch.randn(*shape, 2)
    return torch.cat([centre, -2.3 + 0.2 * torch.randn(*shape, 2)], -1)


def toy_scene(
    n_scenes: int = 2,
    n_frames: int = 4,
    n_detections: int = 3,
    n_sources: int = 2,
    missing: float = 0.25,
    is_padded: bool = False,
    is_labelled: bool = False,
    noise: float = 0.02,
) -> Scene:
    """Sources that wander, detections near them in any order (further ones where K > N), some of them missing."""
    start = boxes(n_scenes, n_sources)
    path = start.unsqueeze(-2) + 0.02 * torch.randn(n_scenes, n_sources, n_frames, 4).cumsum(-2)
    whose = torch.randint(n_sources, (n_scenes, n_frames, n_detections))
    seen = torch.take_along_dim(path.transpose(1, 2), whose.unsqueeze(-1), -2)
    observations = seen + noise * torch.randn_like(seen)
    observations[torch.rand(observations.shape[:-1]) < missing] = torch.nan
    present = torch.ones(n_scenes, n_frames, dtype=torch.bool)
    if is_padded:
        present[-1, -(n_frames // 2) :] = False
    labels = None
    if is_labelled:
        labels = path + 0.01 * torch.randn_like(path)
        labels[torch.rand(labels.shape[:-1]) < 0.6] = torch.nan
        labels[:, 0, 1] = path[:, 0, 1]
    return Scene.of(observations, start, present, labels)


def assert_mean_close(draws: Tensor, expected: Tensor, n_errors: float = N_ERRORS) -> None:
    """The mean over the first axis is within `n_errors` standard errors of what is expected, everywhere."""
    error = draws.std(0) / len(draws) ** 0.5
    off = (draws.mean(0) - expected).abs() / error.clamp(min=1e-12)
    assert float(off.max()) < n_errors, f"{float(off.max()):.1f} standard errors off"
