import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from pyro_mixdvae.benchmark.samples.sample_list import SampleList, SampleOptions, draw_list, format_list, read_list
from pyro_mixdvae.benchmark.samples.trials import ABSENT, CLUTTER, Difficulty, make_trial
from pyro_mixdvae.benchmark.samples.triples import make_triples
from pyro_mixdvae.errors import InputError

HARD = SampleOptions(extra_misses=0.2, clutter=1.5, seed=3)


def same(a: SampleList, b: SampleList) -> bool:
    pairs = zip(a.trials, b.trials, strict=True)
    arrays = [(x.detections, y.detections, x.confidence, y.confidence, x.owner, y.owner) for x, y in pairs]
    return a.samples == b.samples and all(
        np.array_equal(x, y, equal_nan=True) for row in arrays for x, y in zip(row[::2], row[1::2], strict=True)
    )


def test_the_list_is_written_and_read_back(data: Path, tmp_path: Path) -> None:
    drawn = draw_list(data, [20, 40], HARD)
    path = tmp_path / "samples.json"
    path.write_text(format_list(drawn))
    assert same(read_list(path, data), drawn)
    assert read_list(path, data).options == HARD
    alone = read_list(path, data, [40])
    assert {sample.n_frames for sample in alone.samples} == {40}
    assert same(alone, draw_list(data, [40], HARD))


def test_other_data_and_other_files_are_noticed(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "samples.json"
    path.write_text(format_list(draw_list(data, [20], HARD)))
    other = shutil.copytree(data, tmp_path / "other")
    file = other / "SEQ-B" / "det" / "det.txt"
    frame, number, left, rest = file.read_text().split(",", 3)
    file.write_text(f"{frame},{number},{float(left) + 0.5},{rest}")
    with pytest.raises(InputError, match="not those that the list was made from"):
        read_list(path, other)
    shutil.rmtree(other / "SEQ-B")
    with pytest.raises(InputError, match="no sequence SEQ-B"):
        read_list(path, other)
    for text in ("", "[]", json.dumps({"format": 2, "kind": "triples", "options": {}, "samples": [{}]})):
        path.write_text(text)
        with pytest.raises(InputError, match="no list of samples"):
            read_list(path, data)
    with pytest.raises(InputError, match="no window of 41 frames"):
        draw_list(data, [41], HARD)


def test_difficulty_takes_away_and_adds_what_it_says(data: Path) -> None:
    samples = make_triples([data / "SEQ-A"], n_frames=40) * 20
    spared, rest = slice(0, 5), slice(5, None)
    kept, false, before = [], [], []
    for seed, sample in enumerate(samples):
        trial = make_trial(sample, Difficulty(extra_misses=0.25, clutter=1.5), seed)
        assert (np.isnan(trial.detections[..., 0]) == (trial.owner == ABSENT)).all()
        assert (trial.owner[spared] >= 0).sum() == 15
        assert not (trial.owner[spared] == CLUTTER).any()
        for target in range(3):
            frame, column = np.nonzero(trial.owner == target)
            np.testing.assert_array_equal(trial.detections[frame, column], sample.detections[frame, target])
        before.append((~np.isnan(sample.confidence[rest])).sum())
        kept.append((trial.owner[rest] >= 0).sum())
        false.append((trial.owner[rest] == CLUTTER).sum())
    draws = np.sum(before)
    assert np.sum(kept) / draws == pytest.approx(0.75, abs=4 * np.sqrt(0.25 * 0.75 / draws))
    frames = 35 * len(samples)
    assert np.sum(false) / frames == pytest.approx(1.5, abs=4 * np.sqrt(1.5 / frames))


def test_the_order_of_detections_says_nothing(data: Path) -> None:
    owners = np.concatenate([trial.owner for trial in draw_list(data, [20], SampleOptions()).trials])
    share = (owners[owners[:, 0] >= 0, 0] == 0).mean()
    assert 0.2 < share < 0.46
