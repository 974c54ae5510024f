"""Where the ids of an annotation change places: ``python benchmarks/exchanged_ids.py COURT [-o COPY]``.

Two ids are exchanged where both boxes jump from one frame to the next, and would move less than half as far had each
gone on with the other's box. Who follows the people is then wrong for the rest of the clip. Prints each such place;
-o copies the sequences (gt/gt.txt of MOTChallenge) with the ids put back from there on.
"""

import argparse
import shutil
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pyro_mixdvae.reporting.tables import markdown_table
from pyro_mixdvae.tracking.boxes import Array

HALF = 0.5
"""Of what two boxes move, the share of which less is left with the ids put back."""

JUMP = 0.1
"""Of a box's mean side, what it moves at least: of two that lie on one another and rest nobody can tell."""


class Exchanged(NamedTuple):
    """Two ids that change places between a frame and the one before; pixels that both move, so and put back."""

    frame: int
    ids: tuple[int, int]
    moved: float
    put_back: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the exchanges of all sequences of a folder; with -o write a copy without them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of annotated sequences")
    parser.add_argument("-o", "--output", type=Path, help="folder for the copy, which does not exist")
    options = parser.parse_args(arguments)
    paths = sorted(options.data.glob("*/gt/gt.txt"))
    if not paths:
        parser.error(f"{options.data} has no sequence with gt/gt.txt: give a folder of annotated sequences.")
    if options.output and options.output.exists():
        parser.error(f"{options.output} exists: give another folder for the copy.")
    if options.output:
        shutil.copytree(options.data, options.output, ignore=shutil.ignore_patterns("img1"))
    rows = []
    for path in paths:
        table = np.loadtxt(path, delimiter=",", ndmin=2)
        found = list(exchanged(table))
        for frame, ids, *moves in found:
            rows.append([path.parent.parent.name, frame, "{} and {}".format(*ids), *map(round, moves)])
        if options.output:
            np.savetxt(options.output / path.relative_to(options.data), put_back(table, found), "%.10g", ",")
    print(markdown_table(("sequence", "frame", "ids", "both move, pixels", "put back"), rows))


def exchanged(table: Array) -> Iterator[Exchanged]:
    """Of rows (frame, id, left, top, width, height, ...), in the order of frames."""
    frames = {
        int(frame): {int(row[1]): row[2:6] for row in table[table[:, 0] == frame]} for frame in np.unique(table[:, 0])
    }
    for frame, boxes in sorted(frames.items()):
        before = frames.get(frame - 1, {})
        for one, other in combinations(sorted(boxes.keys() & before.keys()), 2):
            moved = _move(before[one], boxes[one]) + _move(before[other], boxes[other])
            crossed = _move(before[one], boxes[other]) + _move(before[other], boxes[one])
            if moved >= JUMP * (boxes[one][2:] + boxes[other][2:]).sum() / 2 and crossed < HALF * moved:
                yield Exchanged(frame, (one, other), moved, crossed)


def put_back(table: Array, found: Sequence[Exchanged]) -> Array:
    """The rows, with the ids of each exchange changed back from its frame on."""
    table = table.copy()
    for exchange in reversed(found):
        one, other = ((table[:, 0] >= exchange.frame) & (table[:, 1] == number) for number in exchange.ids)
        table[one, 1], table[other, 1] = exchange.ids[1], exchange.ids[0]
    return table


def _move(before: Array, after: Array) -> float:
    """Of the centre of a box (left, top, width, height), and of its size: pixels, summed."""
    difference = after - before
    return float(np.abs(difference[:2] + difference[2:] / 2).sum() + np.abs(difference[2:]).sum())


if __name__ == "__main__":
    main()
