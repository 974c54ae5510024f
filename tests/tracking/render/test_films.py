"""Tracks as films: what is drawn where, over what, and that films can be read again."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.reporting.palette import MARK, colour_of
from pyro_mixdvae.tracking.doubts import Doubt
from pyro_mixdvae.tracking.files.runs import Run
from pyro_mixdvae.tracking.render.drawing import Artist
from pyro_mixdvae.tracking.render.films import render
from pyro_mixdvae.tracking.render.grounds import PLAIN, ImageGround, PlainGround, ground_of
from pyro_mixdvae.tracking.result import TrackingResult

Command = Callable[..., tuple[int, str, str]]
SIZE = (160, 120)
# imageio-ffmpeg leaves it to Python to close its pipes.
PIPES = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


@pytest.fixture
def run() -> Run:
    """Of 40 frames from frame 3 on: source 1 stands and is observed to frame 12; source 3 of three is absent."""
    boxes = np.tile([[40.0, 40, 60, 80], [100, 40, 120, 80], [np.nan] * 4], (40, 1, 1))
    observed = np.ones((40, 3), bool)
    observed[10:, 0] = False
    result = TrackingResult(
        boxes, boxes - 6, boxes + 6, 0.9, observed, np.full((40, 0, 4), np.nan), (), np.zeros((0, 40, 3, 4)), first=2
    )
    return Run.of(replace(result, doubts=(Doubt(32, 33, (0, 1), 0.4),)))


def drawn(run: Run, t: int) -> np.ndarray:
    image = Image.new("RGB", SIZE, PLAIN)
    Artist(run, rate=10).draw(image, t)
    return np.asarray(image)


def test_an_observed_box_is_solid_an_inferred_one_dashed(run: Run) -> None:
    blue = rgb(colour_of(0))
    left = [(drawn(run, t)[45:75, 40] == blue).all(-1) for t in (0, 20)]
    assert left[0].all()
    assert 0.3 < left[1].mean() < 0.8


def test_the_interval_is_a_shade_around_the_edge(run: Run) -> None:
    image = drawn(run, 0).astype(int)
    shade = image[60, 35]  # between 34 and 46 the left edge may lie
    assert (shade < PLAIN).all()
    assert (shade == image[60, 44]).all()
    assert (image[60, 52] == PLAIN).all()  # within the box
    assert (image[60, 20] == PLAIN).all()


def test_doubt_is_framed_named_and_shown_on_the_bar(run: Run) -> None:
    yellow = rgb(MARK)
    calm, doubtful = drawn(run, 0), drawn(run, 28)  # half a second before frame 32 of the film
    assert (doubtful[50:70, 36] == yellow).all()
    assert not (calm[50:70, 36] == yellow).all()
    bar = (calm[-3] == yellow).all(-1)
    assert bar[int(30.5 / 40 * 160)]
    assert bar.mean() < 0.1


def test_who_is_absent_is_not_drawn(run: Run) -> None:
    green = rgb(colour_of(2))
    assert not (drawn(run, 0) == green).all(-1).any()


def test_points_are_discs(run: Run) -> None:
    points = np.tile([[50.0, 60]], (5, 1, 1))
    result = TrackingResult(
        points, points - 9, points + 9, 0.9, np.ones((5, 1), bool), np.full((5, 0, 2), np.nan), (), points[:0]
    )
    image = drawn(Run.of(result), 2)
    assert tuple(image[60, 50]) == rgb(colour_of(0))
    assert (image[60, 44] < PLAIN).all()  # the band


def test_a_gif_has_all_frames_in_their_rate(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    told: list[int] = []
    assert render(run, PlainGround(SIZE), path, rate=20, scale=2, tell=told.append) == 40
    assert told == list(range(1, 41))
    with Image.open(path) as film:
        assert (film.n_frames, film.size, film.info["duration"]) == (40, (320, 240), 50)
        film.seek(39)
        assert (np.asarray(film.convert("RGB"))[-4, 315] != PLAIN).any()
    with pytest.raises(InputError, match="exists already"):
        render(run, PlainGround(SIZE), path)
    with pytest.raises(InputError, match=r"does not end in \.mp4 or \.gif"):
        render(run, PlainGround(SIZE), tmp_path / "film.txt")


@PIPES
def test_an_mp4_is_read_again_and_drawn_over(run: Run, tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    plain, over = tmp_path / "plain.mp4", tmp_path / "over.mp4"
    odd = PlainGround((161, 121), rate=12.0)
    # The tracks begin with the third frame of a film: one that ends with frame 30 has 28 of them.
    assert render(replace(run, result=replace(run.result, first=0)), odd, plain, stretch=(0, 29)) == 30
    frames = ffmpeg.read_frames(str(plain), pix_fmt="rgb24")
    about = next(frames)
    frames.close()
    assert (about["size"], about["fps"]) == ((162, 122), 12)
    ground = ground_of(plain, (1, 1))
    assert (ground.size, ground.rate) == ((162, 122), 12)
    assert render(run, ground, over) == 28
    colours = np.asarray(next(ground_of(over, (1, 1)).images(0, (162, 122)))).astype(int)
    assert np.abs(colours[60, 20] - PLAIN).max() < 12


@PIPES
def test_what_is_no_film_is_told(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "no.mp4"
    path.write_text("no film")
    with pytest.raises(InputError, match="is no film that ffmpeg reads"):
        ground_of(path, (1, 1))


def test_large_images_become_a_smaller_film(run: Run, tmp_path: Path) -> None:
    large = replace(run, result=replace(run.result, boxes=24 * run.result.boxes))
    assert render(large, PlainGround((3840, 2880)), tmp_path / "film.gif", stretch=(0, 1)) == 2
    with Image.open(tmp_path / "film.gif") as film:
        assert film.size == (1920, 1440)


def test_images_are_taken_by_their_numbers(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "SEQ" / "img1"
    folder.mkdir(parents=True)
    for number in range(1, 13):
        Image.new("RGB", SIZE, (20 * number, 0, 0)).save(folder / f"{number}.png")
    (tmp_path / "SEQ" / "seqinfo.ini").write_text("[Sequence]\nimWidth=160\nimHeight=120\nframeRate=5\n")
    ground = ground_of(tmp_path / "SEQ", (1, 1))
    assert isinstance(ground, ImageGround)
    assert (ground.rate, ground.size) == (5, SIZE)
    assert [image.getpixel((0, 0))[0] for image in ground.images(2, SIZE)] == [20 * number for number in range(3, 13)]
    assert render(run, ground, tmp_path / "short.gif") == 10
    (folder / "4.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"4\.png is no image"):
        render(run, ground, tmp_path / "broken.gif")
    assert not (tmp_path / "broken.gif").exists()
    with pytest.raises(InputError, match="end before frame 43"):
        render(replace(run, result=replace(run.result, first=42)), ground, tmp_path / "late.gif")


@pytest.mark.usefixtures("unrendered")
def test_the_command_draws_what_track_wrote(run: Run, mixdvae: Command, tmp_path: Path) -> None:
    tracks, film = tmp_path / "tracks.txt", tmp_path / "film.gif"
    own = run.result
    boxes, eta = own.boxes[:, :2], np.full((40, 0, 3), np.nan)
    two = TrackingResult(
        boxes, boxes - 6, boxes + 6, 0.9, own.observed[:, :2], eta, (), boxes[None][:0], first=2, doubts=own.doubts
    )
    two.save(tmp_path)
    det = tmp_path / "det.txt"
    det.write_text("1,-1,1,1,5,5\n")
    code, out, err = mixdvae(
        "render", det, tracks, "-o", film, "--names", "Ann, Bob", "--from", 5, "--to", 9, "--size", "160x120", "-q"
    )
    assert (code, out, err) == (0, "", "")
    with Image.open(film) as written:
        assert (written.n_frames, written.size) == (5, SIZE)
    for options, message in (
        (("--overwrite", "--from", 2), "Frames 2 to 42 are not all there: the tracks have 3 to 42."),
        (("--overwrite", "--names", "Ann"), "1 name for 2 sources"),
        (("--overwrite", "--rate", 0), "--rate is 0"),
        (("--overwrite", "--scale", 1000), "more than 16384 pixels"),
        ((), "exists already"),
    ):
        code, out, err = mixdvae("render", det, tracks, "-o", film, *options)
        assert (code, out) == (2, "")
        assert message in err
    code, _, err = mixdvae("render", det, tracks, "-o", tracks, "--overwrite")
    assert code == 2
    assert "is an input" in err


@PIPES
def test_an_mp4_without_the_extra_is_told(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(InputError, match=r"pyro-mixdvae\[video\]"):
        render(run, PlainGround(SIZE), tmp_path / "film.mp4")
