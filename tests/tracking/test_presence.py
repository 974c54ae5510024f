"""Sources that leave the picture, come back, or come late: inferred, or known from a file."""

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_mixdvae import Tracker
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.association.visits import Stay
from pyro_mixdvae.tracking.blocks import joined
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.files.presence import presence_table, read_presence
from pyro_mixdvae.tracking.files.tracks import Tracks
from pyro_mixdvae.tracking.files.writing import format_points, format_results
from pyro_mixdvae.tracking.presence import Presence, Span, spans_of
from pyro_mixdvae.tracking.report.plots import picture
from pyro_mixdvae.tracking.report.tables import boxes_table, samples_table
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scores.clear import score
from pyro_mixdvae.tracking.scores.presence import presence_counts

SIZE = (640, 480)
T = 120
STAYS = [(0, 0, 119), (1, 0, 39), (1, 80, 119), (2, 25, 119)]
"""Source, first and last frame: one is always there, one is away for a while and comes back elsewhere, one is late."""


def walkers(noise: float = 0.6) -> tuple[Array, Array]:
    """The truth [T, 3, 4], NaN where a target is absent; detections [T, 4, 4], in some order, some of them false."""
    rng = np.random.default_rng(0)
    t = np.arange(T)
    back = t >= 80
    left = np.stack([20 + 3.0 * t, np.where(back, 620 - 4.0 * (t - 80), 560 - 2.0 * t), 80 + 2.5 * t], 1)
    top = np.broadcast_to([40.0, 180, 330], left.shape) + np.where(back, 40, 0)[:, None] * [0, 1, 0]
    truth = np.stack([left, top, left + 40, top + 90], -1)
    there = np.zeros((T, 3), bool)
    for source, since, until in STAYS:
        there[since : until + 1, source] = True
    truth[~there] = np.nan
    seen = truth + noise * rng.normal(size=truth.shape)
    seen[rng.random((T, 3)) < 0.04] = np.nan
    false = np.full((T, 1, 4), np.nan)
    some = rng.random(T) < 0.1
    corner = rng.uniform([0, 0], [500, 380], (T, 2))
    false[some, 0] = np.concatenate([corner, corner + np.array([40, 90])], 1)[some]
    boxes = np.concatenate([seen, false], 1)
    order = rng.permuted(np.tile(np.arange(4), (T, 1)), axis=1)
    return truth, np.take_along_axis(boxes, order[..., None], 1)


@pytest.fixture(scope="module")
def inferred() -> TrackingResult:
    return Tracker(3).track(walkers()[1], SIZE, n_samples=2, presence=Presence())


@pytest.fixture(scope="module")
def known() -> TrackingResult:
    rows = [(source + 1, since + 1, until + 1) for source, since, until in STAYS]
    return Tracker(3).track(walkers()[1], SIZE, presence=Presence.of(rows))


