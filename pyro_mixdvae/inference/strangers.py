"""Targets that are no source, as chains of their own: runs of detections that belong to nobody."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Transition
from pyro_mixdvae.engines.protocol import PseudoObservation
from pyro_mixdvae.inference.gap_spread import Array
from pyro_mixdvae.inference.posterior import Conditioned, Posterior

Mask = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

PATIENCE = 5
"""Frames without a detection after which a run has ended."""

LEAST = 10
"""Detections of a run, at least: fewer are false boxes."""

FAR = 100.0
"""Squared steps that end a run, in units of those that sources take: ten standard deviations, as steps have tails."""

MEDIAN = 0.4549
"""Of the square of a standard normal number."""


class Run(NamedTuple):
    """The frames of a run's detections, and which of each frame they are."""

    frames: list[int]
    places: list[int]


class Strangers(NamedTuple):
    """Chains [1, N + M, ...] of a scene: those of its sources, and runs, one after the other in each of M more.

    `is_run` [M, T] is True from the first detection of a run to its last.
    """

    chains: Conditioned
    is_run: Mask


def strangers_of(posterior: Posterior, chains: Conditioned, scene: int, is_left: Mask) -> Strangers | None:
    """The runs of one scene beside its sources; None where there are none. Of its detections [T, K] some are left over.

    A run moves as the sources do on the mean. Where it begins, it is anywhere among the detections of the scene.
    """
    runs = runs_of(posterior, chains, scene, is_left)
    if not runs:
        return None
    here = slice(scene, scene + 1)
    steps = [part[here].double() for part in chains.transitions]
    said = [part[here].double() for part in chains.observation]
    rows = _in_rows(runs)
    matrix, offset, noise = (part.mean(1, keepdim=True).repeat(1, len(rows), *[1] * (part.dim() - 2)) for part in steps)
    offset[:] = 0.0
    value, precision = (torch.zeros(1, len(rows), *part.shape[2:], dtype=torch.double) for part in said)
    anywhere, first = _beginning(posterior, noise[0, 0, 0], scene)
    scale = posterior.model.likelihood.noise.scale(posterior.scene)[scene, :, :, 0].double()
    observed = posterior.scene.observations[scene].double()
    is_run = np.zeros(value.shape[1:3], np.bool_)
    for m, row in enumerate(rows):
        for begin in [0, *(run.frames[0] for run in row)]:
            matrix[0, m, begin], offset[0, m, begin, :, 0], noise[0, m, begin] = 0.0, anywhere, first
        for run in row:
            at = torch.tensor(run.frames), torch.tensor(run.places)
            value[0, m, at[0]] = observed[at]
            precision[0, m, at[0]] = scale[at].square().reciprocal()
            is_run[m, run.frames[0] : run.frames[-1] + 1] = True
    transitions = (torch.cat(pair, 1) for pair in zip(steps, (matrix, offset, noise), strict=True))
    observation = (torch.cat(pair, 1) for pair in zip(said, (value, precision), strict=True))
    return Strangers(Conditioned(Transition(*transitions), PseudoObservation(*observation)), is_run)


def runs_of(posterior: Posterior, chains: Conditioned, scene: int, is_left: Mask) -> list[Run]:
    """Of one scene: detections that belong to nobody, one to a frame, each near the one before; `LEAST` or more."""
    if is_left.sum() < LEAST:
        return []
    weight = _weights(*(part[scene].numpy() for part in chains.observation))
    if weight is None:
        return []
    observed = posterior.scene.observations[scene].numpy()
    going: list[Run] = []
    found: list[Run] = []
    for t in np.flatnonzero(is_left.any(1)).tolist():
        found += [run for run in going if t - run.frames[-1] > PATIENCE]
        going = [run for run in going if t - run.frames[-1] <= PATIENCE]
        here = np.flatnonzero(is_left[t])
        begins = set(here.tolist())
        if going:
            last = np.array([observed[run.frames[-1], run.places[-1]] for run in going])
            waited = np.array([t - run.frames[-1] for run in going])
            cost = ((observed[t, here] - last[:, None]) ** 2 * weight).sum(-1) / waited[:, None]
            for row, column in zip(*linear_sum_assignment(np.minimum(cost, FAR)), strict=True):
                if cost[row, column] < FAR:
                    going[row].frames.append(t)
                    going[row].places.append(int(here[column]))
                    begins.discard(int(here[column]))
        going += [Run([t], [k]) for k in sorted(begins)]
    return [run for run in found + going if len(run.frames) >= LEAST]


def left_over(posterior: Posterior) -> Mask:
    """Which detections belong to nobody, more likely than not: [B, T, K]."""
    scene = posterior.scene
    if not posterior.model.assignment.has_clutter:
        return np.zeros(scene.mask.shape, np.bool_)
    found: Mask = (scene.mask & (posterior.responsibilities[..., -1] > 0.5)).numpy()
    return found


def _weights(value: Array, precision: Array) -> Array | None:
    """One over the variance of the steps [D] that sources take from frame to frame; None where none takes any."""
    is_step = (precision[:, 1:] > 0) & (precision[:, :-1] > 0)
    if not is_step.any((0, 1)).all():
        return None
    squares: Array = np.nanmedian(np.where(is_step, np.diff(value, axis=1) ** 2, np.nan), (0, 1)) / MEDIAN
    return 1 / squares if (squares > 0).all() else None


def _in_rows(runs: list[Run]) -> list[list[Run]]:
    """Runs that do not meet in time share a row."""
    rows: list[list[Run]] = []
    for run in sorted(runs, key=lambda each: each.frames[0]):
        free = [row for row in rows if row[-1].frames[-1] < run.frames[0]]
        if free:
            free[0].append(run)
        else:
            rows.append([run])
    return rows


def _beginning(posterior: Posterior, first: Tensor, scene: int) -> tuple[Tensor, Tensor]:
    """Mean [D] and covariance [D, S, S] of a state that begins: `first` is that of a source's own beginning."""
    seen = posterior.scene.observations[scene][posterior.scene.mask[scene]].double()
    covariance = first.clone()
    covariance[:, 0] = covariance[:, :, 0] = 0.0
    covariance[:, 0, 0] = seen.var(0).maximum(first[:, 0, 0])
    return seen.mean(0), covariance
