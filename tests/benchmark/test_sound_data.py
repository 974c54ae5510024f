"""The script that says how much clean sound methods need."""

import json
from pathlib import Path

import numpy as np
import pytest
import sound_data
import soundfile
from small_sounds import folders, save_weights


@pytest.mark.slow
def test_more_minutes_hold_those_of_fewer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = [save_weights(tmp_path / f"{name}.safetensors") for name in ("speech", "flute")]
    data, train = folders(tmp_path / "data"), folders(tmp_path / "clips", 12.0, seed=3)
    out = tmp_path / "out"
    options = [
        *data, "--train", *train, "--minutes", 0.1, 0.3, "--methods", "supervised", "--steps", 3, "--frames", 20,
        "--count", 1, "--sources", *weights, "-o", out,
    ]  # fmt: skip
    sound_data.main([*map(str, options)])
    header = capsys.readouterr().out.strip().splitlines()[-6].strip("|").split("|")
    assert [cell.strip() for cell in header] == ["method", "source", "0.1 min", "0.3 min"]
    rows = json.loads((out / "sound_data.json").read_text())["rows"]
    assert {(row["minutes"], row["method"]) for row in rows} == {
        (minutes, method) for minutes in (0.1, 0.3) for method in ("mixture", "supervised")
    }
    assert (out / "sound_data.png").read_bytes().startswith(b"\x89PNG")
    for name in sound_data.NAMES:
        few, more = (
            {path.name: soundfile.read(path)[0] for path in (out / f"{m}_minutes_of_clips" / name).iterdir()}
            for m in (0.1, 0.3)
        )
        assert sum(map(len, few.values())) == 0.1 * 60 * 16_000
        for number, samples in few.items():
            np.testing.assert_array_equal(samples, more[number][: len(samples)])
