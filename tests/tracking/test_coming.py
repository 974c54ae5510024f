"""Sources that come and go in films longer than a block: what blocks say, joined, is what one block says."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_mixdvae import Tracker
from pyro_mixdvae.inference.association.motion import Motion, Track
from pyro_mixdvae.inference.association.visits import (
    Stay,
    Tracks,
    Visit,
    exchanged,
    guesses_in,
    joined_tracks,
    visits_of,
)
from pyro_mixdvae.tracking import blocks
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.films import ArrayFilm
from pyro_mixdvae.tracking.presence import Presence, spans_of
from pyro_mixdvae.tracking.result import TrackingResult

SIZE = (640, 480)
T, BLOCK, OVERLAP = 160, 70, 10
STAYS = [(0, 0, 159), (1, 0, 24), (1, 110, 159), (2, 45, 129)]
"""Source, first and last frame: 1 is away while the second of three blocks begins, 2 comes just before that."""
INFERRED = [(0, 0, 159), (1, 0, 24), (1, 45, 129), (2, 110, 159)]
"""By names that nothing says: who comes is who left, while there are no more than three."""
MOTION = Motion(*np.ones((4, 2)))


def walkers() -> tuple[Array, Array]:
    """The truth [T, 3, 4], NaN where a target is absent, and its detections, now and then missed, in some order."""
    rng = np.random.default_rng(1)
    t = np.arange(T)
    back = t >= 110
    left = np.stack([20 + 3.0 * t, np.where(back, 600 - 4.0 * (t - 110), 500 - 2.0 * t), 60 + 2.5 * (t - 45)], 1)
    top = np.broadcast_to([40.0, 180, 330], left.shape)
    truth = np.stack([left, top, left + 40, top + 90], -1)
    there = np.zeros((T, 3), bool)
    for source, since, until in STAYS:
        there[since : until + 1, source] = True
    truth[~there] = np.nan
    seen = truth + 0.6 * rng.normal(size=truth.shape)
    seen[rng.random((T, 3)) < 0.04] = np.nan
    order = rng.permuted(np.tile(np.arange(3), (T, 1)), axis=1)
    return truth, np.take_along_axis(seen, order[..., None], 1)


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", BLOCK)
    monkeypatch.setattr(blocks, "OVERLAP", OVERLAP)


def close(result: TrackingResult, off: int) -> bool:
    """Whether sources are there when they are inferred to be, up to so many frames."""
    spans = [span[:3] for span in spans_of(result.presence)]
    return [span[0] for span in spans] == [stay[0] for stay in INFERRED] and np.allclose(
        spans, INFERRED, rtol=0, atol=off
    )


def test_blocks_join_to_what_one_block_says(short_blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = walkers()[1]
    found = Tracker(3).track(boxes, SIZE, n_samples=2, presence=Presence())
    monkeypatch.setattr(blocks, "BLOCK", T)
    whole = Tracker(3).track(boxes, SIZE, n_samples=2, presence=Presence())
    assert close(found, 2)
    assert found.boxes.shape == whole.boxes.shape == (T, 3, 4)
    assert (found.there == whole.there).mean() > 0.98
    off = np.abs(found.boxes - whole.boxes)[found.there & whole.there]
    assert np.median(off) < 0.1
    assert off.max() < 5
    assert (found.observed == whole.observed).mean() > 0.99
    shared = ~np.isnan(whole.responsibilities)
    assert (np.abs(found.responsibilities - whole.responsibilities)[shared] < 0.05).mean() > 0.98
    assert found.samples.shape == whole.samples.shape
    for part in (found.boxes, found.lower, found.upper, found.samples):
        assert np.isfinite(part).all()
    assert found.notes == whole.notes == ("3 sources were found, of at most 3.",)


def test_what_is_known_holds_across_blocks(short_blocks: None) -> None:
    truth, boxes = walkers()
    presence = Presence.of([(source + 1, since + 1, until + 1) for source, since, until in STAYS])
    labels = Labels([60, 120], [2, 1], np.stack([truth[60, 2], truth[120, 1]]))
    result = Tracker(3).track(boxes, SIZE, labels, presence=presence)
    assert [span[:3] for span in spans_of(result.presence)] == STAYS
    assert np.abs(result.boxes - truth)[result.there].max() < 8
    assert not result.observed[~result.there].any()


def test_pieces_follow_on_one_another(short_blocks: None) -> None:
    film, tracker = ArrayFilm.of(walkers()[1], SIZE, None, None), Tracker(3)
    pieces = list(tracker.track_blocks(film, presence=Presence(), origin=0))
    assert [piece.block for piece in pieces] == [(0, 69), (50, 119), (100, 159)]
    assert pieces[0].first == 0
    for before, after in pairwise(pieces):
        assert before.block is not None
        assert after.block is not None
        assert after.first == before.first + len(before.boxes)
        assert after.block[0] + OVERLAP // 2 <= after.first <= before.block[1] + 1 - OVERLAP // 2
    assert sum(len(piece.boxes) for piece in pieces) == T
    assert {piece.origin for piece in pieces} == {0}
    assert tracker.memory_needed(film, presence=Presence())[0].n_frames == BLOCK


def test_a_block_in_which_nothing_is_seen_is_a_part_of_the_film(short_blocks: None) -> None:
    """One leaves, and three blocks later there is another: in between nobody is in the picture."""
    boxes = np.full((260, 1, 4), np.nan)
    for since in (0, 230):
        t = np.arange(30)[:, None]
        boxes[since : since + 30, 0] = np.array([100.0, 100, 140, 190]) + 2.0 * t * [1, 0, 1, 0]
    result = Tracker(2).track(boxes, SIZE, presence=Presence())
    spans = spans_of(result.presence)
    assert len(result.boxes) == 260
    assert [(span.source, span.first) for span in spans] == [(0, 0), (1, 230)]
    assert spans[0].last < 60


@pytest.mark.parametrize("first", [0, 2])
def test_a_detector_that_looks_at_every_third_frame(first: int, short_blocks: None) -> None:
    boxes = np.full((T, 2, 4), np.nan)
    t = np.arange(first, T, 3)
    for n, since in enumerate((0, 60)):
        own = t[t >= since]
        boxes[own, n] = np.array([20.0, 60 + 200 * n, 60, 150 + 200 * n]) + 2.0 * own[:, None] * [1, 0, 1, 0]
    result = Tracker(4).track(boxes, SIZE, presence=Presence())
    one, other = spans_of(result.presence)
    assert one.first <= first
    assert (one.last, other.last) == (T - 1, T - 1)
    assert abs(other.first - 60) <= 3
    assert "2 sources were found, of at most 4." in result.notes


@pytest.mark.usefixtures("short_blocks", "unrendered")
def test_the_files_are_of_the_whole_film(tmp_path: Path, mixdvae: Callable[..., Any]) -> None:
    det, out = tmp_path / "det.txt", tmp_path / "out.txt"
    det.write_text(
        "".join(
            f"{t + 1},-1,{x:.2f},{y:.2f},{w - x:.2f},{h - y:.2f},1\n"
            for t, places in enumerate(walkers()[1])
            for x, y, w, h in places.tolist()
            if x == x
        )
    )
    ended = mixdvae("track", det, "--max-sources", 3, "--size", "640x480", "-o", out)
    assert ended.code == 0, ended.err
    rows = [line.split(",") for line in (tmp_path / "out.presence.csv").read_text().splitlines()[1:]]
    assert [int(row[0]) - 1 for row in rows] == [source for source, _, _ in INFERRED]
    assert len(out.read_text().splitlines()) == sum(int(row[2]) - int(row[1]) + 1 for row in rows)
    assert ended.out.count("3 sources were found, of at most 3.") == 1


def test_motion_between_the_frames_that_are_seen() -> None:
    """A step of the velocities, and of the places, that they say is theirs again after so many frames."""
    seen = Motion(*np.array([[0.3, 0.1], [0.2, 0.4], [1.0, 2.0], [9.0, 4.0]]))
    each = seen.between(3)
    np.testing.assert_allclose(3 * each.process, seen.process / 3**2)
    np.testing.assert_allclose(3 * each.position, seen.position)
    np.testing.assert_allclose(3 * np.sqrt(each.velocity), np.sqrt(seen.velocity))
    np.testing.assert_array_equal(each.noise, seen.noise)


def column(number: int, *frames: int) -> Track:
    """The detections in a column from one frame to before another."""
    return [(t, number) for t in range(*frames)]


def test_tracks_of_two_stretches_are_one_where_they_share_detections() -> None:
    before = [column(0, 0, 10), column(1, 0, 7), column(2, 6, 10)]
    after = [column(0, 6, 20), column(2, 6, 12), column(1, 12, 15)]
    stretches = (Tracks(each, np.array([len(track) * 1.0 for track in each]), MOTION) for each in (before, after))
    found = joined_tracks(*stretches, since=6, frame=8)
    assert found.each == [column(0, 0, 20), column(1, 0, 7), column(2, 6, 12), column(1, 12, 15)]
    np.testing.assert_allclose(found.odds, [20, 7, 6, 3])


def test_visits_that_a_block_has_exchanged_go_on_so() -> None:
    visits = [Visit(0, column(0, 0, 20)), Visit(1, column(1, 0, 30)), Visit(2, column(2, 0, 5))]
    owners = {(t, k): 1 - k for t in range(8, 12) for k in (0, 1)}
    one, other, third = exchanged(visits, owners, None)
    assert one == Visit(0, column(0, 0, 8) + column(1, 8, 30))
    assert other == Visit(1, column(1, 0, 8) + column(0, 8, 20))
    assert third == visits[2]
    assert exchanged(visits, {place: place[1] for place in owners}, None) == visits
    assert exchanged(visits, {}, None) == visits
    known = exchanged(visits, owners, [Stay(0, 0, 25), Stay(1, 0, 30), Stay(2, 0, 5)])
    assert known[0].track[-1] == (24, 1)


def test_of_those_who_come_the_others_are_who_left_last() -> None:
    """Two of three leave, and come back one after the other: as many ways as there are, and one that is likeliest."""
    each = [column(0, 0, 900), column(1, 0, 70), column(2, 0, 90), column(3, 150, 900), column(4, 200, 900)]
    tracks = Tracks(each, np.full(5, 100.0), MOTION)
    visits = visits_of(tracks, 3)
    assert [(visit.source, visit.track[0]) for visit in visits] == [
        (0, (0, 0)), (1, (0, 1)), (1, (200, 4)), (2, (0, 2)), (2, (150, 3)),
    ]  # fmt: skip
    assert guesses_in(visits, 3) == [(2, 150)]
    assert guesses_in(visits, 4) == [(2, 150), (1, 200)]
    assert len({visit.source for visit in visits_of(tracks, 5)}) == 5
    assert guesses_in([Visit(0, column(0, 0, 9)), Visit(1, column(1, 3, 9))], 5) == []


def test_names_of_those_who_come_where_several_may_are_said_to_be_a_guess(short_blocks: None) -> None:
    result = Tracker(3).track(walkers()[1], SIZE, presence=Presence())
    (warning,) = (each for each in result.warnings if "is a guess, by time alone" in each)
    assert "source 2 in frame 46. Where it is another" in warning  # it may be the third, which has not come yet
    known = Presence.of([(source + 1, since + 1, until + 1) for source, since, until in STAYS])
    assert not any("guess, by time" in each for each in Tracker(3).track(walkers()[1], SIZE, presence=known).warnings)


def test_no_visit_is_left_without_a_detection() -> None:
    visits = [Visit(0, column(0, 0, 9)), Visit(1, column(1, 9, 30))]
    assert exchanged(visits, {(t, 1): 0 for t in range(9, 12)}, None) == visits
