"""Streams of rows: the same frames as a file of them, as early as they can be known."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.files.detections import read_detections
from pyro_mixdvae.tracking.live.stream import (
    FORMATS,
    LiveFrame,
    csv_header,
    csv_lines,
    json_lines,
    read_frames,
)
from pyro_mixdvae.tracking.live.tracker import LiveResult

SIZE = (640, 480)
NAME = Path("stream")
coordinates = st.floats(0, 400)
rows = st.tuples(st.integers(1, 30), coordinates, coordinates, st.floats(0.1, 99), st.floats(0.1, 99), st.floats(-5, 5))


@given(drawn=st.lists(rows, min_size=1, max_size=40))
@settings(max_examples=50, deadline=None)
def test_frames_are_those_of_the_file(drawn: list[tuple[float, ...]]) -> None:
    lines = [f"{t},-1,{left},{top},{w},{h},{sure}\n" for t, left, top, w, h, sure in sorted(drawn, key=lambda r: r[0])]
    frames = list(read_frames(lines, NAME, SIZE))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "det.txt"
        path.write_text("".join(lines))
        expected = read_detections(path, SIZE)
    first = frames[0].number - 1
    assert [frame.number for frame in frames] == list(range(first + 1, len(expected.boxes) + 1))
    for frame, boxes, sure in zip(frames, expected.boxes[first:], expected.confidence[first:], strict=True):
        np.testing.assert_array_equal(frame.boxes, boxes[~np.isnan(sure)])
        np.testing.assert_array_equal(frame.confidence, sure[~np.isnan(sure)])


@given(text=st.text(alphabet="0123456789.,-+ e_\tnaif\n", max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_text_is_frames_or_a_sentence(text: str) -> None:
    frames: list[LiveFrame] = []
    refused = "stream, line 1"
    try:
        frames += read_frames(text.splitlines(keepends=True), NAME, SIZE)
    except InputError as error:
        refused = str(error)
    assert refused.startswith("stream")
    assert "\n" not in refused
    for frame in frames:
        assert np.isfinite(frame.boxes).all()
        assert (frame.boxes[:, 2:] > frame.boxes[:, :2]).all()
        assert len(frame.boxes) == len(frame.confidence)


def test_no_more_is_read_than_it_takes_to_complete_a_frame() -> None:
    read: list[int] = []

    def lines() -> Iterator[str]:
        for frame in (4, 4, 5, 8, 9, 9):
            read.append(frame)
            yield f"{frame},-1,5,5,10,10\n" if frame != 9 else "9\n"

    frames = read_frames(lines(), NAME, SIZE)
    seen = [(next(frames).number, len(read)) for _ in range(6)]
    assert seen == [(4, 3), (5, 4), (6, 5), (7, 5), (8, 5), (9, 6)]
    with pytest.raises(StopIteration):
        next(frames)


def test_the_first_frame_may_be_asked_for() -> None:
    """Those before it are read and left out; those that have no row before the first are empty."""
    lines = [f"{frame},-1,5,5,10,10\n" for frame in (3, 4)]
    assert [(frame.number, len(frame.boxes)) for frame in read_frames(lines, NAME, SIZE, 4)] == [(4, 1)]
    assert [(f.number, len(f.boxes)) for f in read_frames(lines, NAME, SIZE, 1)] == [(1, 0), (2, 0), (3, 1), (4, 1)]


def test_rows_of_points_are_frames_of_points() -> None:
    """As trackpy writes them, in whatever order of columns; a number alone says that the detector is that far."""
    lines = ["y,x,mass,frame\n", "20,10,1,0\n", "21.5,11,1,0\n", "22,12,1,2\n", "3\n"]
    frames = list(read_frames(lines, NAME, SIZE))
    assert [frame.number for frame in frames] == [0, 1, 2, 3]
    assert [frame.boxes.tolist() for frame in frames] == [[[10, 20], [11, 21.5]], [], [[12, 22]], []]
    with pytest.raises(InputError, match="stream, line 2: the point lies outside the image of 640x480"):
        list(read_frames(["frame,x,y\n", "0,641,5\n"], NAME, SIZE))


def test_lines_of_points() -> None:
    points, nobody = np.array([[10.0, 20], [-0.001, 5]]), np.zeros((0, 3))
    result = LiveResult(0, points, points - 1, points + 1, np.ones(2, bool), np.zeros(2, bool), nobody)
    assert (
        FORMATS["mot"].header(2) + FORMATS["mot"].lines(result, 0.9) == "frame,id,x,y\n0,1,10.00,20.00\n0,2,0.00,5.00\n"
    )
    assert csv_header(2).startswith("frame,source,x,y,x_low,x_high,y_low,y_high,level,status,detection,")
    assert csv_lines(result, 0.9).splitlines()[0] == "0,1,10.00,20.00,9.00,11.00,19.00,21.00,0.9,observed,,"
    found = json.loads(json_lines(result, 0.9).splitlines()[0])
    assert (found["point"], found["low"], "box" in found) == ([10.0, 20.0], [9.0, 19.0], False)


def test_lines_of_a_result() -> None:
    """Three sources, two detections: the first belongs to source 2, the second to nobody; source 3 is lost."""
    boxes = np.array([[10.0, 20, 30, 60], [-0.001, 5, 9, 5.001], [50, 50, 60, 70]])
    probability = np.array([[0.1, 0.85, 0, 0.05], [0.02, 0.03, 0, 0.95]])
    observed, lost = np.array([False, True, False]), np.array([False, False, True])
    result = LiveResult(7, boxes, boxes - 1, boxes + 1, observed, lost, probability)
    assert FORMATS["mot"].lines(result, 0.9) == "7,1,10.00,20.00,20.00,40.00,1,-1,-1,-1\n" + (
        "7,2,0.00,5.00,9.00,0.01,1,-1,-1,-1\n7,3,50.00,50.00,10.00,20.00,0,-1,-1,-1\n"
    )
    cells = [line.split(",") for line in csv_lines(result, 0.9).splitlines()]
    assert [len(row) for row in cells] == [csv_header(4).count(",") + 1] * 3
    assert cells[0][6:8] == ["9.00", "11.00"]
    assert [row[-4:] for row in cells] == [
        ["0.9", "inferred", "1", "0.1000"],
        ["0.9", "observed", "1", "0.8500"],
        ["0.9", "lost", "1", "0.0000"],
    ]
    assert [json.loads(line)["lost"] for line in json_lines(result, 0.9).splitlines()] == [False, False, True]
