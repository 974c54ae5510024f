"""The script that holds live separation to that of whole sounds."""

from pathlib import Path

import live_sound
import numpy as np
import pytest
import torch
from small_sounds import folders, low_and_high_weights


def test_it_says_what_is_lost_and_how_long_it_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_default_dtype(torch.float32)
    weights = low_and_high_weights(tmp_path)
    recordings = folders(tmp_path)
    options = ["--sources", *weights, "--snr", "-5", "5", "--count", "1", "--frames", "40", "--minutes", "0.02"]
    live_sound.main([*map(str, recordings), *options, "--hop", "0.1", "--iterations", "1"])
    out = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    assert [row[:2] for row in rows if row[0] in ("-5", "5", "all")] == [["-5", "1"], ["5", "1"], ["all", "2"]]
    (found,) = [row for row in rows if row[0] == "all"]
    whole, live, loss = (np.array(cell.split(" / "), float) for cell in found[2:5])
    np.testing.assert_allclose(whole - live, loss, atol=0.011)
    latency, seen, factor, slowest = (float(cell) for cell in rows[rows.index(found) + 3])
    assert 0.15 < seen <= latency == 0.164
    assert 0 < factor <= slowest
    assert [row[0] for row in rows[-2:]] == ["0.01", "0.02"]
    assert all(float(row[1]) > 10 for row in rows[-2:])


def test_folders_that_cannot_be_used_end_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="does not exist"):
        live_sound.main([str(tmp_path / "none"), str(tmp_path)])
