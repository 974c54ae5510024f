"""Poses as arrays: rows of a point and its parts, guesses of parts that are not seen, and the parts of a result.

A row ``[2 + 2 P]`` of P parts, P from 2, is (x, y) of the mean of the parts that are seen, and (x, y) of each part, NaN
where it is not seen; all of it is NaN where there is no pose. So a row is never as wide as a box, and its first two
numbers are a point. A pose of one part is a point.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.reporting.sameness import EqualByContent
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.rows import Flags, Integers


def is_of_poses(boxes: Array) -> bool:
    """Whether an array holds rows of poses, not boxes ``[..., 4]`` nor points ``[..., 2]``."""
    return boxes.shape[-1] > 4


def pose_rows(poses: npt.ArrayLike) -> Array:
    """Rows ``[..., 2 + 2 P]`` of poses ``[..., P, 2]`` in pixels, NaN where a part is not seen; of one part, points.

    Raises:
        InputError: the last axis is not x and y, or there is no part.
    """
    parts = np.asarray(poses, dtype=float)
    if parts.ndim < 2 or parts.shape[-1] != 2 or not parts.shape[-2]:
        raise InputError(
            f"Poses must be an array [frames, detections, parts, 2]; this one has the shape {parts.shape}."
        )
    seen = ~np.isnan(parts).any(-1, keepdims=True)
    if parts.shape[-2] == 1:
        return np.where(seen, parts, np.nan)[..., 0, :]
    count = seen.sum(-2)
    point = np.where(seen, parts, 0.0).sum(-2) / np.where(count > 0, count, np.nan)
    flat = np.where(seen, parts, np.nan).reshape(*parts.shape[:-2], 2 * parts.shape[-2])
    return np.concatenate([point, flat], -1)


def parts_of(rows: Array) -> Array:
    """The parts ``[..., P, 2]`` of rows ``[..., 2 + 2 P]``."""
    return rows[..., 2:].reshape(*rows.shape[:-1], rows.shape[-1] // 2 - 1, 2)


def points_of(boxes: Array) -> Array:
    """The points ``[..., 2]`` of rows of poses; boxes and points stay what they are."""
    return boxes[..., :2] if is_of_poses(boxes) else boxes


def far_corners(boxes: Array) -> Array:
    """The far corners ``[..., 2]`` of boxes, points, and of all that is seen of poses."""
    if not is_of_poses(boxes):
        return boxes[..., -2:]
    far: Array = np.fmax.reduce(np.concatenate([boxes[..., None, :2], parts_of(boxes)], -2), axis=-2)
    return far


def is_seen(parts: Array) -> Flags:
    """Which parts ``[..., P]`` are seen, of ``[..., P, 2]``."""
    return ~np.asarray(np.isnan(parts).any(-1))


def guessed(parts: Array) -> Array:
    """Where the parts of detections ``[T, K, P, 2]`` that are not seen may be; those that are seen stay where they are.

    Each pose is compared with those of the frame before that holds some (`like_nearest`), which has been guessed
    already; the first frames with what comes after them. It is a guess to start from: inference takes it for no data.
    """
    found, there = parts.copy(), is_seen(parts)
    is_partly = np.asarray(there.any(2) & ~there.all(2))
    if not is_partly.any():
        return found
    full = np.flatnonzero(there.any((1, 2)))
    for order in (full[::-1], full):  # what is known after a frame goes into it first, and what is known before over it
        before: Array | None = None
        for t in order:
            own = there[t].any(1)
            if before is not None and not there[t, own].all():
                like = like_nearest(parts[t, own], before)
                found[t, own] = np.where(np.isnan(like), found[t, own], like)
            before = found[t, own]
    return np.where(np.isnan(found), pose_rows(parts)[..., None, :2], found)


def like_nearest(poses: Array, others: Array) -> Array:
    """Poses ``[N, P, 2]`` whose missing parts lie as those of the nearest of other poses ``[M, P, 2]`` do.

    Near is what is so on the mean of the parts that both have, and its parts are moved by what these have moved. A part
    that neither has stays NaN.
    """
    both = is_seen(poses)[:, None] & is_seen(others)  # [N, M, P]
    apart = np.where(both[..., None], poses[:, None] - others, 0.0)
    count = both.sum(-1)
    square = np.where(count > 0, (apart**2).sum((-2, -1)) / np.maximum(count, 1), np.inf)
    nearest = square.argmin(1)
    own = np.arange(len(poses))
    moved = apart[own, nearest].sum(-2) / np.maximum(count[own, nearest], 1)[:, None]
    like = np.where((count[own, nearest] > 0)[:, None, None], others[nearest] + moved[:, None], np.nan)
    return np.where(np.isnan(poses), like, poses)


@dataclass(frozen=True, eq=False)
class Parts(EqualByContent):
    """The parts of N animals in T frames.

    Attributes:
        names: of the P parts.
        mean: posterior mean ``[T, N, P, 2]`` in pixels.
        lower, upper: limits of the credible interval of each coordinate ``[T, N, P, 2]``.
        observed: ``[T, N, P]``, True where a detection of the frame belongs to the animal and shows the part; False
            where the part is inferred.
    """

    names: tuple[str, ...]
    mean: Array
    lower: Array
    upper: Array
    observed: Flags

    def at(self, frames: slice | Integers) -> "Parts":
        """Of some frames."""
        return replace(
            self,
            mean=self.mean[frames],
            lower=self.lower[frames],
            upper=self.upper[frames],
            observed=self.observed[frames],
        )

    def of_visits(self, rows: Integers, chosen: Integers, observed: Flags) -> "Parts":
        """Of animals that are one of several at a time: at frames ``[T, 1]`` the chosen ``[T, N]``."""
        return replace(
            self,
            mean=self.mean[rows, chosen],
            lower=self.lower[rows, chosen],
            upper=self.upper[rows, chosen],
            observed=self.observed[rows, chosen] & observed[..., None],
        )

    def while_there(self, there: Flags) -> "Parts":
        """With NaN where an animal is not in the picture, ``[T, N]``."""
        mean, lower, upper = (
            np.where(there[..., None, None], part, np.nan) for part in (self.mean, self.lower, self.upper)
        )
        return replace(self, mean=mean, lower=lower, upper=upper)

    def of_sources(self, t: Integers, n: Integers) -> tuple[Integers, Integers, Integers]:
        """Indices of every part of the sources ``n [m]`` in the frames ``t [m]``: frame, source and part, ``[m P]``."""
        n_parts = len(self.names)
        return np.repeat(t, n_parts), np.repeat(n, n_parts), np.tile(np.arange(n_parts), len(t))

    @property
    def rows(self) -> Array:
        """As rows ``[T, N, 2 + 2 P]``."""
        return pose_rows(self.mean)


def joined_parts(pieces: Iterable[Parts | None]) -> Parts | None:
    """The parts of results that follow on one another; None where one has none."""
    every = [piece for piece in pieces if piece is not None]
    if not every:
        return None
    return Parts(
        every[0].names,
        np.concatenate([piece.mean for piece in every]),
        np.concatenate([piece.lower for piece in every]),
        np.concatenate([piece.upper for piece in every]),
        np.concatenate([piece.observed for piece in every]),
    )


def in_order(parts: Array, names: Sequence[str], wanted: Sequence[str]) -> Array:
    """Parts ``[..., P, 2]`` of these names, those that are wanted alone and in that order.

    Raises:
        KeyError: one is not among them; its name.
    """
    places = {name: place for place, name in enumerate(names)}
    return parts[..., [places[name] for name in wanted], :]


def diagonals(rows: Array) -> Array:
    """How large poses are, ``[...]`` in pixels: the diagonal of the box around what is seen of each; NaN of none."""
    parts = parts_of(rows)
    sides = np.fmax.reduce(parts, axis=-2) - np.fmin.reduce(parts, axis=-2)
    return np.hypot(sides[..., 0], sides[..., 1])


def listed(names: Sequence[str]) -> str:
    """Names of parts in a sentence, those with a comma in quotes."""
    return ", ".join(f'"{name}"' if "," in name else name for name in names)


def named_parts(names: Sequence[str], n_parts: int) -> tuple[str, ...]:
    """The names of P parts; part1, part2, ... where nobody has named them."""
    return tuple(names) or tuple(f"part{number}" for number in range(1, n_parts + 1))