def close(spans: list[Span], expected: list[tuple[int, int, int]], off: int) -> bool:
    """Whether stays are these up to so many frames, and of one source those that are so here: numbers do not count."""
    each = []
    for rows in ([span[:3] for span in spans], expected):
        own: dict[int, list[int]] = {}
        for source, since, until in rows:
            own.setdefault(source, []).extend([since, until])
        each.append(sorted(own.values(), key=lambda ends: (len(ends), ends[0] // 20, ends[-1])))
    found, true = each
    return [len(ends) for ends in found] == [len(ends) for ends in true] and all(
        abs(a - b) <= off for ends, known in zip(found, true, strict=True) for a, b in zip(ends, known, strict=True)
    )


def test_who_is_there_when_is_inferred(inferred: TrackingResult) -> None:
    assert inferred.presence is not None
    assert inferred.presence.shape == (T, 3)
    spans = spans_of(inferred.presence)
    assert close(spans, STAYS, 2), spans  # who comes back is who has left: there are no more than three
    truth = walkers()[0]
    scores = score(
        Tracks.from_boxes(np.where(inferred.there[..., None], inferred.boxes, np.nan)), Tracks.from_boxes(truth)
    )
    assert scores.overall.mota > 0.98
    assert scores.overall.idf1 > 0.98
    for part in (inferred.boxes, inferred.lower, inferred.upper, inferred.samples):
        assert np.isfinite(part).all()
    assert "3 sources were found, of at most 3." in inferred.notes
    assert not inferred.warnings
    assert inferred.engine == "numba"


def test_where_a_source_is_absent_its_box_says_little(inferred: TrackingResult) -> None:
    width = (inferred.upper - inferred.lower).mean(-1)
    (away,) = np.flatnonzero(~inferred.there[60])
    assert width[60, away] > 2 * width[20, away]


def test_the_bound_is_no_number_to_be_reached() -> None:
    """With room for more, who comes back is another: nothing says who he is."""
    result = Tracker(10).track(walkers()[1], SIZE, presence=Presence())
    assert result.boxes.shape[1] == 4
    assert close(spans_of(result.presence), [(0, 0, 119), (1, 0, 39), (2, 25, 119), (3, 80, 119)], 2)
    assert "4 sources were found, of at most 10." in result.notes


def test_with_room_for_fewer_the_best_are_followed() -> None:
    result = Tracker(1).track(walkers()[1], SIZE, presence=Presence())
    assert close(spans_of(result.presence), [(0, 0, 119)], 2)


def test_what_is_known_of_presence_is_kept(known: TrackingResult) -> None:
    assert known.presence is not None
    assert [span[:3] for span in spans_of(known.presence)] == STAYS
    assert ((known.presence > 0.999) | (known.presence < 0.001)).all()
    truth = walkers()[0]
    assert np.abs(known.boxes - truth)[known.there].max() < 10
    assert not known.observed[~known.there].any()


def test_labels_say_who_is_who() -> None:
    """The late one is called 1, the one that is always there 2, and who comes back in frame 81 is 3."""
    truth, boxes = walkers()
    presence = Presence.of([(1, 26, 120), (3, 81, 120)])
    labels = Labels([30, 5, 90], [0, 1, 2], np.stack([truth[30, 2], truth[5, 0], truth[90, 1]]))
    result = Tracker(3).track(boxes, SIZE, labels, presence=presence)
    for n, target in enumerate((2, 0, 1)):
        own = result.there[:, n] & ~np.isnan(truth[:, target, 0])
        assert np.abs(result.boxes[own, n] - truth[own, target]).max() < 10
    late = Labels([50], [2], truth[[90], 1])
    with pytest.raises(InputError, match="Source 3 has a label in frame 51, in which it is said to be absent"):
        Tracker(3).track(boxes, SIZE, late, presence=presence)
    with pytest.raises(InputError, match="who there is"):
        Tracker(3).track(boxes, SIZE, labels, presence=Presence())


def test_a_stay_in_which_nobody_is_seen_is_said_and_a_label_helps() -> None:
    rows = [(1, 1, 120), (2, 1, 40), (3, 26, 120), (4, 50, 60)]
    boxes, presence = walkers()[1], Presence.of(rows)
    with pytest.raises(InputError, match="Source 4 is said to be in the picture in frames 50 to 60"):
        Tracker(4).track(boxes, SIZE, presence=presence)
    label = np.array([[300.0, 380, 340, 470]])
    result = Tracker(4).track(boxes, SIZE, Labels([54], [3], label), presence=presence)
    np.testing.assert_allclose(result.boxes[54, 3], label[0], atol=0.5)
    assert result.there[:, 3].sum() == 11


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([(4, 1, 5)], "names source 4"),
        ([(1, 130, 140)], "the film of 120"),
        ([(1, 1, 50), (1, 40, 60)], "twice in the picture at once"),
    ],
)
def test_presence_that_cannot_be_is_refused(rows: list[tuple[int, int, int]], says: str) -> None:
    with pytest.raises(InputError, match=says):
        Tracker(3).track(walkers()[1], SIZE, presence=Presence.of(rows))


def test_rows_in_place_of_presence_are_refused() -> None:
    with pytest.raises(InputError, match=r"presence is \[\(2, 31, 60\)\]: give Presence\.of\("):
        Tracker(2).track(walkers()[1], SIZE, presence=[(2, 31, 60)])  # type: ignore[arg-type]


def test_stays_that_touch_are_one_and_who_is_not_named_is_always_there() -> None:
    presence = Presence.of([(2, 11, 20), (2, 5, 10), (2, 60, 500)])
    assert presence.within(3, 100) == [Stay(0, 0, 100), Stay(1, 4, 20), Stay(1, 59, 100), Stay(2, 0, 100)]


def test_models_that_know_no_clutter_are_refused() -> None:
    with pytest.raises(InputError, match="come and go in models"):
        Tracker(3, "deep-ar").track(walkers()[1], SIZE, presence=Presence())


def test_other_algorithms_are_refused() -> None:
    with pytest.raises(InputError, match="closed-form"):
        Tracker(3, algorithm="svi").track(walkers()[1], SIZE, presence=Presence())


@pytest.mark.parametrize("boxes", [np.full((5, 2, 4), np.nan), np.full((5, 1, 4), [10.0, 10, 20, 20])])
def test_nothing_that_lasts_is_nothing_to_track(boxes: Array) -> None:
    boxes = boxes.copy()
    boxes[[1, 3, 4]] = np.nan
    with pytest.raises(InputError, match=r"nothing to track|no detections"):
        Tracker(3).track(boxes, SIZE, presence=Presence())


def test_points_come_and_go_too() -> None:
    boxes = walkers()[1]
    result = Tracker(3).track(boxes[..., :2], SIZE, presence=Presence())
    assert result.boxes.shape == (T, 3, 2)
    assert close(spans_of(result.presence), STAYS, 3)


def test_by_default_all_are_there_throughout() -> None:
    result = Tracker(1).track(walkers()[1][:20], SIZE)
    assert result.presence is None
    assert result.there.all()


def test_results_hold_rows_of_those_that_are_there(inferred: TrackingResult) -> None:
    n_rows = int(inferred.there.sum())
    assert n_rows < inferred.there.size
    text = format_results(inferred.boxes, 1, there=inferred.there)
    assert [tuple(map(int, row.split(",")[:2])) for row in text.splitlines()] == [
        (t + 1, n + 1) for t, n in np.argwhere(inferred.there).tolist()
    ]
    assert len(format_points(inferred.points, 1, inferred.there).splitlines()) == n_rows + 1
    assert len(boxes_table(inferred).splitlines()) == n_rows + 1
    assert len(samples_table(inferred).splitlines()) == 2 * n_rows + 1


def test_presence_goes_with_its_frames(inferred: TrackingResult) -> None:
    def part(frames: slice) -> TrackingResult:
        names = ("boxes", "lower", "upper", "observed", "responsibilities", "presence")
        own = {name: getattr(inferred, name)[frames] for name in names}
        return replace(inferred, first=frames.start, samples=inferred.samples[:, frames], **own)

    again = joined([part(slice(0, 50)), part(slice(50, T))])
    assert np.array_equal(again.presence, inferred.presence)


def test_a_picture_leaves_out_who_is_absent(inferred: TrackingResult) -> None:
    shown = picture(walkers()[1], inferred, SIZE)
    elsewhere = np.where(inferred.there[..., None], inferred.boxes, inferred.boxes + 1000)
    assert picture(walkers()[1], replace(inferred, boxes=elsewhere), SIZE) == shown


def test_the_table_is_read_back(tmp_path: Path, inferred: TrackingResult) -> None:
    spans = spans_of(inferred.presence)
    path = tmp_path / "presence.csv"
    path.write_text(presence_table(spans, 1))
    again = read_presence(path)
    assert again.stays == tuple(Stay(span.source, span.first, span.last + 1) for span in spans)
    path.write_text("\ufefffrom, to ,probability,ID\r\n 0,4,,2\r\n\r\n")
    assert read_presence(path, origin=0).stays == (Stay(1, 0, 5),)


@pytest.mark.parametrize("sign", [";", "\t", " "])
def test_a_table_may_be_written_as_detections_may(tmp_path: Path, sign: str) -> None:
    path = tmp_path / "presence.csv"
    path.write_text("id,from,to\n2,31.0,6e1\n".replace(",", sign))
    assert read_presence(path) == Presence.of([(2, 31, 60)])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1: there is no column id"),
        ("id,from\n1,2\n", "line 1: there is no column to"),
        ("id,from,to\n", "no rows"),
        ("id,from,to\n1,2,x\n", "line 2: to is 'x', not a whole number"),
        ("id,from,to\n1,2,40.5\n", "line 2: to is '40.5', not a whole number"),
        ("id,from,to\n1,2,-3\n", "line 2: to is '-3', not a whole number"),
        ("id,from,to\n1,2\n", "line 2: to is ''"),
        ("id,from,to\n1,1,2\n0,1,2\n", "line 3: source 0"),
        ("id,from,to\n1,0,2\n", "line 2: source 1 is in the picture from 0 to 2"),
        ("id,from,to\n1,9,2\n", "from 9 to 2"),
    ],
)
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "presence.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_presence(path)


