"""Compiles the kernels that the tests need, before them: ``python tests/kernels.py``.

Two processes that run tests would each wait for the same kernels. Here each compiles others. Where they are kept
already this takes as long as an import.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch

from pyro_mixdvae import Separator, Tracker
from pyro_mixdvae.engines.numba.joint_events import all_best_events, all_pair_probabilities, log_partitions
from pyro_mixdvae.guides import MeanField
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import PersistentAssignment
from pyro_mixdvae.testing.parts import lively_kinematic, toy_model
from pyro_mixdvae.testing.scenes import toy_scene


def boxes(dtype: torch.dtype) -> None:
    """Of the default."""
    torch.set_default_dtype(dtype)
    Tracker(2).track(walks(4), size=(640, 480))


def points() -> None:
    """Of contents that loops are not laid out for."""
    torch.set_default_dtype(torch.float32)
    Tracker(2).track(walks(2), size=(640, 480))


def other_network() -> None:
    """Of a network that they are not laid out for, in two steps of inference."""
    torch.set_default_dtype(torch.float64)
    assignment = PersistentAssignment(2, 0.8, 0.1, hide=0.2, reappear=0.3)
    infer(toy_model(2, lively_kinematic(6), assignment), toy_scene(1, 5, 3, 2), MeanField, Coordinate(2))


def events() -> None:
    """Of joint events, whatever they are of."""
    scores = torch.zeros(1, 2, 2, dtype=torch.float64)
    for compiled in (log_partitions, all_pair_probabilities, all_best_events):
        compiled(scores.numpy())


def sounds() -> None:
    """Of sounds that add up."""
    torch.set_default_dtype(torch.float32)
    Separator().separate(np.random.default_rng(0).standard_normal(8000), 16000)


def walks(n_numbers: int) -> np.ndarray:
    """Two targets that walk and cross, one missed now and then: [T, N, D], of boxes or of points."""
    step = np.arange(40)[:, None, None]
    places = np.array([[20.0, 100.0], [300.0, 110.0]]) + step * np.array([[7.0, 0.0], [-7.0, 0.0]])
    places = places + np.random.default_rng(0).normal(0, 1, places.shape)
    found = np.concatenate([places, places + 40], -1)[..., :n_numbers]
    found[7::9, 0] = np.nan
    return found


# The longest first.
EACH: list[Callable[[], None]] = [
    partial(boxes, torch.float32),
    partial(boxes, torch.float64),
    points,
    other_network,
    events,
    sounds,
]


def main() -> None:
    """All of them, in as many processes as there are tests."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for ended in [pool.submit(each) for each in EACH]:
            ended.result()


if __name__ == "__main__":
    main()
