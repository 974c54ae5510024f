from collections.abc import Callable
from pathlib import Path

import pytest

from pyro_mixdvae.cli.demo import SCENES
from pyro_mixdvae.tracking.files.tracks import read_ground_truth, read_results

Run = Callable[..., tuple[int, str, str]]


def test_three_pedestrians_twice(mixdvae: Run, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    output = tmp_path / "demo"
    code, out, err = mixdvae("demo", "-o", output)
    assert (code, err) == (0, "")
    assert out.count("What is scored") == len(SCENES)
    overall = next(line.split() for line in out.splitlines() if line.split()[:1] == ["OVERALL"])
    assert float(overall[1]) > 0.8  # MOTA
    assert float(overall[4]) > 0.9  # IDF1
    assert str(output) in out.splitlines()[-1]
    warnings = [line for line in out.splitlines() if ": Warning: " in line]
    # Of Stadtmitte's six pedestrians three are followed, and the others are there.
    assert {line.split(" Warning: ")[0] for line in warnings} == {"TUD-Stadtmitte:"}
    kinds = {" ".join(line.split(" Warning: ")[1].split()[:3]) for line in warnings}
    assert "3 sources were" in kinds
    assert kinds <= {"3 sources were", "Names may have"}
    for scene in SCENES:
        tracks = read_results(output / f"{scene.name}.txt")
        truth = read_ground_truth(output / "sequences" / scene.name)
        assert tracks.boxes.shape == truth.boxes.shape == (scene.last - scene.first + 1, 3, 4)
        assert (output / f"{scene.name}.png").exists()

    request.getfixturevalue("unrendered")
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file() and path.suffix != ".png"}
    code, out, err = mixdvae("demo", "-o", output)
    assert (code, out) == (2, "")
    assert "--overwrite" in err
    assert mixdvae("demo", "-o", output, "--overwrite")[0] == 0
    assert {path: path.read_bytes() for path in before} == before
