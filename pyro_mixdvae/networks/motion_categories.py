"""The network of ArTIST: the next displacement as one of a few hundred clusters of displacements."""

import torch
from torch import Tensor, nn

from pyro_mixdvae.networks.layers import History

LOG_2_PI = 1.8378770664093453


class MotionCategories(nn.Module):
    """`c_t ~ Cat(h_t)` with `h_t = LSTM(y_{t-1}, h_{t-1})`: no DVAE, as nothing is latent and nothing Gaussian.

    The clusters are buffers: k-means gives them before the LSTM is trained (`inference.categories`).

    Args:
        content_dim: D, the width of a displacement y.
        n_clusters: C; 1,024 in the paper.
        hidden: H, width of the LSTM.
        gain: displacements are small numbers of box sizes; they are multiplied by this before the LSTM.
    """

    centroid: Tensor
    spread: Tensor

    def __init__(self, content_dim: int = 4, n_clusters: int = 512, hidden: int = 48, gain: float = 10.0):
        super().__init__()
        self.content_dim, self.n_clusters = content_dim, n_clusters
        self.history = History([content_dim, hidden], hidden, gain)
        self.head = nn.Linear(hidden, n_clusters)
        self.register_buffer("centroid", torch.zeros(n_clusters, content_dim))
        self.register_buffer("spread", torch.ones(n_clusters, content_dim))

    def log_probability(self, h: Tensor) -> Tensor:
        """`log p(c_t | h_t)`: h [*, H] -> [*, C]."""
        return self.head(h).log_softmax(-1)

    def log_density(self, log_probability: Tensor, y: Tensor) -> Tensor:
        """`log sum_c p(c) N(y; centroid_c, spread_c^2)`: [*, C] and y [*, D] -> [*], in nats."""
        precision = self.spread.square().reciprocal()
        mean = self.centroid * precision
        constant = (self.centroid * mean).sum(-1) + 2 * self.spread.log().sum(-1) + self.content_dim * LOG_2_PI
        distance = y.square() @ precision.mT - 2 * y @ mean.mT + constant
        return torch.logsumexp(log_probability - 0.5 * distance, -1)

    def nearest(self, y: Tensor) -> Tensor:
        """The cluster of each displacement: y [*, D] -> [*], in 0, ..., C - 1."""
        distance = self.centroid.square().sum(-1) - 2 * y @ self.centroid.mT
        return distance.argmin(-1)
