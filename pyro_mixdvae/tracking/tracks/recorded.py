"""Training tracks from files: a motion prior learned from one's own targets."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.tracking.boxes import Array, kinds
from pyro_mixdvae.tracking.files.sequences import neighbouring_info
from pyro_mixdvae.tracking.files.tracks import Tracks, read_ground_truth


class RecordedTracks(NamedTuple):
    """Windows cut from the tracks of files.

    Attributes:
        boxes: ``[count, T, 4]`` x1, y1, x2, y2 divided by the image size.
        track: ``[count]``, the number of the track that a window was cut from; a track has one number.
        too_short: how many tracks are nowhere seen for T frames on end.
        notes: sentences that the user should read.
    """

    boxes: Array
    track: npt.NDArray[np.int64]
    too_short: int
    notes: tuple[str, ...]


def tracks_from_files(paths: Sequence[str | Path], n_frames: int = 60) -> RecordedTracks:
    """Cut the tracks of ground-truth or result files, of any format with ids, into windows of T frames.

    Every stretch of at least T frames in which a target is always there is covered by as few windows as can;
    they overlap where its length is no multiple of T.

    Raises:
        InputError: a file cannot be used, or no track is long enough.
    """
    windows: list[Array] = []
    numbers: list[int] = []
    notes: list[str] = []
    seen = too_short = 0
    for path in paths:
        tracks = read_ground_truth(path)
        if tracks.boxes.shape[-1] != 4:
            what = kinds(tracks.boxes)
            raise InputError(f"{path} holds {what}, and a motion of boxes is learned: give tracks of boxes.")
        notes += tracks.notes
        width, height = _image_size(tracks, notes)
        scaled = tracks.boxes / np.array([width, height, width, height])
        for boxes in scaled.swapaxes(0, 1):
            cut = [boxes[start : start + n_frames] for start in _window_starts(boxes, n_frames)]
            windows += cut
            numbers += [seen] * len(cut)
            too_short += not cut
            seen += 1
    if not windows:
        raise InputError(
            f"no track in {', '.join(map(str, paths))} is seen for {counted(n_frames, 'frame')} on end: "
            "give longer tracks, or ask for fewer frames (--frames)."
        )
    if too_short:
        notes.append(f"{too_short} of {seen} tracks are too short for windows of {counted(n_frames, 'frame')}.")
    return RecordedTracks(np.stack(windows), np.array(numbers), too_short, tuple(notes))


def _image_size(tracks: Tracks, notes: list[str]) -> tuple[float, float]:
    if tracks.size is not None:
        return tracks.size
    info = None if tracks.path is None else neighbouring_info(tracks.path)
    if info is not None:
        return info.size
    width, height = np.nanmax(tracks.boxes[..., 2:], axis=(0, 1))
    notes.append(f"{tracks.path} does not give the image size: taken as {width:.0f}x{height:.0f}, where boxes end.")
    return max(1.0, float(width)), max(1.0, float(height))


def _window_starts(boxes: Array, n_frames: int) -> Iterator[int]:
    """First frames of the windows of one track ``[T, 4]``, NaN where it is absent."""
    present = np.isfinite(boxes).all(-1)
    edges = np.flatnonzero(np.diff(present, prepend=False, append=False))
    for begin, end in edges.reshape(-1, 2):
        if end - begin >= n_frames:
            number = -((begin - end) // n_frames)
            yield from np.linspace(begin, end - n_frames, number).round().astype(int)
