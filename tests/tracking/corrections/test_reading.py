"""Corrections as people write them: a CSV, or tracks that come back from CVAT."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pyro_mixdvae import Tracker
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.corrections.kinds import Absent, Correction, Drawn, Swap
from pyro_mixdvae.tracking.exports.cvat import to_cvat
from pyro_mixdvae.tracking.files.corrections import COLUMNS, of_cvat, read_corrections
from pyro_mixdvae.tracking.files.tracks import read_results
from pyro_mixdvae.tracking.result import TrackingResult

HEADER = ",".join(COLUMNS)


@pytest.fixture(scope="module")
def result() -> TrackingResult:
    step = np.arange(60)[:, None, None]
    boxes = np.array([[10, 50, 30, 90], [300, 60, 320, 100]]) + step * np.array([[4, 0, 4, 0], [-4, 0, -4, 0]])
    return Tracker(2).track(np.where(step % 7 == 5, np.nan, boxes), size=(640, 480))


def read(path: Path, result: TrackingResult) -> list[Correction]:
    """Of either kind of file."""
    found = read_corrections(path, result.origin)
    return of_cvat(path, result) if found is None else found


def written(folder: Path, text: str) -> Path:
    path = folder / "fixes.csv"
    path.write_text(text)
    return path


def test_each_kind_is_read(tmp_path: Path, result: TrackingResult) -> None:
    rows = f"{HEADER}\n412,swap,2,1,,,,,\n100,absent,2,,140,,,,\n\n7,label,1,,,10,20,30,40.5\n8,label,2,,,10,20,,\n"
    swap, absent, box, point = read(written(tmp_path, rows), result)
    assert swap == Swap(411, 1, 0)
    assert absent == Absent(99, 139, 1)
    assert isinstance(box, Drawn)
    assert isinstance(point, Drawn)
    assert (box.frame, box.source, box.box.tolist()) == (6, 0, [10, 20, 30, 40.5])
    assert (point.frame, point.source, point.box.tolist()) == (7, 1, [10, 20])


def test_columns_stand_in_any_order(tmp_path: Path, result: TrackingResult) -> None:
    assert read(written(tmp_path, "other;kind;source;frame\n1;Swap;2;5\n"), result) == [Swap(4, 1, 0)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("frame,kind\n1,swap\n", "no column source"),
        ("", "no column frame"),
        (f"{HEADER}\n1,change,1,2,,,,,\n", "line 2: 'change' is no kind"),
        (f"{HEADER}\n0,swap,1,2,,,,,\n", "line 2: frame is '0', not a whole number from 1"),
        (f"{HEADER}\n1.5,swap,1,2,,,,,\n", "line 2: frame is '1.5'"),
        (f"{HEADER}\n1,swap,1,,,,,,\n", "line 2: other is ''"),
        (f"{HEADER}\n1,swap,1,1,,,,,\n", "cannot change names with itself"),
        (f"{HEADER}\n5,absent,1,,4,,,,\n", "until is before the frame"),
        (f"{HEADER}\n5,label,1,,,3,4,3,9\n", "no width or no height"),
        (f"{HEADER}\n5,label,1,,,3,inf,8,9\n", "line 2: y1 is 'inf'"),
        (f"{HEADER}\n5,label,1\n", "line 2: x1 is ''"),
        (f"{HEADER}\n5,swap,1,2,,,,,\n7,swap,1,2,,,,,\n5,swap,2,1,,,,,\n", "line 4: line 2 speaks of this already"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_line(
    tmp_path: Path, result: TrackingResult, text: str, problem: str
) -> None:
    with pytest.raises(InputError, match=re.escape(problem)):
        read(written(tmp_path, text), result)


def test_what_comes_back_from_cvat_as_it_went_corrects_nothing(tmp_path: Path, result: TrackingResult) -> None:
    assert read(written(tmp_path, to_cvat(result)), result) == []


def test_a_box_that_was_moved_in_cvat_is_a_label(tmp_path: Path, result: TrackingResult) -> None:
    text = to_cvat(result)
    key = re.search(r'<box frame="(\d+)"[^>]*keyframe="1" xtl="([\d.]+)" [^>]*>', text[text.index('track id="1"') :])
    assert key is not None
    moved = key[0].replace(f'xtl="{key[2]}"', f'xtl="{float(key[2]) - 5:.2f}"')
    (found,) = read(written(tmp_path, text.replace(key[0], moved)), result)
    assert isinstance(found, Drawn)
    assert (found.frame, found.source) == (int(key[1]), 1)
    assert found.box[0] == pytest.approx(float(key[2]) - 5)


def test_frames_outside_are_an_absence(tmp_path: Path, result: TrackingResult) -> None:
    text = to_cvat(result)
    before, after = text.split('<track id="1"')
    after = re.sub(r'frame="(2\d)" outside="0"', r'frame="\1" outside="1"', after)
    found = read(written(tmp_path, before + '<track id="1"' + after), result)
    assert found == [Absent(20, 29, 1)]


def test_a_track_of_nobody_is_refused(tmp_path: Path, result: TrackingResult) -> None:
    text = to_cvat(result).replace('track id="1"', 'track id="2"')
    with pytest.raises(InputError, match="track 2 is none of the 2 sources"):
        read(written(tmp_path, text), result)


@pytest.mark.usefixtures("unrendered")
def test_a_run_is_corrected_from_its_files_or_anew(tmp_path: Path, mixdvae: Callable) -> None:
    frames = "".join(
        f"{t},-1,{10 + 2 * t},50,20,40,1\n{t},-1,{300 - 2 * t},60,20,40,1\n" for t in range(1, 101) if t % 9
    )
    seq, fixes, run = tmp_path / "det.txt", tmp_path / "fixes.csv", tmp_path / "run.txt"
    seq.write_text(frames)
    fixes.write_text(f"{HEADER}\n40,swap,1,2,,,,,\n")
    size = ("-n", 2, "--size", "640x480")
    assert mixdvae("track", seq, *size, "-o", run).code == 0
    anew, again = tmp_path / "anew.txt", tmp_path / "again.txt"
    assert mixdvae("track", seq, *size, "-o", anew, "--corrections", fixes).code == 0
    assert mixdvae("track", seq, *size, "-o", again, "--corrections", fixes, "--run", run).code == 0
    before, one, other = (read_results(path).boxes for path in (run, anew, again))
    np.testing.assert_allclose(one, other, atol=0.03)
    np.testing.assert_allclose(one[-5:], before[-5:, ::-1], atol=0.03)
    assert again.with_suffix(".elbo.csv").read_text() == run.with_suffix(".elbo.csv").read_text()
    ended = mixdvae("track", seq, *size, "-o", tmp_path / "x.txt", "--run", run)
    assert ended.code == 2
    assert "give --corrections" in ended.err
    run.with_suffix(".assignments.csv").unlink()
    ended = mixdvae("track", seq, *size, "-o", tmp_path / "x.txt", "--corrections", fixes, "--run", run)
    assert ended.code == 2
    assert "run.assignments.csv is not there" in ended.err


@pytest.mark.usefixtures("unrendered")
def test_sources_that_come_and_go_are_corrected_at_once(tmp_path: Path, mixdvae: Callable) -> None:
    rows, noise = [], np.random.default_rng(0).normal(0, 0.5, (100, 3, 2))
    for t in range(1, 101):
        places = [(10 + 2 * t, 50), (300 - 2 * t, 180), (500, 300 + t)][: 3 if t <= 40 else 2]
        rows += [(t, *(np.array(place) + off).round(2)) for place, off in zip(places, noise[t - 1], strict=False)]
    seq, fixes, presence = tmp_path / "det.txt", tmp_path / "fixes.csv", tmp_path / "presence.csv"
    seq.write_text("".join(f"{t},-1,{x},{y},20,40,1\n" for t, x, y in rows))
    presence.write_text("id,from,to\n3,1,40\n")
    fixes.write_text(f"{HEADER}\n60,swap,1,2,,,,,\n80,absent,1,,90,,,,\n")
    before, after, found = (tmp_path / f"{name}.txt" for name in ("before", "after", "found"))
    size = ("--size", "640x480", "--no-report")
    assert mixdvae("track", seq, "-n", 3, *size, "-o", before, "--presence", presence).code == 0
    known = mixdvae("track", seq, "-n", 3, *size, "-o", after, "--presence", presence, "--corrections", fixes)
    assert known.code == 0, known.err
    one, other = (read_results(path).boxes for path in (before, after))
    assert np.isnan(other[40:, 2]).all()  # as was said
    np.testing.assert_allclose(other[:30], one[:30], atol=0.03)
    np.testing.assert_allclose(other[-5:, :2], one[-5:, 1::-1], atol=0.5)
    assert np.isnan(other[79:90, 0]).all()
    assert not np.isnan(other[79:90, 1]).any()
    most = mixdvae("track", seq, "--max-sources", 5, *size, "-o", found, "--corrections", fixes)
    assert most.code == 0, most.err
    assert "3 sources were found, of at most 5" in most.out + most.err
    assert not found.with_suffix(".boxes.csv").exists()
    run = tmp_path / "run.txt"
    assert mixdvae("track", seq, "-n", 3, *size[:2], "-o", run, "--presence", presence).code == 0
    table = run.with_suffix(".presence.csv")
    sure = "3,1,40,1.0000\n"
    assert sure in table.read_text()
    table.write_text(table.read_text().replace(sure, "3,1,40,0.8125\n"))
    again = mixdvae("track", seq, "-n", 3, *size[:2], "-o", after, "--corrections", fixes, "--run", run, "--overwrite")
    assert again.code == 0, again.err
    assert "3,1,40,0.8125\n" in after.with_suffix(".presence.csv").read_text()  # which no correction touches
    ended = mixdvae("track", seq, "-n", 3, "-o", found, "--presence", presence, "--corrections", fixes, "--run", before)
    assert ended.code == 2
    assert "leave --presence and --max-sources out, or --run" in ended.err


@pytest.mark.usefixtures("unrendered")
def test_a_run_that_counts_from_0_is_corrected_and_nobody_may_be_there(tmp_path: Path, mixdvae: Callable) -> None:
    rows = "".join(f"{t},{10 + 2 * t},50,20,40\n{t},{300 - 2 * t},60,20,40\n" for t in range(60))
    seq, fixes, run = tmp_path / "boxes.csv", tmp_path / "fixes.csv", tmp_path / "run.txt"
    seq.write_text("frame,x,y,w,h\n" + rows)
    size = ("-n", 2, "--size", "640x480")
    assert mixdvae("track", seq, *size, "-o", run).code == 0
    fixes.write_text(f"{HEADER}\n0,absent,1,,59,,,,\n0,absent,2,,59,,,,\n")
    ended = mixdvae("track", seq, *size, "-o", tmp_path / "none.txt", "--corrections", fixes, "--run", run)
    assert ended.code == 0, ended.err
    assert "2 corrections were carried out, and changed 60 of 60 frames" in ended.out
    assert (tmp_path / "none.txt").read_text() == ""
    assert (tmp_path / "none.presence.csv").read_text() == "id,from,to,probability\n"
    assert mixdvae("report", run, "-o", tmp_path / "run.html").code == 0
    fixes.write_text(f"{HEADER}\nx,swap,1,2,,,,,\n")
    ended = mixdvae("track", seq, *size, "-o", tmp_path / "x.txt", "--corrections", fixes)
    assert ended.err.splitlines()[-1].startswith(f"{fixes}, line 2: frame is 'x'")
