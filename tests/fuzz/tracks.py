"""What holds for every result of tracking, read off its files."""

import csv
from pathlib import Path

import numpy as np
from fuzz.workplace import finite

STATUS = ("observed", "inferred")


def check_tracks(result: Path, n_sources: int, comes: bool = False) -> None:
    """Every source in every frame, every number finite, limits around boxes, probabilities that sum to 1.

    Sources that come and go may lack rows.
    """
    boxes = _rows(result.with_suffix(".boxes.csv"))
    frames = sorted({int(row["frame"]) for row in boxes})
    pairs = [(int(row["frame"]), int(row["source"])) for row in boxes]
    every = [(t, n) for t in frames for n in range(1, n_sources + 1)]
    assert pairs == ([pair for pair in every if pair in set(pairs)] if comes else every)
    if not comes:
        assert frames == list(range(frames[0], frames[-1] + 1)), "a frame is missing"
    for row in boxes:
        assert row["status"] in STATUS
        for corner in ("x1", "y1", "x2", "y2"):
            assert finite(row[f"{corner}_low"]) < finite(row[f"{corner}_high"]), row
        assert finite(row["width"]) > 0, row
        assert finite(row["height"]) > 0, row
        finite(row["left"]), finite(row["top"])
    lines = [[finite(cell) for cell in line.split(",")] for line in result.read_text().splitlines()]
    assert [(int(row[0]), int(row[1])) for row in sorted(lines)] == pairs
    for row in _rows(result.with_suffix(".assignments.csv")):
        shares = [finite(row[name]) for name in [*(f"source_{n + 1}" for n in range(n_sources)), "none"]]
        assert min(shares) >= 0, row
        np.testing.assert_allclose(sum(shares), 1, atol=1e-3)
        assert finite(row["entropy_bits"]) >= 0, row
    for row in _rows(result.with_suffix(".elbo.csv")):
        for cell in row.values():
            assert cell == "" or finite(cell) is not None
    samples = result.with_suffix(".samples.csv")
    if samples.exists():
        for row in _rows(samples):
            for cell in row.values():
                finite(cell)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
