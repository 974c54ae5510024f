"""``mixdvae track``, ``eval``, ``report`` and ``render`` of poses: files in, files out, and what cannot be."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pyro_mixdvae.engines.registry import only_torch
from pyro_mixdvae.reporting.palette import colour_of
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.runs import read_run
from pyro_mixdvae.tracking.files.tracks import read_results
from pyro_mixdvae.tracking.poses import parts_of

Run = Callable[..., tuple[int, str, str]]
PARTS = ("nose", "back, left", "tail")
COMPANIONS = (".points.csv", ".parts.csv", ".assignments.csv", ".check.csv", ".elbo.csv", ".model.toml", ".png")


def true_poses() -> Array:
    """Two animals that pass each other in 8 frames, [8, 2, 3, 2]."""
    t = np.arange(8)[:, None, None]
    shape = np.array([[8.0, 0.0], [0.0, 3.0], [-8.0, 0.0]])
    return np.stack([np.array([30.0, 40.0]) + shape + t * [4, 0], np.array([90.0, 70.0]) - shape - t * [4, 0]], 1)


def deeplabcut(poses: Array, unseen: Callable[[int, int, int], bool] = lambda t, n, p: False) -> str:
    quoted = [f'"{name}"' if "," in name else name for name in PARTS]
    header = [
        ["scorer", *["net"] * 18],
        ["individuals", *["one"] * 9, *["two"] * 9],
        ["bodyparts", *[name for name in quoted for _ in range(3)] * 2],
        ["coords", *["x", "y", "likelihood"] * 6],
    ]
    rows = [
        [str(t), *(
            cell
            for n in range(2)
            for p in range(3)
            for cell in (f"{poses[t, n, p, 0]}", f"{poses[t, n, p, 1]}", "0.1" if unseen(t, n, p) else "0.95")
        )]
        for t in range(len(poses))
    ]  # fmt: skip
    return "\n".join(",".join(line) for line in [*header, *rows]) + "\n"


@pytest.fixture
def poses(tmp_path: Path) -> Path:
    """As DeepLabCut writes them: the tail of the first is not seen in frame 3, all of the second not in frame 5."""
    path = tmp_path / "mice.csv"
    path.write_text(deeplabcut(true_poses(), lambda t, n, p: (t, n, p) == (3, 0, 2) or (t, n) == (5, 1)))
    return path


def test_poses_in_and_poses_out(mixdvae: Run, poses: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    out_file = tmp_path / "out" / "two.csv"
    with only_torch():
        code, out, err = mixdvae("track", poses, "-n", "2", "-o", out_file)
    assert (code, "Traceback" in err) == (0, False)
    assert '15 poses (parts nose, "back, left", tail) in pixels, frames 0 to 7, numbered from 0' in err
    assert "15 poses observed (94 %), 1 inferred" in out
    for suffix in COMPANIONS:
        assert out_file.with_suffix(suffix).stat().st_size > 0
    found = read_results(out_file)
    assert found.parts == PARTS
    assert np.abs(parts_of(found.boxes) - true_poses()).max() < 2
    table = list(csv.DictReader(out_file.with_suffix(".parts.csv").read_text().splitlines()))
    inferred = {(row["frame"], row["source"], row["part"]) for row in table if row["status"] == "inferred"}
    assert inferred == {("3", "1", "tail"), *(("5", "2", name) for name in PARTS)}
    assert all(float(row["x_low"]) < float(row["x"]) < float(row["x_high"]) for row in table)
    line = out_file.read_text().splitlines()[4 + 3].split(",")
    assert (line[0], line[3], line[9]) == ("3", "1.0", "0.6")
    run = read_run(out_file).result
    assert run.parts is not None
    assert (~run.parts.observed).sum() == 4
    assert (run.parts.lower < run.poses).all()

    truth = tmp_path / "truth.csv"
    truth.write_text(deeplabcut(true_poses()))
    code, out, err = mixdvae("eval", out_file, "--gt", truth, "--within", "5")
    assert (code, err) == (0, "")
    assert "the mean over the parts that the ground truth has" in out
    assert "1.000" in out
    code, _, err = mixdvae("eval", out_file, "--gt", truth)
    assert (code, "holds poses, which do not overlap" in err) == (2, True)
    request.getfixturevalue("unrendered")
    with only_torch():
        again = mixdvae("track", poses, "--model", out_file.with_suffix(".model.toml"), "-o", tmp_path / "again.csv")
    assert again[0] == 0
    assert (tmp_path / "again.csv").read_text() == out_file.read_text()


def test_poses_are_drawn_and_shown(mixdvae: Run, poses: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any tracker; those of ours have tables beside them. No line leads to a part that nobody saw."""
    line = ImageDraw.ImageDraw.line

    def to_a_place(pen: ImageDraw.ImageDraw, places: Sequence[Sequence[float]], **options: object) -> None:
        assert np.isfinite(places).all()
        line(pen, places, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "line", to_a_place)
    for verb, arguments in (
        ("render", (poses, poses, "-o", tmp_path / "a.gif", "-q", "--size", "160x120")),
        ("report", (poses, "-o", tmp_path / "a.html", "-q")),
    ):
        code, _, err = mixdvae(verb, *arguments)
        assert (code, err) == (0, "")
    with Image.open(tmp_path / "a.gif") as film:
        film.seek(3)
        shown = np.asarray(film.convert("RGB")).astype(int)
    for n, colour in enumerate((colour_of(0), colour_of(1))):
        x, y = true_poses()[3, n, 0].round().astype(int)
        assert np.abs(shown[y, x] - list(bytes.fromhex(colour[1:]))).max() < 40


def test_what_cannot_be_done_with_poses_is_one_sentence(mixdvae: Run, poses: Path, tmp_path: Path) -> None:
    (tmp_path / "fixes.csv").write_text("frame,kind,source,other,until,x1,y1,x2,y2\n3,swap,1,2,,,,,\n")
    for arguments, says in (
        (("--corrections", tmp_path / "fixes.csv"), "Corrections are of boxes and points"),
        (("--preset", "vkf"), 'take the preset "poses"'),
        (("--preset", "points"), 'take the preset "poses"'),
    ):
        code, _, err = mixdvae("track", poses, "-n", "2", "-o", tmp_path / "x.csv", *arguments)
        assert (code, says in err) == (2, True)
    code, _, err = mixdvae("train", "boxes", "--tracks", poses, "-o", tmp_path / "x.safetensors")
    assert (code, "a motion of boxes is learned" in err) == (2, True)


def test_a_point_says_which_pose_is_which(mixdvae: Run, poses: Path, tmp_path: Path) -> None:
    out_file = tmp_path / "two.csv"
    with only_torch():
        code, _, _ = mixdvae("track", poses, "-n", "2", "-o", out_file, "--labels", "0:91,70;29,40", "--no-report")
    assert code == 0
    assert np.abs(parts_of(read_results(out_file).boxes) - true_poses()[:, ::-1]).max() < 2
