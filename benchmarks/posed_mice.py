"""Synthetic mice of some parts, a fifth of which are not seen: tracked by all parts, and by the mean of those seen.

`python benchmarks/posed_mice.py` prints, for two to four animals, identity switches, IDF1 and the error of the middle
of both, and of all parts that of the first.
"""

import argparse
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.tracking.boxes import Array

SIZE = (640.0, 480.0)
"""Pixels."""

WITHIN = 25.0
"""Pixels between middles that match: two thirds of a body."""


class Mice(NamedTuple):
    """True places ``[T, N, P, 2]``, and what is seen of them ``[T, N, P, 2]`` in any order within a frame, NaN: not."""

    true: Array
    seen: Array


def mice(
    n_animals: int,
    n_frames: int,
    n_parts: int = 6,
    missing: float = 0.2,
    away: float = 0.01,
    noise: float = 1.5,
    seed: int = 0,
) -> Mice:
    """Mice that turn at random, are drawn to the middle of their box, and so cross one another.

    Args:
        n_animals, n_frames, n_parts: N, T, P; parts lie along 36 pixels from nose to tail, every other one beside it.
        missing: the share of parts that are not seen.
        away: the chance a frame that an animal is not seen at all, for up to ten frames.
        noise: standard deviation of a part that is seen, in pixels.
        seed: of everything. All is seen in the first frame.
    """
    draw = np.random.default_rng(seed)
    number = np.arange(n_parts)
    aside = np.where(number % 2, np.where(number % 4 == 1, 6.0, -6.0), 0.0)
    shape = np.stack([np.linspace(18.0, -18.0, n_parts), aside], -1)
    middle, low, high = np.array(SIZE) / 2, np.array([30.0, 30.0]), np.array(SIZE) - 30.0
    place = draw.uniform(low, high, (n_animals, 2))
    heading, turn = draw.uniform(0, 2 * np.pi, n_animals), np.zeros(n_animals)
    true = np.zeros((n_frames, n_animals, n_parts, 2))
    for t in range(n_frames):
        way = middle - place
        home = (np.arctan2(way[:, 1], way[:, 0]) - heading + np.pi) % (2 * np.pi) - np.pi
        turn = 0.8 * turn + 0.08 * draw.standard_normal(n_animals)
        heading = heading + turn + 0.03 * home
        ahead = np.stack([np.cos(heading), np.sin(heading)], -1)
        place = (place + 4.0 * ahead).clip(low, high)
        beside = np.stack([-ahead[:, 1], ahead[:, 0]], -1)
        true[t] = place[:, None] + shape[:, :1] * ahead[:, None] + shape[:, 1:] * beside[:, None]
    seen = true + noise * draw.standard_normal(true.shape)
    seen[draw.random(true.shape[:3]) < missing] = np.nan
    for t, n in np.argwhere(draw.random((n_frames, n_animals)) < away):
        seen[t : t + draw.integers(1, 11), n] = np.nan
    seen[0] = true[0]
    order = draw.permuted(np.tile(np.arange(n_animals), (n_frames, 1)), axis=1)
    return Mice(true, np.take_along_axis(seen, order[..., None, None], 1))


def main(arguments: list[str] | None = None) -> None:
    """Track and print."""
    from pyro_mixdvae import Tracker
    from pyro_mixdvae.tracking.files.tracks import Tracks
    from pyro_mixdvae.tracking.poses import pose_rows
    from pyro_mixdvae.tracking.scores.clear import pool, score

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--animals", type=int, nargs="+", default=[2, 3, 4])
    given = parser.parse_args(arguments)
    print("animals  by                 switches   IDF1  error of the middle, of parts (pixels)  90 % intervals hold")
    for n in given.animals:
        rows: dict[str, list] = {"all parts": [], "mean of seen parts": []}
        errors, inside = [], []
        for seed in range(given.seeds):
            true, seen = mice(n, given.frames, seed=seed)
            truth = Tracks.from_boxes(true.mean(2))
            by_parts = Tracker(n).track(seen, size=SIZE)
            by_mean = Tracker(n).track(pose_rows(seen)[..., :2], size=SIZE)
            for name, found in zip(rows, (by_parts, by_mean), strict=True):
                rows[name].append(score(Tracks.from_boxes(found.boxes), truth, within=WITHIN).overall)
            apart = np.linalg.norm(by_parts.poses[:, :, None] - true[:, None], axis=-1).mean(-1)  # [T, N, N]
            own = apart.argmin(2)
            picked = np.take_along_axis(true, own[..., None, None], 1)
            errors.append(np.linalg.norm(by_parts.poses - picked, axis=-1))
            inside.append((by_parts.parts.lower <= picked) & (picked <= by_parts.parts.upper))
        for name, each in rows.items():
            whole = pool(each)
            last = ""
            if name == "all parts":
                last = f"{np.mean(errors):10.2f}                        {np.mean(inside):.3f}"
            print(f"{n:7}  {name:18} {whole.switches:8}  {whole.idf1:.3f}  {whole.motp:10.2f} {last}")


if __name__ == "__main__":
    main()
