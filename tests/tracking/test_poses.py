"""Poses: every part of every animal in every frame, from detections of which parts are missing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from posed_mice import SIZE, mice

from pyro_mixdvae import Tracker
from pyro_mixdvae.declaration.shipped import of_parts, shipped
from pyro_mixdvae.engines.registry import only_torch
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import Scene
from pyro_mixdvae.representations.poses import Poses, representation_of
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.detections import Detections
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.files.tracks import Tracks
from pyro_mixdvae.tracking.films import ArrayFilm, Start
from pyro_mixdvae.tracking.labelled import labels_of
from pyro_mixdvae.tracking.poses import guessed, like_nearest, parts_of, pose_rows
from pyro_mixdvae.tracking.presets import build
from pyro_mixdvae.tracking.scores.clear import part_distances, score
from pyro_mixdvae.tracking.verdicts.setting import Setting
from pyro_mixdvae.tracking.verdicts.start import Guessed


def own_order(found: Array, true: Array) -> Array:
    """Which of the true animals of the first frame each of the found ones is."""
    order: Array = np.linalg.norm(found[0][:, None] - true[0], axis=-1).mean(-1).argmin(1)
    return order


def test_rows_hold_the_mean_of_what_is_seen_and_the_parts() -> None:
    nan = np.nan
    poses = np.array([[[1.0, 2.0], [3.0, 6.0]], [[5.0, nan], [7.0, 8.0]], [[nan, nan], [nan, nan]]])
    rows = pose_rows(poses)
    np.testing.assert_array_equal(rows[0], [2, 4, 1, 2, 3, 6])
    np.testing.assert_array_equal(rows[1], [7, 8, nan, nan, 7, 8])  # half a place is none
    assert np.isnan(rows[2]).all()
    np.testing.assert_array_equal(parts_of(rows)[0], poses[0])
    np.testing.assert_array_equal(pose_rows(poses[:, 1:]), [[3, 6], [7, 8], [nan, nan]])
    with pytest.raises(InputError, match=r"\[frames, detections, parts, 2\]"):
        pose_rows(np.zeros((3, 2, 5, 3)))


def test_a_missing_part_is_guessed_to_lie_as_in_the_nearest_pose() -> None:
    nan = np.nan
    before = np.array([[[0.0, 0.0], [10.0, 0.0]], [[50.0, 0.0], [50.0, 10.0]]])
    now = np.array([[[52.0, 1.0], [nan, nan]], [[nan, nan], [11.0, 1.0]]])
    np.testing.assert_array_equal(like_nearest(now, before), [[[52, 1], [52, 11]], [[1, 1], [11, 1]]])
    seen = np.stack([now, before])  # also backwards, where no frame before says it
    np.testing.assert_array_equal(guessed(seen)[0], [[[52, 1], [52, 11]], [[1, 1], [11, 1]]])
    lone = np.array([[[[4.0, 5.0], [nan, nan]]]])
    np.testing.assert_array_equal(guessed(lone), [[[[4, 5], [4, 5]]]])


def test_the_representation_is_the_parts_and_back() -> None:
    rows = torch.as_tensor(pose_rows(np.random.default_rng(0).random((3, 4, 2))))
    poses = Poses(4)
    torch.testing.assert_close(poses.boxes(poses.content(rows)), rows)
    torch.testing.assert_close(poses.box_covariance(rows[:, 2:], torch.ones(3, 8))[:, :2], torch.full((3, 2), 0.25))
    assert representation_of("poses-4") == poses
    assert representation_of("poses-0") is None
    assert representation_of("poses-101") is None


def test_poses_of_one_part_are_points() -> None:
    """The same model: two scenes, of points and of poses of a part, have one posterior."""
    start = torch.tensor([[[0.3, 0.4], [0.6, 0.5]]])
    path = start.unsqueeze(-2) + 0.01 * torch.randn(1, 2, 6, 2).cumsum(-2)
    seen = path.transpose(1, 2) + 0.002 * torch.randn(1, 6, 2, 2)
    seen[0, 2, 1] = torch.nan
    scene = Scene.of(torch.cat([seen, torch.rand(1, 6, 1, 2)], 2), start)
    found = []
    for name in ("points", "poses"):
        preset = build(of_parts(shipped(name), 1), 2)
        with only_torch():
            found.append(infer(preset.model, scene, preset.guide, preset.algorithm))
    for name in ("mean", "variance", "responsibilities"):
        torch.testing.assert_close(getattr(found[0], name), getattr(found[1], name))


def test_every_part_of_every_animal_is_found() -> None:
    torch.set_default_dtype(torch.float32)
    true, seen = mice(2, 40, 4, away=0.03, seed=1)
    result = Tracker(2).track(seen, size=SIZE)
    assert result.parts is not None
    assert result.parts.names == ("part1", "part2", "part3", "part4")
    assert result.poses.shape == (40, 2, 4, 2)
    assert np.isfinite(result.poses).all()
    own = true[:, own_order(result.poses, true)]
    error = np.linalg.norm(result.poses - own, axis=-1)
    is_seen = result.parts.observed
    assert (~is_seen).sum() > 40
    assert error[is_seen].mean() < 2.0
    assert error[~is_seen].mean() < 8.0
    assert (result.parts.lower < result.poses).all()
    assert (result.poses < result.parts.upper).all()
    width = (result.parts.upper - result.parts.lower).mean(-1)
    assert width[~is_seen].mean() > 1.3 * width[is_seen].mean()
    held = ((result.parts.lower <= own) & (own <= result.parts.upper)).mean()
    assert held > 0.8
    np.testing.assert_allclose(result.boxes, result.poses.mean(2), atol=1e-3)
    np.testing.assert_array_equal(result.detections, pose_rows(seen)[..., :2])
    assert "poses observed" in repr(result)
    table = result.to_dataframe()
    assert table.columns.tolist()[:5] == ["frame", "source", "part", "x", "y"]
    assert len(table) == 40 * 2 * 4
    row = table.iloc[9]
    assert (row["frame"], row["source"], row["part"]) == (2, 1, "part2")
    assert row["x"] == result.poses[1, 0, 1, 0]
    assert (table["status"] == "inferred").sum() == (~is_seen).sum()
    assert result.at(slice(0, 5)).poses.shape == (5, 2, 4, 2)
    assert result.at(slice(0, 5)) != result
    assert result.at(slice(None)) == result


def test_a_list_of_frames_is_as_good_as_an_array() -> None:
    torch.set_default_dtype(torch.float32)
    _, seen = mice(2, 6, 3, away=0.0, seed=3)
    with only_torch():
        found = [Tracker(2, n_iterations=1).track(each, size=SIZE) for each in (seen, [list(frame) for frame in seen])]
    assert found[0] == found[1]


def test_labels_say_which_animal_is_which() -> None:
    torch.set_default_dtype(torch.float32)
    true, seen = mice(2, 20, 4, away=0.0, seed=2)
    whole = Labels([0, 0], [0, 1], true[0, ::-1])
    for labels in (whole, Labels([0, 0], [0, 1], true[0, ::-1].mean(1))):
        result = Tracker(2, n_iterations=1).track(seen, size=SIZE, labels=labels)
        assert np.linalg.norm(result.poses[0] - true[0, ::-1], axis=-1).max() < 1.0
    with pytest.raises(InputError, match="The labels are boxes, and the detections poses of 4 parts"):
        Tracker(2).track(seen, size=SIZE, labels=Labels([0, 0], [0, 1], [[0, 0, 5, 5], [9, 9, 12, 12]]))


def test_what_cannot_be_done_with_poses_is_said() -> None:
    with pytest.raises(InputError, match=r"poses \[frames, detections, 3, 2\], and the model is of boxes"):
        Tracker(2, "vkf").track(np.zeros((3, 2, 3, 2)))
    with pytest.raises(InputError, match='take the preset "default"'):
        Tracker(2, "poses").track(np.zeros((3, 2, 4)))
    with pytest.raises(InputError, match='take the preset "points"'):
        Tracker(2, "poses").track(np.zeros((3, 2, 2)))
    with pytest.raises(InputError, match="by themselves"):
        Tracker(2).track_many([np.zeros((3, 2, 3, 2)), np.zeros((3, 2, 4, 2))])


def test_a_score_of_poses_is_over_the_parts_of_the_truth() -> None:
    true = np.array([[[[0.0, 0.0], [10.0, 0.0]], [[100.0, 0.0], [np.nan, np.nan]]]])
    found = np.array([[[[100.0, 3.0], [0.0, 0.0]], [[0.0, 4.0], [10.0, 8.0]]]])
    distance = part_distances(pose_rows(true)[0], pose_rows(found)[0])
    np.testing.assert_allclose(distance[[0, 1], [1, 0]], [6.0, 3.0])
    tracks, truth = (Tracks.from_boxes(pose_rows(each)) for each in (found, true))
    assert score(tracks, truth, within=7.0).overall.matches == 2
    assert score(tracks, truth, within=5.0).overall.matches == 1
    assert score(tracks, truth, within=7.0).overall.motp == pytest.approx(4.5)
    named = Tracks(tracks.ids, tracks.boxes, parts=("tail", "nose"))
    turned = Tracks(truth.ids, pose_rows(true[..., ::-1, :]), parts=("nose", "tail"))
    assert score(named, turned, within=7.0).overall.motp == pytest.approx(4.5)
    with pytest.raises(InputError, match='no part "paw"'):
        score(named, Tracks(truth.ids, truth.boxes, parts=("nose", "paw")), within=7.0)


def test_frames_without_poses_are_scored_as_frames_without_boxes() -> None:
    true = np.random.default_rng(0).random((4, 2, 3, 2)) * 50
    found = true.copy()
    true[1], found[2] = np.nan, np.nan
    scores = score(*(Tracks.from_boxes(pose_rows(each)) for each in (found, true)), within=1.0).overall
    assert (scores.matches, scores.false_positives, scores.false_negatives) == (4, 2, 2)
    named = [
        Tracks(np.arange(1, 3), pose_rows(each), parts=tuple(names))
        for each, names in ((found[..., ::-1, :], "cba"), (true, "abc"))
    ]
    assert score(named[0], named[1], within=1.0).overall == scores
    none = Tracks(np.arange(0), np.zeros((4, 0, 8)), parts=tuple("bca"))
    assert score(none, named[1], within=1.0).overall.false_negatives == 6


def test_a_film_without_poses_or_frames_is_refused_in_a_sentence() -> None:
    with pytest.raises(InputError, match="No frame has 2 detections"):
        Tracker(2).track(np.zeros((12, 0, 3, 2)))
    with pytest.raises(InputError, match="no frames to track in"):
        Tracker(2).track(np.zeros((0, 2, 3, 2)))


def film_of(poses: Array, parts: tuple[str, ...] = ()) -> Detections:
    rows = pose_rows(poses)
    return Detections(rows, np.full(rows.shape[:2], -1.0), SIZE, True, "film", None, Path("film.csv"), 0, parts=parts)


def test_parts_that_are_labelled_go_by_their_names() -> None:
    poses = np.random.default_rng(0).random((2, 2, 3, 2)) * 50
    film = film_of(poses, ("nose", "back, left", "tail"))
    turned = Labels([0, 0], [0, 1], poses[0][:, [2, 0, 1]], ("tail", "nose", "back, left"))
    found = labels_of(film, turned)
    assert found is not None
    np.testing.assert_allclose(found.boxes, film.boxes[0])
    more = Labels([0], [0], np.concatenate([poses[0, :1], [[[400.0, 0.0]]]], 1), (*film.parts, "ear"))
    found = labels_of(film, more)
    assert found is not None
    np.testing.assert_allclose(found.boxes, film.boxes[0, :1])
    with pytest.raises(InputError, match=r'no part "tail", .* of the parts nose, "back, left", tail'):
        labels_of(film, Labels([0], [0], poses[0, :1, :2], ("nose", "back, left")))
    with pytest.raises(InputError, match=r"poses of 2 parts, and the detections poses of 3 parts"):
        Tracker(1).track(poses, labels=Labels([0], [0], poses[0, :1, :2]))
    ear = Labels([0], [0], [[[np.nan, np.nan]] * 3 + [[4.0, 4.0]]], more.parts)
    with pytest.raises(InputError, match=r"source 1 in frame 0 is empty"):
        labels_of(film, ear, 0)


def test_each_point_stands_for_a_pose_of_its_own() -> None:
    body = np.array([[6.0, 0.0], [0.0, 3.0], [-6.0, 0.0]])
    film = film_of(np.array([[40.0, 40.0], [50.0, 40.0]])[:, None] + body + np.zeros((3, 1, 1, 1)))
    film.boxes[1, 1] = np.nan
    found = labels_of(film, Labels([0, 0], [0, 1], [[46, 40], [47, 40]]))
    assert found is not None
    assert set(found.boxes[:, 0]) == {40.0, 50.0}  # the nearest of both is the second
    with pytest.raises(InputError, match=r"Frame 1 has 1 pose, and 2 labels"):
        labels_of(film, Labels([1, 1], [0, 1], [[46, 40], [47, 40]]), 0)
    with pytest.raises(InputError, match=r"source 2 in frame 3 is 30 pixels from the nearest pose"):
        labels_of(film, Labels([2, 2], [0, 1], [[40, 41], [80, 41]]))
    film.boxes[0, 0, 4:] = np.nan  # one part alone is as large as the others
    assert labels_of(film, Labels([0, 0], [0, 1], [[44, 40], [50, 40]])) is not None
    with pytest.raises(InputError, match=r"A label is in frame 3, but the detections are of 3 frames"):
        Tracker(1).memory_needed(film, Labels([3], [0], film.boxes[2, :1], origin=0))
    with pytest.raises(InputError, match=r"Frame 3 has 0 poses, and 1 label:"):
        Tracker(1).memory_needed(film, Labels([3], [0], [[40, 40]], origin=0))


def test_the_size_of_an_image_is_not_guessed_by_points_that_stand_for_poses() -> None:
    rows = pose_rows(np.random.default_rng(0).random((2, 2, 3, 2)) * 50)
    point = Labels([0], [0], [[300, 20]])
    assert max(ArrayFilm.of(rows, None, None, point).size) <= 50
    assert ArrayFilm.of(rows[..., :2], None, None, point).size[0] == 300


def test_an_empty_label_is_refused() -> None:
    nan = np.nan
    for detections, label in (
        (np.zeros((4, 2, 3, 2)), [[[nan, nan]] * 3]),
        (np.zeros((4, 2, 3, 2)), [[nan, nan]]),
        (np.zeros((4, 2, 2)), [[nan, 3.0]]),
        (np.full((4, 2, 4), [1.0, 1, 2, 2]), [[nan] * 4]),
    ):
        with pytest.raises(InputError, match=r"source 2 in frame 3 is empty"):
            Tracker(2).track(detections, labels=Labels([2], [1], label))


def test_what_is_said_of_poses_calls_them_poses() -> None:
    rows = pose_rows(np.array([[[10.0, 20.0], [14.0, 20.0]], [[30.0, 40.0], [30.0, 48.0]]]))
    setting = Setting(SIZE, Start(4, rows, n_candidates=3), 0)
    assert (setting.what, setting.whats) == ("pose", "poses")
    (sentence,) = Guessed(setting).sentences()
    assert sentence.endswith('"4:12,20;30,44"')
