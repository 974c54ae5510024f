"""Training of ArTIST's network: k-means of displacements, then cross-entropy of the next cluster."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pyro_mixdvae.networks.dvae import as_estimated
from pyro_mixdvae.networks.motion_categories import MotionCategories
from pyro_mixdvae.training.checkpoint import read_checkpoint, write_checkpoint
from pyro_mixdvae.training.pretrain import Epoch, Pretrained

LEAST_SPREAD = 1e-3  # of a cluster, in box sizes: a cluster of one displacement would be infinitely sure
MOST_POINTS = 50_000  # that k-means sees


@torch.no_grad()
def k_means(points: Tensor, n_clusters: int, generator: torch.Generator, iterations: int = 25) -> Tensor:
    """Lloyd's algorithm from points chosen at random: points [count, D] -> centroids [C, D].

    A cluster that loses all of its points stays where it was.
    """
    centroid = points[torch.randperm(len(points), generator=generator)[:n_clusters]].clone()
    centroid = centroid[torch.arange(n_clusters) % len(centroid)]  # fewer points than clusters: some are the same
    for _ in range(iterations):
        members = _members(points, centroid)
        total, count = torch.zeros_like(centroid), torch.zeros(n_clusters, 1, dtype=points.dtype)
        total.index_add_(0, members, points)
        count.index_add_(0, members, torch.ones_like(points[:, :1]))
        centroid = torch.where(count > 0, total / count.clamp(min=1), centroid)
    return centroid


def _members(points: Tensor, centroid: Tensor) -> Tensor:
    return torch.cat([torch.cdist(part, centroid).argmin(-1) for part in points.split(4096)])


@torch.no_grad()
def set_clusters(network: MotionCategories, displacements: Tensor, generator: torch.Generator) -> None:
    """Give the network the clusters of displacements [*, D], and the standard deviations of their members."""
    points = displacements.flatten(0, -2)
    points = points[torch.randperm(len(points), generator=generator)[:MOST_POINTS]]
    centroid = k_means(points, network.n_clusters, generator)
    members = _members(points, centroid)
    total, count = torch.zeros_like(centroid), torch.zeros(len(centroid), 1, dtype=points.dtype)
    total.index_add_(0, members, (points - centroid[members]).square())
    count.index_add_(0, members, torch.ones_like(points[:, :1]))
    network.centroid.copy_(centroid)
    network.spread.copy_((total / count.clamp(min=1)).sqrt().clamp(min=LEAST_SPREAD))


def log_probability_per_frame(network: MotionCategories, displacements: Tensor) -> Tensor:
    """Mean of `log p(c_t | y_<t)` over tracks of displacements [count, T, D], in nats a frame; a scalar."""
    before = torch.cat([torch.zeros_like(displacements[:, :1]), displacements[:, :-1]], 1)
    log_probability = network.log_probability(network.history(before))
    return log_probability.gather(-1, network.nearest(displacements).unsqueeze(-1)).mean()


def fit_categories(
    network: MotionCategories,
    tracks: Callable[[int], Tensor],
    validation: Tensor,
    epochs: int,
    batch_size: int = 256,
    learning_rate: float = 0.003,
    seed: int = 0,
    *,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    settings: dict[str, Any] | None = None,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> Pretrained:
    """Cluster the displacements of the first epoch, then train the LSTM; the network changes in place.

    ArTIST's tracklets are made of detections, not of estimates: all displacements are those between boxes that a
    detector saw, each with an error of its own (`as_estimated`).

    Args:
        network: untrained.
        tracks: gives the displacements [count, T-1, D] of the tracks of an epoch.
        validation: of held-out tracks.
        epochs: passes over the tracks; the learning rate falls along a cosine to nothing.
        checkpoint, resume, settings: as in `pretrain`; the clusters, which take seconds, are found anew.
        report: is called after each epoch.

    Returns:
        the curve of the mean log probability of the next cluster, nats a frame; the last weights are kept.

    Raises:
        InputError: the checkpoint cannot be used.
    """
    schedule = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    settings = {**schedule, "seed": seed, **(settings or {})}
    generator = torch.Generator().manual_seed(seed)
    set_clusters(network, as_estimated(tracks(0), generator), generator)
    held_out = as_estimated(validation, generator)
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs)
    curve: list[Epoch] = []
    if resume and checkpoint is not None:
        state = read_checkpoint(checkpoint, settings)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        cosine.load_state_dict(state["cosine"])
        generator.set_state(state["generator"])
        curve = [Epoch(*point) for point in state["curve"]]
    for number in range(len(curve) + 1, epochs + 1):
        y = tracks(number - 1)
        total = 0.0
        for indices in torch.randperm(len(y), generator=generator).split(batch_size):
            seen = as_estimated(y[indices], generator)
            loss = -log_probability_per_frame(network, seen)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            total -= float(loss.detach()) * len(indices)
        cosine.step()
        with torch.no_grad():
            curve.append(Epoch(number, total / len(y), float(log_probability_per_frame(network, held_out))))
        if checkpoint is not None:
            state = {
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "cosine": cosine.state_dict(),
                "generator": generator.get_state(),
                "curve": [tuple(point) for point in curve],
            }
            write_checkpoint(checkpoint, state, settings)
        report(curve[-1])
    return Pretrained(curve, epochs, curve[-1].validation)
