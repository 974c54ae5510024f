"""Detections as people have them in Python: all kinds give what the array gives, and others are told in a sentence."""

import importlib
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pyro_mixdvae import Tracker
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.given import as_arrays

STEP = np.arange(12)[:, None, None]
BOXES = np.array([[10, 50, 30, 90], [210, 60, 230, 100]]) + STEP * np.array([[4, 0, 4, 0], [-4, 0, -4, 0]]) * 1.0
BOXES[5, 1] = np.nan
BOXES[7] = np.nan
SCORES = np.where(np.isnan(BOXES[..., 0]), np.nan, 0.5)


def present(t: int) -> np.ndarray:
    return BOXES[t][~np.isnan(BOXES[t, :, 0])]


def as_frame(first: int) -> pd.DataFrame:
    rows = [(t + first, *box, 0.5) for t in range(len(BOXES)) for box in present(t)]
    return pd.DataFrame(rows, columns=["frame", "x_min", "y_min", "x_max", "y_max", "confidence"])


@pytest.mark.parametrize(
    "kind",
    [
        "lists",
        "array of lists",
        "arrays",
        "none for empty",
        "frame",
        "frame by index",
        "frame with gaps",
        "nested lists",
    ],
)
def test_every_kind_gives_what_the_array_gives(kind: str) -> None:
    frame = as_frame(0)
    given: dict[str, Any] = {
        "lists": [present(t).tolist() for t in range(12)],
        "array of lists": np.array([present(t).tolist() for t in range(12)], dtype=object),
        "arrays": [present(t) for t in range(12)],
        "none for empty": [present(t) if len(present(t)) else None for t in range(12)],
        "frame": frame.sample(frac=1, random_state=1).sort_index(),
        "frame by index": frame.set_index("frame"),
        "frame with gaps": pd.concat([frame, pd.DataFrame({"frame": [7, 5]})]),
        "nested lists": BOXES.tolist(),
    }
    found = as_arrays(given[kind])
    np.testing.assert_array_equal(found.boxes, BOXES)
    assert found.origin == (0 if "frame" in kind else None)
    if "frame" in kind:
        np.testing.assert_array_equal(found.confidence, SCORES)
    tracker = Tracker(n_sources=2)
    expected = tracker.track(BOXES, size=(320, 240))
    result = tracker.track(given[kind], size=(320, 240))
    np.testing.assert_allclose(result.boxes, expected.boxes)
    assert result.origin == (0 if "frame" in kind else 1)
    both = tracker.track_many([given[kind], BOXES], [(320, 240), (320, 240)])
    np.testing.assert_allclose(both[0].boxes, both[1].boxes)


def test_detections_of_supervision() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            supervision = importlib.import_module("supervision")
        except ImportError:
            pytest.skip("supervision is not installed")
    frames = [
        supervision.Detections(xyxy=present(t), confidence=np.full(len(present(t)), 0.5))
        if len(present(t))
        else supervision.Detections.empty()
        for t in range(12)
    ]
    found = as_arrays(frames)
    np.testing.assert_array_equal(found.boxes, BOXES)
    np.testing.assert_array_equal(found.confidence, SCORES)
    with pytest.raises(InputError, match="one frame's supervision"):
        as_arrays(frames[0])


@pytest.mark.parametrize(
    ("detections", "says"),
    [
        ("det.txt", "is a path: read it with"),
        ({1: [[1, 2, 3, 4]]}, "type dict are not understood: give an array"),
        (7, "type int are not understood"),
        (np.array([[["a", "b", "c", "d"]]]), "Frame 1 of the list holds no boxes"),
        ([[1, 2, 3, 4]], "Frame 1 of the list holds no boxes"),
        ([[[1, 2, 3, 4]], [["a", 2, 3, 4]]], "Frame 2 of the list holds no boxes"),
        ([[[1, 2, 3, 4]], [[1, 2]]], "Some frames hold boxes"),
        (pd.DataFrame({"time": [1], "x": [2], "y": [3]}), "has the columns .*time, x, y: name frame"),
        (pd.DataFrame({"frame": [1, 1.5], "x": [2, 3], "y": [3, 4]}), "row 2: the frame is no whole number"),
        (pd.DataFrame({"frame": [1, 2], "x": ["a", "b"], "y": [3, 4]}), "column x of the DataFrame holds"),
        (pd.DataFrame({"frame": [], "x": [], "y": []}), "holds no detections"),
    ],
)
def test_what_is_not_understood_is_told_in_a_sentence(detections: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Tracker(n_sources=1).track(detections)
