"""Pieces of tracks about which there is no doubt: frame after frame, as long as only one way of going on is likely."""

import numpy as np

from pyro_mixdvae.engines.numba.pieces import successors
from pyro_mixdvae.inference.association.motion import (
    SPREADS,
    WEIGHTS,
    Detections,
    Motion,
    Track,
    estimated,
    guessed,
)

CERTAIN = 8.0
"""Nats by which the best way of joining two frames has to be likelier than any that joins otherwise."""

LEAST = 0.0
"""Nats against clutter below which nothing goes on."""

MOST_PIECES = 1000
"""Pieces that are put together at once: the memory that this takes grows with the square of their number."""

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


def longest(pieces: list[Track], least: int) -> list[Track]:
    """Those of so many detections at least, and of very many the longest, in the order that they have."""
    kept = [piece for piece in pieces if len(piece) >= least]
    if len(kept) <= MOST_PIECES:
        return kept
    shortest = sorted(map(len, kept))[-MOST_PIECES]
    return [piece for piece in kept if len(piece) >= shortest][:MOST_PIECES]


def pieces_of(seen: Detections, motion: Motion) -> list[Track]:
    """A piece ends where its next detection is missing or in doubt; what then comes is another."""
    variances = np.stack(motion)
    after = successors(seen.content, seen.unit, seen.clutter, seen.mask, variances, SPREADS, WEIGHTS, LEAST, CERTAIN)
    tracks: list[Track] = []
    own: dict[tuple[int, int], Track] = {}
    for t, k in np.argwhere(seen.mask).tolist():
        track = own.pop((t, k), None)
        if track is None:
            track = []
            tracks.append(track)
        track.append((t, k))
        if after[t, k] >= 0:
            own[t + 1, int(after[t, k])] = track
    return tracks
