"""Films that are longer than a block: joined they are what one block would be, and files come and go in pieces."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from pyro_mixdvae import Tracker
from pyro_mixdvae.cli.main import app
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import EstimatedNoise
from pyro_mixdvae.testing.scenes import EXACT
from pyro_mixdvae.tracking import blocks
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files import rows, spooled
from pyro_mixdvae.tracking.files.detections import read_detections
from pyro_mixdvae.tracking.files.labels import Labels
from pyro_mixdvae.tracking.files.tracks import read_results
from pyro_mixdvae.tracking.films import ArrayFilm
from pyro_mixdvae.tracking.report.excerpt import Excerpts
from pyro_mixdvae.tracking.report.plots import picture_of
from pyro_mixdvae.tracking.result import TrackingResult

SIZE = (640, 480)
BLOCK, OVERLAP = 60, 10


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", BLOCK)
    monkeypatch.setattr(blocks, "OVERLAP", OVERLAP)


def film(n_frames: int, seed: int = 0) -> Array:
    """Detections [T, 3, 4]: two who walk there and back on ways that cross, now and then missed, and a false box."""
    rng = np.random.default_rng(seed)
    t = np.arange(n_frames)
    x = np.stack([320 + 220 * np.sin(t / 40), 320 - 220 * np.sin(t / 40 + 0.4)], -1)
    y = np.stack([200 + 0 * t, 230 + 0 * t], -1)
    boxes = np.stack([x - 20, y - 50, x + 20, y + 50], -1) + rng.normal(0, 0.8, (n_frames, 2, 4))
    boxes[rng.random((n_frames, 2)) < 0.1] = np.nan
    boxes[0] = [[300, 150, 340, 250], [226, 180, 266, 280]]
    false = np.full((n_frames, 1, 4), np.nan)
    there = rng.random(n_frames) < 0.1
    corner = rng.uniform(0, (600, 380), (n_frames, 2))
    false[there, 0] = np.concatenate([corner, corner + np.array([40, 100])], -1)[there]
    return np.concatenate([boxes, false], 1)


def tracked(boxes: Array, **choices: object) -> TrackingResult:
    return Tracker(2).track(boxes, SIZE, **choices)  # type: ignore[arg-type]


def test_blocks_join_to_what_one_block_gives(monkeypatch: pytest.MonkeyPatch, short_blocks: None) -> None:
    boxes = film(200)
    found = tracked(boxes, n_samples=2)
    monkeypatch.setattr(blocks, "BLOCK", 200)
    whole = tracked(boxes, n_samples=2)
    assert found.boxes.shape == (200, 2, 4)
    assert found.samples.shape == whole.samples.shape
    off = np.abs(found.boxes - whole.boxes).max((1, 2))
    assert np.median(off) < 0.5
    assert off.max() < 10
    assert (found.observed == whole.observed).mean() > 0.99
    shared = ~np.isnan(whole.responsibilities)
    np.testing.assert_array_equal(np.isnan(found.responsibilities), ~shared)
    assert (np.abs(found.responsibilities - whole.responsibilities)[shared] < 0.05).mean() > 0.98
    assert len(found.records) == len(whole.records)
    assert list(found.records[0]) == list(whole.records[0])


def test_a_film_of_one_block_is_tracked_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit, whether it is at most a block or less; and pieces are then one."""
    boxes = film(BLOCK)
    expected = tracked(boxes)
    monkeypatch.setattr(blocks, "BLOCK", BLOCK)
    monkeypatch.setattr(blocks, "OVERLAP", OVERLAP)
    (piece,) = Tracker(2).track_blocks(ArrayFilm.of(boxes, SIZE, None, None))
    assert piece.block == (0, BLOCK - 1)
    assert tracked(boxes) == expected
    # A piece does not keep the detections, of which the film has more.
    assert replace(piece, block=None) == replace(expected, detections=None, size=None)