def test_scores_know_who_is_there() -> None:
    """A track is there in 8 of its target's 10 frames and in 2 others; another has no target, and one no track."""
    truth, found = np.full((20, 2, 4), np.nan), np.full((20, 2, 4), np.nan)
    truth[:10, 0] = found[2:12, 1] = [10.0, 10, 50, 90]
    truth[:5, 1] = [200.0, 10, 250, 90]
    found[15:, 0] = [400.0, 10, 450, 90]
    counts = presence_counts(Tracks.from_boxes(found), Tracks.from_boxes(truth))
    assert counts == (8, 7, 7)
    assert counts.columns == {"presence precision": 8 / 15, "presence recall": 8 / 15}
    within = presence_counts(Tracks.from_boxes(found), Tracks.from_boxes(truth), within=5.0)
    assert within == counts


@pytest.mark.usefixtures("unrendered")
def test_the_command(tmp_path: Path, mixdvae: Callable[..., Any]) -> None:
    truth, boxes = walkers()
    det, gt, out = tmp_path / "det.txt", tmp_path / "gt.txt", tmp_path / "out.txt"
    for path, places in ((det, boxes), (gt, truth)):
        path.write_text(
            "".join(
                f"{t + 1},{n + 1 if path is gt else -1},{x:.2f},{y:.2f},{w - x:.2f},{h - y:.2f},1,1,1\n"
                for t, row in enumerate(places)
                for n, (x, y, w, h) in enumerate(row.tolist())
                if x == x
            )
        )
    ended = mixdvae("track", det, "--max-sources", 3, "--size", "640x480", "-o", out, "--quiet")
    assert ended.code == 0, ended.err
    rows = list(csv.DictReader((tmp_path / "out.presence.csv").read_text().splitlines()))
    spans = [Span(int(row["id"]) - 1, int(row["from"]) - 1, int(row["to"]) - 1, 0.0) for row in rows]
    assert close(spans, STAYS, 2)
    assert all(float(row["probability"]) > 0.9 for row in rows)
    assert len(out.read_text().splitlines()) == sum(span.last - span.first + 1 for span in spans)
    again = tmp_path / "again.txt"
    command = ("track", det, "-n", 3, "--size", "640x480", "-o", again, "--quiet")
    assert mixdvae(*command, "--presence", tmp_path / "out.presence.csv").code == 0
    assert [row.rsplit(",", 1)[0] for row in (tmp_path / "again.presence.csv").read_text().splitlines()] == [
        row.rsplit(",", 1)[0] for row in (tmp_path / "out.presence.csv").read_text().splitlines()
    ]
    scored = mixdvae("eval", again, "--gt", gt, "--presence", "--json", tmp_path / "scores.json")
    assert scored.code == 0
    assert "presence" in scored.out
    assert '"presence precision": 1.0' in (tmp_path / "scores.json").read_text()
    assert "presence" not in mixdvae("eval", again, "--gt", gt).out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--max-sources", 3, "-n", 3), "give one of the two"),
        (("--max-sources", 3, "--labels", "1:1,1,5,5"), "--labels says who there is"),
        (("--max-sources", 3, "--presence", "p.csv"), "--presence says who there is"),
        (("--max-sources", 0), "--max-sources is 0"),
        (("-n", 3, "--presence", "p.csv", "--live"), "--presence has no meaning with --live"),
        (("-n", 3, "--presence", "p.csv"), "p.csv does not exist"),
    ],
)
def test_options_that_do_not_go_together(
    options: tuple[object, ...], says: str, tmp_path: Path, mixdvae: Callable[..., Any]
) -> None:
    det = tmp_path / "det.txt"
    det.write_text("1,-1,10,10,20,40,1\n2,-1,10,10,20,40,1\n")
    ended = mixdvae("track", det, *options, *(() if "--live" in options else ("-o", tmp_path / "out.txt")))
    assert ended.code == 2
    assert says in ended.err
