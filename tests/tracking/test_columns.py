"""CSV files whose header names their columns: what is read, what is refused, and what is written of points."""

from pathlib import Path

import numpy as np
import pytest

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.files.detections import read_detections
from pyro_mixdvae.tracking.files.labels import read_labels
from pyro_mixdvae.tracking.files.tracks import read_results
from pyro_mixdvae.tracking.files.writing import format_points
from pyro_mixdvae.tracking.scores.clear import score


def write(folder: Path, text: str) -> Path:
    path = folder / "points.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "frame,x,y\n0,5,6\n0,7,8\n2,9,10\n",
        'Y,"Frame",note,X\n6,0,a,5\n8,0,,7\n\n10,2,b,9\n',
        "frame,x,y,\r\n0,5,6,\r\n0,7,8\r\n2,9.0,1e1,\r\n",
    ],
)
def test_points_are_read_in_any_order_of_columns_and_frames_keep_their_numbers(tmp_path: Path, text: str) -> None:
    found = read_detections(write(tmp_path, text))
    nan = np.nan
    np.testing.assert_array_equal(found.boxes, [[[5, 6], [7, 8]], [[nan, nan], [nan, nan]], [[9, 10], [nan, nan]]])
    assert (found.origin, found.size, found.size_is_guessed) == (0, (9, 10), True)
    assert found.note is not None
    assert found.note.endswith("CSV with named columns: 3 points (x, y) in pixels, frames 0 to 2, numbered from 0.")


def test_frames_that_begin_later_count_from_one(tmp_path: Path) -> None:
    found = read_detections(write(tmp_path, "frame,x,y\n3,5,6\n"))
    assert (found.origin, len(found.boxes)) == (1, 3)


def test_columns_of_sizes_make_boxes_of_it(tmp_path: Path) -> None:
    found = read_detections(write(tmp_path, "frame,x,y,w,h,score\n1,5,6,10,20,.5\n"))
    np.testing.assert_array_equal(found.boxes, [[[5, 6, 15, 26]]])
    np.testing.assert_array_equal(found.confidence, [[0.5]])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("frame,x,y\n", "has a header and no rows"),
        ("frame,x,y,x\n1,2,3,4\n", "line 1: two columns are called x"),
        ("frame,x,y\n1,2\n", "line 2: 2 cells where the header names 3"),
        ("frame,x,y\n1,2,3,4\n", "line 2: 4 cells where the header names 3"),
        ("frame,x,y\n\n1,2,nan\n", "line 3: y is 'nan'"),
        ("frame,x,y\n-1,2,3\n", "line 2: the frame is no whole number from 0"),
        ("frame,x,y\n1.5,2,3\n", "line 2: the frame is no whole number from 0"),
        ("frame,x,y\n2000000,2,3\n", "line 2: the frame is above 1000000"),
        ("frame,x,y\n1,2,1e9\n", "line 2: beyond 1000000 pixels"),
        ("frame,x,y\n1,2,3\n1,-1,3\n", "line 3: it lies outside the image of 2x3"),
        ("frame,x,y,w,h\n1,2,3,0,4\n", "line 2: the box has no width"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_detections(write(tmp_path, text))


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    points = np.array([[[1.25, 2.5], [30, 40]], [[1.5, -0.001], [31, 41]]])
    text = format_points(points, first=0)
    assert text.splitlines()[:3] == ["frame,id,x,y", "0,1,1.25,2.50", "0,2,30.00,40.00"]
    found = read_results(write(tmp_path, text))
    np.testing.assert_allclose(found.boxes, points, atol=0.005)
    with pytest.raises(InputError, match="line 4: id 1 stands in frame 0 already"):
        read_results(write(tmp_path, "frame,id,x,y\n0,1,2,3\n0,2,2,3\n0,1,2,3\n"))
    with pytest.raises(InputError, match="no column id"):
        read_results(write(tmp_path, "frame,x,y\n0,2,3\n"))


def test_labels_of_points_are_in_the_numbering_of_the_film(tmp_path: Path) -> None:
    labels = read_labels("0:5,6;7,8|4:9,10", of_points=True, origin=0)
    assert (labels.frame.tolist(), labels.source.tolist()) == ([0, 0, 4], [0, 1, 0])
    np.testing.assert_array_equal(labels.boxes, [[5, 6], [7, 8], [9, 10]])
    from_file = read_labels(write(tmp_path, "frame,id,x,y\n1,1,5,6\n1,2,7,8\n"), of_points=True)
    assert (from_file.frame.tolist(), from_file.source.tolist()) == ([0, 0], [0, 1])
    for wrong, says in (("1:5,6,7,8", "no point"), ("1:5", "no point"), ("nothing", "labelled points")):
        with pytest.raises(InputError, match=says):
            read_labels(wrong, of_points=True)


def test_points_match_by_their_distance(tmp_path: Path) -> None:
    truth = read_results(write(tmp_path, "frame,id,x,y\n1,7,0,0\n1,8,50,0\n2,7,0,0\n2,8,50,0\n"))
    found = read_results(write(tmp_path, "frame,id,x,y\n1,1,3,4\n1,2,50,0\n2,1,3,4\n2,2,50,8\n"))
    near, far = (score(found, truth, within=pixels).overall for pixels in (5, 10))
    assert (near.matches, near.false_positives, near.false_negatives, near.switches) == (3, 1, 1, 0)
    assert near.mota == pytest.approx(0.5)
    assert (far.mota, far.idf1) == (1.0, 1.0)
    assert far.motp == pytest.approx((5 + 5 + 0 + 8) / 4)
    assert "mean IoU" not in far.columns
