"""ArTIST for a fixed number of sources: autoregressive scores of tracklets, and inpainting of what was missed.

Saleh et al., "Probabilistic tracklet scoring and inpainting for multiple object tracking", CVPR 2021. As there: an LSTM
over the displacements of a tracklet gives a categorical over clusters of the next displacement (k-means); a missed
source is carried on by many sampled continuations, of which the one that a later detection confirms is kept; the cost
of giving a detection to a tracklet is the negative log likelihood, and the Hungarian algorithm finds the cheapest
assignment. What differs from the paper:

- N is fixed: sources neither appear nor end, and a continuation may last for ever (3 seconds there).
- No interaction between tracklets (its MA-Net, a recurrent autoencoder of the other tracklets, is left out).
- Displacements count in box sizes, not in image sizes, with the logarithms of width and height; 512 clusters, not
  1,024; a network of 49,000 weights, trained on this package's synthetic trajectories, not on MOT17's tracks.
- A detection's score is the density of the mixture of the clusters, each a Gaussian as wide as its members, with a
  wide tail: by the probability of the nearest cluster alone, all boxes beyond the outermost cluster would be alike.
- A pair is scored by its mean likelihood over the continuations, and the most likely continuation is kept; there, the
  one of greatest overlap with the detection.
- Detections before the first frame that has N of them are tracked backwards in time.
"""

from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pyro_mixdvae.baselines.bidirectional import present, track_bidirectional
from pyro_mixdvae.networks.motion_categories import LOG_2_PI, MotionCategories
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.weights.store import load_network

COORDINATES = CentreLogSize()
WEIGHTS = "artist"
CONTINUATIONS = 30
TAIL = 1e-3  # prior probability of a displacement that no cluster explains
TAIL_REACH = 3.0  # in standard deviations of the tail, a box size a missed frame: beyond, nothing is assigned


def track(
    detections: Array,
    n_sources: int,
    network: MotionCategories | None = None,
    n_continuations: int = CONTINUATIONS,
    seed: int = 0,
) -> Array:
    """Boxes ``[T, N, 4]`` of ``n_sources`` in detections ``[T, K, 4]``; xyxy in pixels, NaN where there is none.

    Args:
        detections: of one sequence.
        n_sources: N.
        network: None for the weights that ship.
        n_continuations: S, of a source that was missed.
        seed: of the continuations.

    Raises:
        ValueError: no frame has N detections.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = load(WEIGHTS) if network is None else network
    follow = partial(_follow, network=chosen, n_continuations=n_continuations, generator=generator)
    return track_bidirectional(follow, detections, n_sources)


@cache
def load(weights: str | Path) -> MotionCategories:
    """The network of weights, by their name or file.

    Raises:
        InputError: no such weights.
        TypeError: they are of another network.
    """
    network = load_network(weights).network
    if not isinstance(network, MotionCategories):
        raise TypeError(f"{weights} holds a {type(network).__name__}, and ArTIST needs a MotionCategories")
    return network


@torch.no_grad()
def _follow(
    boxes: Array, detections: Array, network: MotionCategories, n_continuations: int, generator: torch.Generator
) -> Array:
    """From boxes ``[N, 4]`` on, through the detections of the frames after them: ``[T, N, 4]``."""
    dtype = network.centroid.dtype
    n_sources = len(boxes)
    s = _content(boxes, dtype).unsqueeze(1).repeat(1, n_continuations, 1)
    state = network.history.update_state(torch.zeros_like(s), network.history.init_state(s))
    missed = torch.zeros(n_sources, dtype=torch.int64)  # frames since the last detection
    path = s.new_zeros(len(detections), *s.shape)
    for t, frame in enumerate(detections):
        seen = _content(present(frame), dtype)
        # While no source is missed, all of its continuations are the same: one stands for all.
        distinct = slice(None) if missed.any() else slice(1)
        log_probability = network.log_probability(state[0][:, distinct])
        score = _score(network, log_probability, s[:, distinct], seen, missed)
        missed += 1
        following = s.clone()
        pairs = _assign(score, missed)
        if len(pairs) < n_sources:
            clusters = _draw(log_probability.expand(-1, n_continuations, -1), generator)
            following += COORDINATES.unit(s) * network.centroid[clusters]
        for n, k in pairs:
            kept = int(score[n, :, k].argmax())
            for whole in (s, path[:t].transpose(0, 1), *state):  # the other continuations are given up
                whole[n] = whole[n, ..., kept : kept + 1, :].clone()
            following[n] = seen[k]
            missed[n] = 0
        state = network.history.update_state((following - s) / COORDINATES.unit(s), state)
        s = path[t] = following
    centre: Array = COORDINATES.boxes(path.median(2).values.double()).numpy()
    return centre


def _content(boxes: Array, dtype: torch.dtype) -> Tensor:
    return COORDINATES.content(torch.as_tensor(np.ascontiguousarray(boxes))).to(dtype)


def _score(network: MotionCategories, log_probability: Tensor, s: Tensor, seen: Tensor, missed: Tensor) -> Tensor:
    """Log likelihood of each detection under each continuation of each source: [N, S, K].

    log_probability [N, S, C] of the next cluster, s [N, S, D], seen [K, D], missed [N].
    """
    y = (seen - s.unsqueeze(2)) / COORDINATES.unit(s).unsqueeze(2)
    clustered = network.log_density(log_probability.unsqueeze(2), y)
    spread = 1.0 + missed[:, None, None]
    tail = -0.5 * (y / spread.unsqueeze(-1)).square().sum(-1) - _log_normaliser(spread)
    return torch.logaddexp(np.log1p(-TAIL) + clustered, np.log(TAIL) + tail)


def _log_normaliser(spread: Tensor) -> Tensor:
    """Of a Gaussian in four dimensions: minus the logarithm of its density at its centre."""
    return 4 * spread.log() + 2 * LOG_2_PI


def _assign(score: Tensor, unseen: Tensor) -> list[tuple[int, int]]:
    """Pairs of source and detection of the greatest total likelihood: score [N, S, K], frames since the last, [N]."""
    likelihood = torch.logsumexp(score, 1) - np.log(score.shape[1])
    least = np.log(TAIL) - 0.5 * TAIL_REACH**2 - _log_normaliser(unseen.to(score.dtype))
    gain = (likelihood - least.unsqueeze(-1)).clamp(min=0).numpy()
    source, column = linear_sum_assignment(gain, maximize=True)
    return [(n, k) for n, k in zip(source.tolist(), column.tolist(), strict=True) if gain[n, k] > 0]


def _draw(log_probability: Tensor, generator: torch.Generator) -> Tensor:
    """A cluster of each continuation: [N, S, C] -> [N, S]."""
    flat = log_probability.exp().flatten(0, 1)
    return torch.multinomial(flat, 1, generator=generator).reshape(log_probability.shape[:2])
