"""Sources and runs of detections as rows of one batch of a filter: picked, joined, begun anew."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Gaussian, Transition
from pyro_mixdvae.engines.torch.chain import feed
from pyro_mixdvae.models.sources.contract import Sources, map_state


class Rows(NamedTuple):
    """What the next frame is entered with: all parts are `[1, R, *]`.

    Where each row started, the memory with which the last frame was entered and the one after it, and the belief.
    """

    start: Tensor
    earlier: Any
    state: Any
    belief: Gaussian


class Entry(NamedTuple):
    """How a frame was entered, and the belief before and after its detections, as in `FilterStep`: `[1, R, *]`."""

    transition: Transition
    predicted: Gaussian
    belief: Gaussian


Batch = TypeVar("Batch", Rows, Entry, Gaussian)
Places = slice | Sequence[int] | np.ndarray[Any, np.dtype[np.int64]]


def pick(rows: Batch, places: Places) -> Batch:
    """Some rows, in that order; a slice copies nothing."""
    index = places if isinstance(places, slice) else torch.as_tensor(places, dtype=torch.long)
    picked: Batch = map_state(lambda part: part[:, index], rows)
    return picked


def join(rows: Batch, others: Batch) -> Batch:
    """The rows of both."""
    joined: Batch = map_state(lambda *parts: torch.cat(parts, 1), rows, others)
    return joined


def put(rows: Batch, place: int, row: Batch) -> Batch:
    """The same but for one row."""

    def replaced(part: Tensor, own: Tensor) -> Tensor:
        return torch.cat([part[:, :place], own, part[:, place + 1 :]], 1)

    changed: Batch = map_state(replaced, rows, row)
    return changed


def first_rows(sources: Sources, content: Tensor, variance: Tensor) -> Rows:
    """Rows that begin at contents [1, R, D] known up to a `variance` [1, R, D], their speed that of a first frame."""
    before = sources.init_state(content)
    first = sources.transition(before, None)
    mean, covariance = first.offset.clone(), first.noise.clone()
    mean[..., 0] = content
    covariance[..., 0, :] = covariance[..., :, 0] = 0.0
    covariance[..., 0, 0] = variance
    belief = Gaussian(mean, covariance)
    return Rows(content, before, feed(sources, before, belief), belief)


def anew(belief: Gaussian) -> Entry:
    """The frame in which a row begins: no frame before says anything of it, nor it of those."""
    return Entry(Transition(torch.zeros_like(belief.covariance), belief.mean, belief.covariance), belief, belief)
