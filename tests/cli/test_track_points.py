"""``mixdvae track`` and ``eval`` of points: files in, files out, and what cannot be."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pyro_mixdvae.engines.registry import only_torch

Run = Callable[..., tuple[int, str, str]]
COMPANIONS = (".points.csv", ".assignments.csv", ".elbo.csv", ".model.toml", ".png")


@pytest.fixture
def points(tmp_path: Path) -> Path:
    """Two points that walk towards each other in frames 0 to 7, one of them missed in frame 5."""
    rows = [
        f"{x:.2f},{y:.2f},{t}"
        for t in range(8)
        for n, (x, y) in enumerate(((20 + 3 * t, 40.5), (200 - 3 * t, 60.5)))
        if (t, n) != (5, 1)
    ]
    path = tmp_path / "walkers.csv"
    path.write_text("\n".join(["x,y,frame", *rows]))
    return path


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_points_in_and_points_out_in_the_numbering_of_the_film(
    mixdvae: Run, points: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    out_file = tmp_path / "out" / "two.csv"
    with only_torch():
        code, out, err = mixdvae("track", points, "-n", "2", "-o", out_file, "--samples", "1")
    assert (code, "Traceback" in err) == (0, False)
    assert "15 points (x, y) in pixels, frames 0 to 7, numbered from 0" in err
    assert "15 points observed (94 %), 1 inferred" in out
    found = read(out_file)
    assert list(found[0]) == ["frame", "id", "x", "y"]
    assert [(row["frame"], row["id"]) for row in found[:3]] == [("0", "1"), ("0", "2"), ("1", "1")]
    place = np.array([[float(row["x"]), float(row["y"])] for row in found]).reshape(8, 2, 2)
    assert np.abs(place[:, 0] - [[20 + 3 * t, 40.5] for t in range(8)]).max() < 2
    for suffix in (*COMPANIONS, ".samples.csv"):
        assert out_file.with_suffix(suffix).stat().st_size > 0
    table = read(out_file.with_suffix(".points.csv"))
    assert [row["status"] for row in table].count("inferred") == 1
    assert all(float(row["x_low"]) < float(row["x"]) < float(row["x_high"]) for row in table)
    code, out, err = mixdvae("eval", out_file, "--gt", out_file, "--within", "5")
    assert (code, err) == (0, "")
    assert "Centres match that are at most 5 pixels apart" in out
    code, _, err = mixdvae("eval", out_file, "--gt", out_file)
    assert code == 2
    assert "say how near is near, as --within 10" in err
    request.getfixturevalue("unrendered")
    with only_torch():
        again = mixdvae("track", points, "--model", out_file.with_suffix(".model.toml"), "-o", tmp_path / "again.csv")
    assert again[0] == 0
    assert (tmp_path / "again.csv").read_text() == out_file.read_text()


def test_labels_say_which_point_is_which(mixdvae: Run, points: Path, tmp_path: Path) -> None:
    out_file = tmp_path / "two.csv"
    init = "0:200,60.5;20,40.5"
    with only_torch():
        code, _, _ = mixdvae("track", points, "-n", "2", "-o", out_file, "--labels", init, "--no-report")
    assert code == 0
    assert [round(float(row["x"])) for row in read(out_file)[:2]] == [200, 20]
    code, _, err = mixdvae("track", points, "-n", "2", "-o", tmp_path / "x.csv", "--labels", "0:1,2,3,4")
    assert (code, "'1,2,3,4' is no point" in err) == (2, True)


def test_points_are_followed_while_they_come(mixdvae: Run, points: Path) -> None:
    """In the numbering of the stream, from where a label says, a line for each in every frame."""
    with only_torch():
        code, out, _ = mixdvae(
            *("track", points, "--live", "-n", "2", "--size", "300x200", "--lag", "3", "--labels", "0:200,60.5;20,40.5")
        )
    lines = out.splitlines()
    assert (code, lines[0], len(lines)) == (0, "frame,id,x,y", 1 + 2 * 8)
    assert [line.split(",")[0] for line in lines[1::2]] == [str(frame) for frame in range(8)]
    assert [round(float(line.split(",")[2])) for line in lines[1:3]] == [200, 20]


def test_what_cannot_be_done_with_points_is_one_sentence(mixdvae: Run, points: Path, tmp_path: Path) -> None:
    for arguments, says in (
        (("--preset", "vkf"), 'take the preset "points"'),
        (("--live", "--size", "300x200", "--preset", "vkf"), 'take the preset "points"'),
        (("--size", "100x100"), "lies outside the image of 100x100 pixels"),
    ):
        code, _, err = mixdvae("track", points, "-n", "2", *arguments)
        assert code == 2
        assert says in err
        assert len(err.splitlines()) <= 3
    boxes = tmp_path / "det.txt"
    boxes.write_text("1,-1,1,2,3,4\n")
    code, _, err = mixdvae("track", boxes, "-n", "1", "--preset", "points", "-o", tmp_path / "out.txt")
    assert (code, 'take the preset "default"' in err) == (2, True)
    code, _, err = mixdvae("track", boxes, "-n", "1", "--live", "--size", "9x9", "--preset", "points")
    assert (code, 'take the preset "default"' in err) == (2, True)
