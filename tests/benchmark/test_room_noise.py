"""The script on two sounds in a noisy room."""

import json
from pathlib import Path

import numpy as np
import pytest
import room_noise
import torch
from small_sounds import folders


def test_it_says_what_noise_costs_and_whether_intervals_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_default_dtype(torch.float32)
    parts = [str(folder) for folder in folders(tmp_path)]
    room_noise.main([*parts, "--frames", "20", "--snr", "0", "5", "--count", "1", "-o", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert out == (tmp_path / "out/room_noise.md").read_text()
    gained, held = (
        [[cell.strip() for cell in line.split("|")[1:-1]] for line in part.splitlines() if line.startswith("| ")][2:]
        for part in out.split("Intervals of 90 %")
    )
    assert [row[0] for row in gained] == [row[0] for row in held] == ["T = 20", "hiss", "air"]
    assert [row[1] for row in gained] == ["2", "1", "1"]
    mixtures = json.loads((tmp_path / "out/room_noise.json").read_text())["mixtures"]
    gains = np.array([[found[0] for found in mixture["found"]] for mixture in mixtures])  # [mixtures, HEARD, 2]
    assert gained[0][2] == " / ".join(f"{gain:.1f}" for gain in gains.mean(0)[0])
    assert (gains[:, 0] != gains[:, 2]).all()  # the noise is heard
    ideal = np.array([mixture["ideal_loss"] for mixture in mixtures])
    assert ideal.mean() > 0
    assert gained[0][-1] == " / ".join(f"{loss:.2f}" for loss in ideal.mean(0))
    shares = np.array([[float(share) for share in cell.split(" / ")] for row in held for cell in row[1:]])
    assert ((shares >= 0) & (shares <= 1)).all()
    assert 0 < shares.mean() < 1


def test_a_noise_has_the_level_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_default_dtype(torch.float32)
    heard = []
    nothing = room_noise.Found((0.0, 0.0), (0.0, 0.0, 0.0), 1.0)
    monkeypatch.setattr(room_noise, "_ideal", lambda parts, stft: (0.0, 0.0))
    monkeypatch.setattr(room_noise, "_found", lambda parts, by: heard.append(parts) or [nothing])
    parts = [str(folder) for folder in folders(tmp_path)]
    room_noise.main([*parts, "--frames", "20", "--snr", "0", "--count", "1", "--below", "12"])
    (noisy,) = heard[2]
    level = noisy[2].std() / noisy[:2].sum(0).std()
    assert 20 * np.log10(level) == pytest.approx(-12)
    assert not heard[1][0, 2].any()