def test_pieces_follow_on_one_another_and_blocks_overlap(short_blocks: None) -> None:
    boxes = film(200)
    pieces = list(Tracker(2).track_blocks(ArrayFilm.of(boxes, SIZE, None, None)))
    assert [piece.first for piece in pieces[1:]] == list(np.cumsum([len(piece.boxes) for piece in pieces])[:-1])
    assert sum(len(piece.boxes) for piece in pieces) == 200
    for before, after in itertools.pairwise(pieces):
        assert before.block is not None
        assert after.block is not None
        shared = before.block[1] + 1 - after.block[0]
        assert OVERLAP < shared <= 2 * OVERLAP
        assert before.block[1] + 1 - after.first >= OVERLAP // 2
        assert after.first - after.block[0] >= OVERLAP // 2
        assert after.block[1] - after.block[0] < BLOCK


def test_a_block_begins_where_all_are_seen_and_nobody_is_in_doubt() -> None:
    observed = np.ones((10, 2), bool)
    observed[[2, 3, 4, 7]] = False
    certain, doubtful = [1.0, 0.0, 0.0], [0.6, 0.4, 0.0]
    responsibilities = np.array([[certain if t in (1, 6, 8) else doubtful] for t in range(10)])
    nothing = np.zeros((10, 2, 4))
    result = TrackingResult(
        nothing, nothing, nothing, 0.9, observed, responsibilities, (), nothing[None][:0], first=100
    )
    assert blocks.surest_frame(result, 100, 110) == 106
    assert blocks.surest_frame(result, 102, 105) == 103
    assert blocks.surest_frame(result, 107, 110) == 108


def test_rates_are_those_of_the_film_and_the_noise_goes_on(short_blocks: None) -> None:
    """A false box stands in the first block alone: the others reckon with it too, and with the noise that was found."""
    boxes = film(150)
    boxes[BLOCK:, 2] = np.nan
    seen: list[tuple[float, float, bool]] = []
    tracker = Tracker(2)
    run = tracker._run

    def spy(sequences, model, n_samples):  # type: ignore[no-untyped-def]
        noise = model.likelihood.noise
        assert isinstance(noise, EstimatedNoise)
        seen.append((float(model.assignment.clutter), float(noise.relative), bool(model.assignment.hide > 0)))
        return run(sequences, model, n_samples)

    tracker._run = spy  # type: ignore[method-assign]
    tracker.track(boxes, SIZE)
    assert len(seen) >= 3
    assert len({clutter for clutter, _, _ in seen}) == 1
    assert all(hides for _, _, hides in seen)
    assert len({noise for _, noise, _ in seen}) == len(seen)


