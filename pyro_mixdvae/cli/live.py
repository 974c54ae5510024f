"""``mixdvae track --live``: detections in, boxes out, frame by frame."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pyro_mixdvae.cli.options import STANDARD, use_one_thread
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import unreadable
from pyro_mixdvae.progress import remark

if TYPE_CHECKING:
    from pyro_mixdvae.declaration.document import Declaration
    from pyro_mixdvae.tracking.boxes import Array
    from pyro_mixdvae.tracking.files.sequences import Size

LONGEST_LINE = 10_000


def track_live(
    sequence: Path,
    n_sources: int,
    size: "Size | None",
    labels: str,
    declare: "Callable[[bool], Declaration]",
    level: float,
    lag: int,
    written_as: str,
) -> None:
    """Follow N sources through detections that come line by line; print each frame as soon as it is done.

    Args:
        sequence: ``-`` for standard input, a file (or pipe) of detections, a sequence folder.
        n_sources: N.
        size: (width, height) of the image; None: that of the folder's ``seqinfo.ini``.
        labels: boxes drawn by hand in one frame, where the sources start; empty: nobody drew any.
        declare: which model, told whether the stream is of points.
        level: probability within the intervals.
        lag: frames that a result waits for.
        written_as: one of `FORMATS`.

    Raises:
        InputError: an argument or a line cannot be used. What was printed before is printed.
    """
    from pyro_mixdvae.tracking.live.rows import holds_points
    from pyro_mixdvae.tracking.live.stream import FORMATS, follow, read_frames

    if written_as not in FORMATS:
        raise InputError(f"--format is '{written_as}': choose from {', '.join(FORMATS)}.")
    path, size = _source(sequence, size)
    with _opened(path) as stream:
        use_one_thread()
        from pyro_mixdvae.tracking.live.tracker import LiveTracker

        # What no rows can mend is said before the first of them comes, which may take a while.
        LiveTracker(n_sources, size, lag, None, declare(False), level)
        head, lines = _peeked(_lines(stream))
        of_points = holds_points(head)
        first, start = _start(labels, n_sources, size, of_points)
        tracker = LiveTracker(n_sources, size, lag, start, declare(of_points), level)
        name = Path("standard input") if path == STANDARD else path
        frames = read_frames(lines, name, size, first)
        output = FORMATS[written_as]
        _print(output.header(tracker.width))
        beginning = next(frames)
        later = output.origin(tracker.width, beginning.origin) - beginning.origin
        if later:
            remark(f"{name} counts frames from 0, and what is written from 1, as the MOTChallenge: frame 0 is frame 1.")
        for result in follow(chain([beginning], frames), tracker, remark):
            _print(output.lines(replace(result, frame=result.frame + later), level))


def _source(sequence: Path, size: "Size | None") -> "tuple[Path, Size]":
    """What is to be read, and the size of the image."""
    from pyro_mixdvae.tracking.files.formats.registry import recognised
    from pyro_mixdvae.tracking.files.sequences import kind_of, part_of, read_info
    from pyro_mixdvae.tracking.live.rows import STREAMED

    if sequence != STANDARD:
        kind = kind_of(sequence)
        if kind == "folder":
            raise InputError(f"{sequence} is no sequence, and --live follows one: give -, a det.txt or a sequence.")
        if kind == "sequence":
            info = read_info(sequence)
            sequence, size = part_of(sequence, "det/det.txt"), size or (info.size if info else None)
        elif sequence.is_file() and not isinstance(found := recognised(sequence), STREAMED):
            raise InputError(f"{sequence} is {found.name}, and --live reads rows as they come: leave --live out.")
    if size is None:
        raise InputError(
            "With --live frames are tracked as they come: say how large the image is, as --size 1920x1080."
        )
    if min(size) < 1:
        raise InputError(f"the image size {size[0]}x{size[1]} has no pixels: give a width and height above 0.")
    return sequence, size


def _start(text: str, n_sources: int, size: "Size", of_points: bool) -> "tuple[int | None, Array | None]":
    """The number of the frame where boxes were drawn, or points, and these ``[N, 4]``; None where there are none."""
    if not text:
        return None, None
    import numpy as np

    from pyro_mixdvae.tracking.files.labels import read_labels

    origin = 0 if of_points else 1  # frames keep the numbers that they have in the stream, which are not known yet
    labels = read_labels(text, of_points, origin)
    order = np.argsort(labels.source)
    if labels.source[order].tolist() != list(range(n_sources)) or len(set(labels.frame.tolist())) > 1:
        raise InputError(
            f"--labels: with --live, draw a {'point' if of_points else 'box'} of each of the {n_sources} sources, all "
            "in the frame where they start."
        )
    labels.refuse_outside(size)
    return int(labels.frame[0]) + origin, labels.boxes[order]


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """The stream as text; what is not UTF-8 fails where it is read as a number."""
    if path == STANDARD:
        if sys.stdin is None:
            raise InputError("standard input is closed: pipe detections into the command.")
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="replace")  # type: ignore[union-attr]
        yield sys.stdin
        return
    try:
        stream = path.open(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise unreadable(path, error) from error
    with stream:
        yield stream


def _lines(stream: TextIO) -> Iterable[str]:
    """Lines as they come; no line is longer than memory, as one without an end would be."""
    return iter(lambda: stream.readline(LONGEST_LINE), "")


def _peeked(lines: Iterable[str]) -> tuple[str, Iterable[str]]:
    """The first line that is not blank, "" where there is none; and all lines."""
    every = iter(lines)
    taken: list[str] = []
    for line in every:
        taken.append(line)
        if line.strip():
            break
    return (taken[-1] if taken else ""), chain(taken, every)


def _print(text: str) -> None:
    """Write a frame's lines, and pass them on at once; what fails there is said in `standard_output`."""
    if sys.stdout is None:
        raise InputError("standard output is closed: --live writes there; redirect it to a file or a command.")
    sys.stdout.write(text)
    sys.stdout.flush()
