"""Training of ArTIST's network: k-means of displacements, then cross-entropy of the next cluster."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.networks.dvae import as_estimated
from pyro_mixdvae.networks.motion_categories import MotionCategories
from pyro_mixdvae.training.loop import Epoch, Training, descend, of_adam

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


class CategoryTraining(Training[MotionCategories]):
    """Cluster the displacements of the first epoch, then train the LSTM by cross-entropy; the last weights are kept.

    ArTIST's tracklets are made of detections, not of estimates: all displacements are those between boxes that a
    detector saw, each with an error of its own (`as_estimated`). The curve is the mean log probability of the next
    cluster, nats a frame.

    Args:
        network: untrained.
        tracks: gives the displacements [count, T-1, D] of the tracks of an epoch (from 0).
        validation: of held-out tracks.
        epochs: passes over the tracks; the learning rate falls along a cosine to nothing.
        batch_size: tracks a step.
        learning_rate: of Adam, at the start.
        seed: of clusters, order and errors.
    """

    def __init__(
        self,
        network: MotionCategories,
        tracks: Callable[[int], Tensor],
        validation: Tensor,
        epochs: int,
        batch_size: int = 256,
        learning_rate: float = 0.003,
        seed: int = 0,
    ):
        schedule = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
        super().__init__(network, {"algorithm": "k-means, then cross-entropy", **schedule}, seed)
        self.tracks, self.validation = tracks, validation
        self.epochs, self.batch_size, self.learning_rate = epochs, batch_size, learning_rate

    def begin(self) -> None:
        """The clusters, which take seconds and are found anew where a training is resumed."""
        self.generator = torch.Generator().manual_seed(self.seed)
        set_clusters(self.network, as_estimated(self.tracks(0), self.generator), self.generator)
        self.held_out = as_estimated(self.validation, self.generator)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=self.learning_rate)
        self.cosine = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, self.epochs)

    @property
    def is_finished(self) -> bool:
        """All epochs are done."""
        return len(self.curve) >= self.epochs

    def epoch(self) -> Epoch:
        """One pass over the tracks."""
        y = self.tracks(len(self.curve))
        total = 0.0
        for indices in torch.randperm(len(y), generator=self.generator).split(self.batch_size):
            seen = as_estimated(y[indices], self.generator)
            loss = -log_probability_per_frame(self.network, seen)
            descend(self.network, self.optimiser, loss, clip=1.0)
            total -= float(loss.detach()) * len(indices)
        self.cosine.step()
        with torch.no_grad():
            found = float(log_probability_per_frame(self.network, self.held_out))
        return Epoch(len(self.curve) + 1, total / len(y), found)

    def state(self) -> dict[str, Any]:
        """Weights, optimiser and generator."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "cosine": self.cosine.state_dict(),
            "generator": self.generator.get_state(),
        }

    def state_after_epochs(self) -> dict[str, Any]:
        """Adam has moments."""
        return self.state() | {"optimiser": of_adam(self.optimiser)}

    def restore(self, state: dict[str, Any]) -> None:
        """The same, put back."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.cosine.load_state_dict(state["cosine"])
        self.generator.set_state(state["generator"])
