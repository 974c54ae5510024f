"""The script on sounds of which each is silent for a while."""

import json
from pathlib import Path

import numpy as np
import pytest
import silent_sources
import torch
from small_sounds import folders


def test_given_silence_leaks_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_default_dtype(torch.float32)
    parts = [str(folder) for folder in folders(tmp_path)]
    silent_sources.main([*parts, "--frames", "30", "--snr", "0", "--count", "1", "-o", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert out == (tmp_path / "out/silent_sources.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")][2:]
    assert [row[0] for row in rows[:3]] == [f"each silent for a while, {way}" for way in silent_sources.WAYS]
    assert len(rows) == 6
    assert rows[2][4:] == ["1.00 / 1.00", "1.00 / 1.00"]  # of what is given all is found, and all is right
    assert rows[0][4:] == ["0.00 / 0.00", "– / –"]
    assert {row[3] for row in rows[3:]} == {"– / –"}
    scored = json.loads((tmp_path / "out/silent_sources.json").read_text())["mixtures"]
    known = {row["way"]: row for row in scored if row["is_cut"]}
    assert np.array(known["given"]["leaked"]).sum() < 1e-3 * np.array(known["always sounding"]["leaked"]).sum()
