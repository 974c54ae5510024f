"""The posed mice are what their docstring says, and the script compares both ways to track them."""

import numpy as np
import pytest
from posed_mice import main, mice


def test_parts_are_missing_and_so_are_whole_animals() -> None:
    true, seen = mice(3, 200, 5, missing=0.2, away=0.02, seed=4)
    np.testing.assert_array_equal(mice(3, 200, 5, missing=0.2, away=0.02, seed=4).seen, seen)
    assert true.shape == seen.shape == (200, 3, 5, 2)
    assert np.isfinite(true).all()
    there = ~np.isnan(seen[..., 0])
    assert there[0].all()
    is_seen = there.any(2)
    assert 0.8 < is_seen.mean() < 0.99
    assert 0.75 < there[is_seen].mean() < 0.85
    apart = np.linalg.norm(seen[:, :, None] - true[:, None], axis=-1)
    nearest = np.nanmin(np.nanmean(np.where(is_seen[:, :, None, None], apart, 1e9), -1), 2)
    assert nearest[is_seen].mean() < 3.0
    length = np.linalg.norm(true[:, :, 0] - true[:, :, -1], axis=-1)
    assert length.min() > 35.0
    assert length.max() < 40.0


def test_the_script_prints_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--frames", "12", "--seeds", "1", "--animals", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "all parts" in lines[1]
    assert "mean of seen parts" in lines[2]
