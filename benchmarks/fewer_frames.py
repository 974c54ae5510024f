"""Annotated sequences at a lower frame rate: ``python benchmarks/fewer_frames.py DATA --every 3 -o COPY``.

Keeps every so manyth frame of MOTChallenge sequences, truth and detections, and numbers them anew. Targets move further
from one frame to the next, and what they do within a few frames is no longer smooth.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

FILES = ("gt/gt.txt", "det/det.txt")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of annotated sequences")
    parser.add_argument("--every", type=int, default=2, help="frames of which one is kept")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the copy, which does not exist")
    options = parser.parse_args(arguments)
    if options.every < 1:
        parser.error(f"--every {options.every}: give 1 or more.")
    if options.output.exists():
        parser.error(f"{options.output} exists: give another folder for the copy.")
    sequences = sorted(path.parent for path in options.data.glob("*/seqinfo.ini"))
    if not sequences:
        parser.error(f"{options.data} has no sequence with a seqinfo.ini: give a folder of annotated sequences.")
    for sequence in sequences:
        _copy(sequence, options.output / sequence.name, options.every)


def _copy(sequence: Path, output: Path, every: int) -> None:
    for name in FILES:
        (output / name).parent.mkdir(parents=True)
        (output / name).write_text(thinned((sequence / name).read_text(), every))
    (output / "seqinfo.ini").write_text(_slowed((sequence / "seqinfo.ini").read_text(), every))


def thinned(rows: str, every: int) -> str:
    """Rows `frame,...` of every so manyth frame, the first among them, numbered from 1."""
    kept = []
    for row in rows.splitlines():
        frame, *rest = row.split(",")
        number, left = divmod(int(float(frame)) - 1, every)
        if left == 0:
            kept.append(",".join([str(number + 1), *rest]) + "\n")
    return "".join(kept)


def _slowed(information: str, every: int) -> str:
    """A seqinfo.ini of so many fewer frames, in the same time."""

    def fewer(match: re.Match[str]) -> str:
        value = float(match[2])
        return match[1] + (str(-(-int(value) // every)) if "Length" in match[1] else f"{value / every:g}")

    return re.sub(r"(?m)^(seqLength=|frameRate=)([\d.]+)", fewer, information)


if __name__ == "__main__":
    main()