def test_points_go_in_blocks_and_their_motion_goes_on(short_blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = film(150)[:, :2]
    points = (boxes[..., :2] + boxes[..., 2:]) / 2
    begun: list[float] = []
    tracker = Tracker(2, "points")
    run = tracker._run

    def spy(sequences, model, n_samples):  # type: ignore[no-untyped-def]
        begun.append(float(model.sources.network.constants[1].mean()))
        return run(sequences, model, n_samples)

    monkeypatch.setattr(tracker, "_run", spy)
    found = tracker.track(points, SIZE, origin=0)
    monkeypatch.setattr(blocks, "BLOCK", 150)
    whole = tracker.track(points, SIZE, origin=0)
    assert (found.boxes.shape, found.origin, found.block) == ((150, 2, 2), 0, None)
    assert np.median(np.abs(found.boxes - whole.boxes)) < 0.5
    first, *others, _ = begun
    assert len(others) >= 2
    assert first not in others
    assert len(set(others)) == len(others)


def test_doubts_and_verdicts_are_of_the_whole_film(short_blocks: None) -> None:
    boxes = film(200)
    boxes[110:, 1] = np.nan
    pieces = list(Tracker(2).track_blocks(ArrayFilm.of(boxes, SIZE, None, None)))
    found = tracked(boxes)
    assert len(pieces) > 2
    assert all(piece.warnings == () for piece in pieces[:-1])
    assert pieces[-1].warnings == found.warnings
    told = [sentence for sentence in found.warnings if "is inference alone" in sentence]
    assert len(told) == 1
    assert "-200 is" in told[0]
    assert sorted(doubt for piece in pieces for doubt in piece.doubts) == sorted(found.doubts)
    assert [doubt.probability for doubt in found.doubts] == sorted(
        (doubt.probability for doubt in found.doubts), reverse=True
    )
    for piece in pieces:
        for doubt in piece.doubts:
            assert 0 <= (doubt.first + doubt.last) // 2 - piece.first < len(piece.boxes)


def test_who_is_not_seen_where_a_block_begins_is_as_unsure_there(short_blocks: None) -> None:
    """Through a gap of several blocks both stay in the image, as wide as in one block; and are found again."""
    boxes = film(320)
    boxes[30:290] = np.nan
    result = tracked(boxes)
    assert not any("outside" in sentence for sentence in result.warnings)
    gap = (result.upper - result.lower)[100:220]
    assert gap.min() > 100
    assert result.observed[295:].mean() > 0.8


def test_labels_of_a_later_block_count_there_and_ends_are_told(short_blocks: None) -> None:
    boxes = film(190)
    boxes[180:] = np.nan
    drawn = np.array([boxes[0, 0], boxes[0, 1], [400, 300, 440, 400]])
    result = Tracker(2).track(boxes, SIZE, Labels(np.array([0, 0, 150]), np.array([0, 1, 1]), drawn))
    np.testing.assert_allclose(result.boxes[150, 1], drawn[2], atol=3)
    long = np.concatenate([boxes, np.full((40_000, 3, 4), np.nan)])
    ends = tracked(long)
    assert ends.notes[0].startswith(f"Frames {len(ends.boxes) + 1} to 40190 have no boxes: the last detection is in")


def test_many_sequences_of_which_some_are_long(short_blocks: None) -> None:
    together = Tracker(2).track_many([film(40), film(130, 1)], [SIZE, SIZE])
    for found, boxes in zip(together, (film(40), film(130, 1)), strict=True):
        np.testing.assert_allclose(found.boxes, tracked(boxes).boxes, atol=1e-3)


def test_what_a_source_starts_with_is_no_surer_than_the_prior() -> None:
    sources = Tracker(2).preset.model.sources
    start = torch.tensor([[0.5, 0.5, -2.0, -1.0], [0.2, 0.2, -2.0, -1.0]])
    spread = torch.tensor([[0.4], [0.0]]).expand(2, 4)
    known = sources.known_within(start, spread)
    first = known.transition(known.init_state(start[None]), None).noise[0, ..., 0, 0].sqrt()
    own = sources.transition(sources.init_state(start[None]), None).noise[0, ..., 0, 0].sqrt()
    torch.testing.assert_close(first[0], spread[0].maximum(own[0]), **EXACT)
    torch.testing.assert_close(first[1], own[1], **EXACT)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "film.txt"
    path.write_text("".join(lines_of(film(2100))))
    return path


def lines_of(boxes: Array) -> Iterator[str]:
    for t, frame in enumerate(boxes):
        for x1, y1, x2, y2 in frame[~np.isnan(frame[:, 0])]:
            yield f"{t + 1},-1,{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{0.5 + 0.001 * (t % 9)}\n"


@pytest.mark.parametrize("is_sorted", [True, False])
def test_a_spooled_file_gives_the_frames_of_a_read_one(
    file: Path, is_sorted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows.read_in_parts, "__defaults__", (1000,))
    if not is_sorted:
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(lines[2000:] + lines[:2000]))
    found, expected = spooled.read_film(file), read_detections(file)
    assert isinstance(found, spooled.SpooledDetections)
    assert (found.size, found.size_is_guessed, found.name) == (expected.size, True, "film")
    np.testing.assert_array_equal(found.counts, expected.counts)
    for since, until in ((0, 2100), (500, 700), (2090, 2100), (0, 1)):
        boxes, confidence = found.frames(since, until)
        width = boxes.shape[1]
        np.testing.assert_array_equal(boxes, expected.boxes[since:until, :width])
        np.testing.assert_array_equal(confidence, expected.confidence[since:until, :width])
        assert np.isnan(expected.boxes[since:until, width:]).all()


