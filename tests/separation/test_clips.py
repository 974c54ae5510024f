"""What is learnt from a folder of recordings, what is left out of it, and why."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.separation.audio.reading import SoundReader
from pyro_mixdvae.separation.recordings.clips import LEVEL, Clips, check_clips, hold_out, read_clips
from pyro_mixdvae.separation.recordings.quality import loudness

RATE = 16000
LEAST = 4000


def tone(seconds: float, rate: int = RATE, loudness: float = 0.3) -> np.ndarray:
    return loudness * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def test_clips_are_mono_at_the_rate_of_the_model_trimmed_and_as_loud_as_each_other(tmp_path: Path) -> None:
    left = np.concatenate([np.zeros(22050), tone(1, 44100), np.zeros(44100)])
    write(tmp_path / "deep" / "a.flac", np.stack([left, 0.5 * left], -1), 44100)
    write(tmp_path / "b.wav", tone(0.5, 8000), 8000)
    clips = read_clips([tmp_path], RATE, LEAST)
    assert [path.name for path in clips.paths] == ["b.wav", "a.flac"]
    assert not clips.skipped
    for samples, seconds in zip(clips.samples, (0.5, 1.0), strict=True):
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        assert abs(len(samples) - seconds * RATE) < 1500  # a frame of the trimming at either end
        assert loudness(samples) == pytest.approx(LEVEL, abs=0.01)
    assert clips.n_samples == sum(map(len, clips.samples))


def test_what_cannot_be_used_is_skipped_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path / "good.wav", tone(1))
    (tmp_path / "text.wav").write_text("no sound")
    (tmp_path / "empty.flac").write_bytes(b"")
    write(tmp_path / "nan.wav", np.append(tone(1), np.nan), subtype="FLOAT")
    write(tmp_path / "short.wav", tone(0.2))
    write(tmp_path / "burst.wav", np.concatenate([np.zeros(RATE), tone(0.1), np.zeros(RATE)]))
    write(tmp_path / "silent.wav", np.zeros(RATE))
    write(tmp_path / "dither.wav", np.random.default_rng(0).integers(-1, 2, RATE).astype(np.int16))
    write(tmp_path / "cancels.wav", np.stack([tone(1), -tone(1)], -1), subtype="FLOAT")
    write(tmp_path / "sensor.wav", tone(1), 900)
    (tmp_path / "notes.txt").write_text("not looked at")
    clips = read_clips([tmp_path], RATE, LEAST)
    assert [path.name for path in clips.paths] == ["good.wav"]
    reasons = {
        "text.wav": "is no sound file that can be read",
        "empty.flac": "is an empty file",
        "nan.wav": "NaN or infinity at second 1.000",
        "short.wav": "has 0.20 s of sound, 0.25 s are needed",
        "burst.wav": "s of sound, 0.25 s are needed",
        "silent.wav": "is silent in mono",
        "cancels.wav": "is silent in mono",
        "dither.wav": "is nearly silent in mono: its peak is -90.3 dB of full scale, below -60",
        "sensor.wav": "900 samples a second",
    }
    assert len(clips.skipped) == len(reasons)
    for name, reason in reasons.items():
        (sentence,) = (skipped for skipped in clips.skipped if name in skipped)
        assert reason in sentence
        assert sentence.endswith(".")


def test_a_clip_may_be_just_loud_enough(tmp_path: Path) -> None:
    write(tmp_path / "quiet.wav", tone(1, loudness=0.00101), subtype="FLOAT")
    write(tmp_path / "quieter.wav", tone(1, loudness=0.00099), subtype="FLOAT")
    clips = read_clips([tmp_path], RATE, LEAST)
    assert [path.name for path in clips.paths] == ["quiet.wav"]
    assert loudness(clips.samples[0]) == pytest.approx(LEVEL, abs=0.01)
    assert len(clips.skipped) == 1


def test_a_clip_may_be_just_long_enough(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", tone(LEAST / RATE))
    assert len(read_clips([tmp_path], RATE, LEAST).samples[0]) == LEAST
    with pytest.raises(InputError, match="no clip can be used"):
        read_clips([tmp_path], RATE, LEAST + 1)


def test_folders_without_a_usable_clip_are_refused_in_one_sentence(tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path / f"{number}.wav", np.zeros(RATE))
    with pytest.raises(InputError, match=r"no clip can be used \(.*0\.wav is silent") as raised:
        read_clips([tmp_path], RATE, LEAST)
    assert "4.wav" not in str(raised.value)  # three reasons are enough
    assert str(tmp_path) in str(raised.value)
    with pytest.raises(InputError, match="does not exist"):
        read_clips([tmp_path / "none"], RATE, LEAST)
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match="holds no sound files"):
        read_clips([tmp_path / "bare"], RATE, LEAST)


def test_what_headers_tell_is_told_without_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(SoundReader, "read")
    write(tmp_path / "short.wav", tone(0.1, 44_100), 44_100)
    (tmp_path / "text.wav").write_text("no sound")
    said = r"no clip can be used \(.*short\.wav has 0\.10 s of sound, 0\.25 s are needed\. .*text\.wav is no sound"
    with pytest.raises(InputError, match=said):
        check_clips([tmp_path], RATE, LEAST)
    for name in "ab":
        write(tmp_path / f"{name}.wav", tone(LEAST / RATE))
    check_clips([tmp_path], RATE, LEAST)


def test_a_single_clip_is_looked_at(tmp_path: Path) -> None:
    write(tmp_path / "silent.wav", np.zeros(RATE))
    with pytest.raises(InputError, match=r"no clip can be used \(.*silent\.wav is silent"):
        check_clips([tmp_path / "silent.wav"], RATE, LEAST)
    write(tmp_path / "good.wav", tone(1))
    with pytest.raises(InputError, match=r"good\.wav is the only clip that can be used"):
        check_clips([tmp_path / "good.wav"], RATE, LEAST)


def test_files_are_named_with_their_checksums(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, tone(1)) for name in ("b.wav", "a.wav")]
    (tmp_path / "c.wav").write_text("no sound")
    description = read_clips([tmp_path], RATE, LEAST).description()
    assert [file["name"] for file in description] == ["a.wav", "b.wav"]
    assert description[1]["sha256"] == hashlib.sha256(paths[0].read_bytes()).hexdigest()


@given(st.integers(2, 60), st.integers(0, 5))
def test_one_clip_in_ten_is_held_out_and_none_is_on_both_sides(count: int, seed: int) -> None:
    clips = Clips([Path(str(i)) for i in range(count)], [np.full(2, i, np.float32) for i in range(count)], ["a reason"])
    training, validation = hold_out(clips, seed)
    assert len(validation.paths) == max(1, count // 10)
    assert sorted(training.paths + validation.paths) == sorted(clips.paths)
    for part in (training, validation):
        assert [int(samples[0]) for samples in part.samples] == [int(path.name) for path in part.paths]
    again, _ = hold_out(clips, seed)
    assert again.paths == training.paths


def test_the_seed_decides_which_clips_are_held_out() -> None:
    clips = Clips([Path(str(i)) for i in range(40)], [np.ones(2, np.float32)] * 40, [])
    assert len({tuple(hold_out(clips, seed)[1].paths) for seed in range(5)}) == 5


def test_one_clip_cannot_be_held_out() -> None:
    with pytest.raises(InputError, match=r"a\.wav is the only clip that can be used"):
        hold_out(Clips([Path("a.wav")], [np.ones(2, np.float32)], []), 0)
