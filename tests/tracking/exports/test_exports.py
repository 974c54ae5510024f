"""A result in the forms of other tools, each read back by the tool itself where it is installed."""

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Tree

import numpy as np
import pytest

from pyro_mixdvae import Tracker
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.doubts import Doubt
from pyro_mixdvae.tracking.exports.keyframes import keyframes
from pyro_mixdvae.tracking.report.tables import BOX_COLUMNS, boxes_table
from pyro_mixdvae.tracking.result import TrackingResult


def tool(name: str) -> Any:
    """A package, whatever it warns of when it is imported; the test is skipped where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


@pytest.fixture(scope="module")
def result() -> TrackingResult:
    """Two boxes that walk towards each other, of which one is missed now and then; source 1 is absent at the end."""
    step = np.arange(20)[:, None, None]
    boxes = np.array([[10, 50, 30, 90], [210, 60, 230, 100]]) + step * np.array([[4, 0, 4, 0], [-4, 0, -4, 0]])
    boxes = np.where(step % 7 == 5, np.nan, boxes)
    found = Tracker(n_sources=2).track(boxes, size=(320, 240), n_samples=3)
    absent = found.boxes.copy()
    absent[17:, 0] = np.nan
    return replace(found, boxes=absent, first=2, doubts=(Doubt(9, 11, (0, 1), 0.37),))


def test_a_dataframe_is_the_table_in_full_precision(result: TrackingResult) -> None:
    whole = replace(result, boxes=np.where(np.isnan(result.boxes), 5.0, result.boxes))
    frame = whole.to_dataframe()
    assert tuple(frame.columns) == BOX_COLUMNS
    written = [line.split(",") for line in boxes_table(whole).splitlines()[1:]]
    assert [[str(f), str(n)] for f, n in zip(frame.frame, frame.source, strict=True)] == [row[:2] for row in written]
    np.testing.assert_allclose(frame.left, [float(row[2]) for row in written], atol=0.006)
    assert list(frame.status) == [row[-1] for row in written]
    np.testing.assert_array_equal(frame.x2_high, whole.upper[..., 2].ravel())
    assert len(result.to_dataframe()) == 2 * 20 - 3


def test_supervision_has_the_sources_as_tracker_ids(result: TrackingResult) -> None:
    supervision = tool("supervision")
    frames = result.to_detections()
    assert all(isinstance(each, supervision.Detections) for each in frames)
    assert [each.tracker_id.tolist() for each in frames] == [[1, 2]] * 17 + [[2]] * 3
    np.testing.assert_allclose(frames[4].xyxy, result.boxes[4], rtol=1e-6)
    merged = supervision.Detections.merge(frames)
    assert len(merged) == 37
    np.testing.assert_array_equal(merged.data["doubt"].reshape(-1)[14:20], [0.37] * 6)
    only_second = frames[4][frames[4].tracker_id == 2]
    np.testing.assert_array_equal(only_second.data["upper"], result.upper[4, 1:])


def test_supervision_gets_points_as_boxes_without_a_size() -> None:
    supervision = tool("supervision")
    points = np.array([[10.0, 50], [90, 60]]) + np.arange(8)[:, None, None] * np.array([[2, 0], [-2, 0]])
    tracked = TrackingResult(
        points, points - 1, points + 1, 0.9, np.ones((8, 2), bool), np.full((8, 0, 3), np.nan), (), points[None][:0]
    )
    anchors = tracked.to_detections()[3].get_anchors_coordinates(supervision.Position.CENTER)
    np.testing.assert_allclose(anchors, tracked.points[3], rtol=1e-6)


def test_napari_has_a_row_a_source_and_frame(result: TrackingResult) -> None:
    layer = result.to_napari()
    data, properties = layer["data"], layer["properties"]
    assert data.shape == (37, 4)
    assert (np.lexsort((data[:, 1], data[:, 0])) == np.arange(37)).all()  # as napari sorts it
    np.testing.assert_array_equal(data[0, :2], [1, 2])  # frames count from 0: the first of the result is the third
    np.testing.assert_allclose(data[17:, 2:], result.points[:, 1, ::-1])
    assert all(len(values) == 37 for values in properties.values())
    napari = tool("napari.layers")
    tracks = napari.Tracks(**layer)
    np.testing.assert_allclose(tracks.data, data)


def test_arviz_has_the_trajectories_by_name(result: TrackingResult) -> None:
    arviz = tool("arviz")
    data = result.to_inference_data()
    assert data.posterior["boxes"].dims == ("chain", "draw", "frame", "source", "coordinate")
    drawn = arviz.extract(data)["boxes"].transpose("sample", "frame", "source", "coordinate")
    np.testing.assert_array_equal(drawn, result.samples)
    one = data.posterior["boxes"].sel(chain=0, draw=2, frame=result.number + 4, source=2, coordinate="y1")
    assert float(one) == result.samples[2, 4, 1, 1]
    np.testing.assert_array_equal(data.observed_data["detections"], result.detections)
    summary = arviz.summary(data.posterior.sel(frame=[result.number]), kind="stats")
    assert len(summary) == 8


def test_arviz_needs_samples(result: TrackingResult) -> None:
    tool("arviz")
    with pytest.raises(InputError, match="n_samples"):
        replace(result, samples=result.samples[:0]).to_inference_data()


def test_cvat_shows_doubt_inference_and_absence(result: TrackingResult) -> None:
    root = Tree.fromstring(result.to_cvat("two").encode())
    assert root.findtext("meta/task/size") == "22"
    assert root.findtext("meta/task/original_size/width") == "320"
    first, second = root.findall("track")
    shapes = {int(box.get("frame", "")): box for box in second.findall("box")}
    assert sorted(shapes) == list(range(2, 22))
    for frame, box in shapes.items():
        is_inferred = not result.observed[frame - 2, 1]
        assert box.get("occluded") == str(int(is_inferred))
        values = {each.get("name"): each.text for each in box.findall("attribute")}
        assert values == {"inferred": str(is_inferred).lower(), "doubt": "37" if 9 <= frame <= 11 else "0"}
        if 9 <= frame <= 11 or is_inferred:
            assert box.get("keyframe") == "1"
    assert 2 < sum(box.get("keyframe") == "1" for box in shapes.values()) < 20
    # Where the first source goes it is outside, and from there on nothing is said of it.
    *_, last = first.findall("box")
    assert (last.get("frame"), last.get("outside"), last.get("keyframe")) == ("19", "1", "1")


def test_datumaro_reads_what_cvat_would(result: TrackingResult, tmp_path: Path) -> None:
    cvat = tool("datumaro.plugins.data_formats.cvat.base")
    path = tmp_path / "tracks.xml"
    path.write_text(result.to_cvat(), encoding="utf-8")
    items = {int(item.attributes["frame"]): item.annotations for item in cvat.CvatBase(str(path))}
    assert sorted(items) == list(range(2, 22))
    first, second = items[10]
    np.testing.assert_allclose(first.points, result.boxes[8, 0], atol=0.01)
    assert (second.attributes["track_id"], second.attributes["doubt"], second.attributes["keyframe"]) == (1, 37, True)
    assert items[19][0].attributes["outside"]


def test_lines_between_keyframes_are_near(rng: np.random.Generator) -> None:
    path = np.cumsum(rng.normal(size=(300, 4)), 0)
    kept = np.zeros(300, bool)
    kept[[7, 8, 150]] = True
    chosen = keyframes(path, kept, 1.5)
    assert chosen[[0, 7, 8, 150, 299]].all()
    at = np.flatnonzero(chosen)
    straight = np.stack([np.interp(np.arange(300), at, path[at, d]) for d in range(4)], -1)
    assert np.abs(straight - path).max() <= 1.5
    assert chosen.sum() < 250
    assert keyframes(np.linspace([0.0, 0], [9, 3], 50), np.zeros(50, bool), 0.1).sum() == 2


def test_what_is_not_installed_is_told(result: TrackingResult, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("arviz", "supervision"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"pyro-mixdvae\[supervision\]"):
        result.to_detections()
    with pytest.raises(InputError, match=r"pyro-mixdvae\[arviz\]"):
        result.to_inference_data()