def test_errors_of_long_files_name_their_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows.read_in_parts, "__defaults__", (1000,))
    lines = file.read_text().splitlines(keepends=True)
    for line, problem in (
        ("2000,-1,5,5,-3,4,1\n", "no width"),
        ("x\n", "column"),
        ("3,-1,5,5,3,4\n", "6 columns where line 1"),
    ):
        file.write_text("".join([*lines[:3000], line, *lines[3000:]]))
        with pytest.raises(InputError, match=rf"film.txt, line 3001: .*{problem}"):
            spooled.read_film(file)
    monkeypatch.setattr(spooled, "_spooled", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    file.write_text("".join(lines))
    with pytest.raises(InputError, match=r"no space left on device.*TMPDIR"):
        spooled.read_film(file)


@pytest.mark.usefixtures("unrendered", "short_blocks")
def test_the_command_writes_what_python_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooled, "BLOCK", BLOCK)
    file, output, n_frames = tmp_path / "film.txt", tmp_path / "out.txt", BLOCK + 20
    file.write_text("".join(lines_of(film(n_frames))))
    done = CliRunner().invoke(app, ["track", str(file), "-n", "2", "--size", "640x480", "-o", str(output)])
    assert done.exit_code == 0, done.output
    found = read_detections(file, SIZE)
    expected = Tracker(2).track(found.boxes, SIZE, confidence=found.confidence)
    np.testing.assert_allclose(read_results(output).boxes, expected.boxes, atol=0.011)
    boxes, whose, elbo = (
        (tmp_path / f"out.{name}.csv").read_text().splitlines() for name in ("boxes", "assignments", "elbo")
    )
    assert len(boxes) == 1 + n_frames * 2
    assert len(whose) == 1 + int(found.counts.sum())
    assert [line.split(",")[0] for line in boxes[1::2]] == [str(t + 1) for t in range(n_frames)]
    assert elbo[0].startswith("first_frame,last_frame,iteration,elbo")
    assert [line.split(",")[:3] for line in elbo[1:3]] == [["1", "62", "1"], ["1", "62", "2"]]
    assert (
        f"{n_frames} frames, {int(found.counts.sum())} detections, 2 sources: {int(expected.observed.sum())} boxes"
        in done.output
    )


def test_a_picture_of_a_long_film_shows_the_least_certain_of_each_few_frames() -> None:
    n_frames, step = 6000, 3
    whole = np.tile(np.array([[100.0, 100, 140, 200]]), (n_frames, 1, 1))
    responsibilities = np.tile(np.array([[1.0, 0.0]]), (n_frames, 1, 1))
    responsibilities[[3000, 5001], 0] = 0.5
    result = TrackingResult(
        whole, whole - 2, whole + 2, 0.9, np.ones((n_frames, 1), bool), responsibilities, (), whole[None][:0]
    )
    excerpts = Excerpts(n_frames)
    assert excerpts.step == step
    for since, until in ((0, 3000), (3000, n_frames)):
        excerpts.add(whole[since:until], blocks.part_of(result, since, until))
    shown = excerpts.excerpt()
    assert len(shown.numbers) == len(shown.boxes) == len(shown.result.boxes) <= n_frames // step + 2
    assert {3001, 5002} <= set(shown.numbers.tolist())
    assert (np.diff(shown.numbers) > 0).all()
    assert (shown.first, shown.last) == (1, n_frames)
    assert picture_of(shown, SIZE).startswith(b"\x89PNG")
