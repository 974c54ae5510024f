"""Pieces of tracks about which there is no doubt: frame after frame, as long as only one way of going on is likely."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pyro_mixdvae.inference.association.motion import (
    Belief,
    Detections,
    Floats,
    Motion,
    Track,
    ahead,
    estimated,
    first_belief,
    guessed,
    log_predictive,
    updated,
)

CERTAIN = 8.0
"""Nats by which the best way of joining two frames has to be likelier than any that joins otherwise."""

LEAST = -20.0
"""Nats against clutter below which nothing goes on."""

ROUNDS = 2
"""Estimates of the motion, each from the pieces that the one before it gives."""


def find_pieces(seen: Detections) -> tuple[list[Track], Motion]:
    """Pieces of tracks in all detections, in the order of their first frames, and the motion estimated from them."""
    motion = guessed(seen)
    pieces = pieces_of(seen, motion)
    for _ in range(ROUNDS):
        motion = estimated(seen, pieces, motion)
        pieces = pieces_of(seen, motion)
    return pieces, motion


def pieces_of(seen: Detections, motion: Motion) -> list[Track]:
    """A piece ends where its next detection is missing or in doubt; what then comes is another."""
    done: list[Track] = []
    open_tracks: list[Track] = []
    belief: Belief | None = None
    for t in range(len(seen.mask)):
        columns = np.flatnonzero(seen.mask[t])
        content, unit = seen.content[t, columns], seen.unit[t, columns]
        goes_on = np.full(len(open_tracks), -1)
        if belief is not None and len(columns) and open_tracks:
            before = np.array([track[-1] for track in open_tracks])
            belief = ahead(motion, belief, seen.unit[before[:, 0], before[:, 1]], np.ones(len(before)))
            each = Belief(belief.mean[:, None], belief.covariance[:, None])
            gain = log_predictive(motion, each, content, unit) - seen.clutter[t, columns]
            goes_on = certain_pairs(gain)
        kept = np.flatnonzero(goes_on >= 0)
        done += [track for n, track in enumerate(open_tracks) if goes_on[n] < 0]
        fresh = np.setdiff1d(np.arange(len(columns)), goes_on)
        began = first_belief(motion, content[fresh], unit[fresh])
        if len(kept):
            assert belief is not None  # only open tracks go on
            taken = goes_on[kept]
            old = updated(motion, Belief(belief.mean[kept], belief.covariance[kept]), content[taken], unit[taken])
            began = Belief(np.concatenate([old.mean, began.mean]), np.concatenate([old.covariance, began.covariance]))
        for n in kept:
            open_tracks[n].append((t, int(columns[goes_on[n]])))
        open_tracks = [open_tracks[n] for n in kept] + [[(t, int(columns[k]))] for k in fresh]
        belief = began
    return sorted(done + open_tracks, key=lambda track: track[0])


def certain_pairs(gain: Floats) -> NDArray[np.int64]:
    """The column of each row [n] in the best joint event of gains [n, m] over none, -1 where it has none or in doubt."""
    gain = np.where(gain > LEAST, gain, -1e6)
    found = np.full(len(gain), -1)
    likely = gain > LEAST
    alone = likely & (likely.sum(0) == 1) & (likely.sum(1, keepdims=True) == 1)
    rows, columns = np.nonzero(alone)
    found[rows] = columns
    rest = np.flatnonzero(likely.any(1) & (found < 0))
    others = np.flatnonzero(likely[rest].any(0))
    if len(rest):
        found[rest] = [others[k] if k >= 0 else -1 for k in _certain(gain[np.ix_(rest, others)])]
    return found


def _certain(gain: Floats) -> list[int]:
    """As `certain_pairs`, of rows and columns that compete."""
    best, total = _best_event(gain)
    found = []
    for row, column in enumerate(best):
        if column < 0:
            found.append(-1)
            continue
        without = gain.copy()
        without[row, column] = -1e6
        found.append(column if total - _best_event(without)[1] > CERTAIN else -1)
    return found


def _best_event(gain: Floats) -> tuple[list[int], float]:
    """The column of each row, -1 for none, which loses what `LEAST` says."""
    n_rows, n_columns = gain.shape
    padded = np.full((n_rows, n_columns + n_rows), -1e6)
    padded[:, :n_columns] = gain
    padded[np.arange(n_rows), n_columns + np.arange(n_rows)] = LEAST
    rows, columns = linear_sum_assignment(padded, maximize=True)
    return [int(k) if k < n_columns else -1 for k in columns], float(padded[rows, columns].sum())
