from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.audio.resampling import read_mono
from pyro_mixdvae.separation.audio.skipping import Skipping
from pyro_mixdvae.separation.audio.trimming import HOP, THRESHOLD, frame_energy
from pyro_mixdvae.separation.mixtures import segments
from pyro_mixdvae.separation.mixtures.mixing import (
    PEAK,
    RATE,
    Mixture,
    draw_mixtures,
    mixing_gains,
    plan_mixtures,
)
from pyro_mixdvae.separation.mixtures.segments import LEAST_SOUNDING, Recordings, sounding_places


def write_recording(path: Path, seconds: float, rate: int = RATE, channels: int = 1, seed: int = 0) -> None:
    """Bursts of noise between silences, with silence around."""
    path.parent.mkdir(exist_ok=True)
    random = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    loud = (np.sin(2 * np.pi * time / 0.7) > -0.5) & (time > 0.3) & (time < seconds - 0.3)
    samples = 0.2 * random.standard_normal((len(time), channels)) * loud[:, None]
    soundfile.write(path, samples, rate, "FLOAT")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    for i in range(3):
        write_recording(tmp_path / "speech" / f"{i}.wav", 2 + i, seed=i)
        write_recording(tmp_path / "music" / f"{i}.flac.wav", 2 + i, 44100, channels=2, seed=10 + i)
    return [tmp_path / "speech", tmp_path / "music"]


def decibels(power: float) -> float:
    return 10 * float(np.log10(power))


def test_mixtures_are_what_the_recipes_say(folders: list[Path]) -> None:
    recipes = plan_mixtures([-10, 2.5], [20, 50], 3, seed=1)
    mixtures = list(draw_mixtures(folders, recipes))
    assert len({recipe.name for recipe in recipes}) == len(mixtures) == 12
    for recipe, mixture in zip(recipes, mixtures, strict=True):
        speech, music = mixture.sources.astype(np.float64)
        assert decibels((speech**2).mean() / (music**2).mean()) == pytest.approx(recipe.snr, abs=1e-4)
        np.testing.assert_array_equal(mixture.samples, mixture.sources[0] + mixture.sources[1])
        assert max(np.abs(mixture.sources).max(), np.abs(mixture.samples).max()) == pytest.approx(PEAK)
        assert STFT(RATE).spectrum(torch.from_numpy(mixture.samples)).shape[0] == recipe.n_frames


def test_what_cannot_be_read_is_left_out_and_told(folders: list[Path]) -> None:
    (folders[0] / "bad.wav").write_text("no sound")
    with pytest.raises(InputError, match=r"bad\.wav is no sound"):
        list(draw_mixtures(folders, plan_mixtures([0], [20], 20)))
    read = Skipping(read_mono)
    mixtures = list(draw_mixtures(folders, plan_mixtures([0], [20], 20), read))
    assert {mixture.segments[0].path.name for mixture in mixtures} == {"0.wav", "1.wav", "2.wav"}
    assert len(read.reasons) == 1
    assert "bad.wav is no sound" in read.reasons[0]


def test_a_recording_that_is_left_out_is_read_once(folders: list[Path]) -> None:
    asked: list[Path] = []

    def read(path: Path, rate: int) -> Samples | None:
        asked.append(path)
        return None if path.name == "1.wav" else read_mono(path, rate)

    recordings, random = Recordings(folders[0], RATE, read), np.random.default_rng(0)
    assert {recordings.draw(20, random).path.name for _ in range(40)} == {"0.wav", "2.wav"}
    assert len(asked) == 3


def test_a_folder_of_which_nothing_can_be_read(folders: list[Path]) -> None:
    with pytest.raises(InputError, match="speech holds no recording that can be read"):
        Recordings(folders[0], RATE, lambda path, rate: None).draw(20, np.random.default_rng(0))


def test_segments_are_where_they_say_and_are_not_silent(folders: list[Path]) -> None:
    for mixture in draw_mixtures(folders, plan_mixtures([0], [30], 20)):
        segment = mixture.segments[0]
        recording = soundfile.read(segment.path, dtype="float32")[0]
        piece = recording[segment.offset : segment.offset + 29 * HOP]
        np.testing.assert_array_equal(segment.samples, piece)
        np.testing.assert_array_equal(mixture.sources[0], mixture.gains[0] * piece)
        energy = frame_energy(recording[None])[0]
        inside = energy[segment.offset // HOP : segment.offset // HOP + 30]
        # Frames at the ends reach over the recording's part that was cut out: one more may sound or not.
        assert (inside > energy.max() * 10 ** (-THRESHOLD / 10)).sum() >= LEAST_SOUNDING * 30 - 2


def drawn(mixtures: list[Mixture]) -> dict[str, bytes]:
    return {mixture.recipe.name: mixture.sources.tobytes() for mixture in mixtures}


def test_the_same_seed_draws_the_same_and_more_of_them_leave_the_first_as_they_are(folders: list[Path]) -> None:
    few = drawn(list(draw_mixtures(folders, plan_mixtures([0, 5], [20], 2))))
    many = drawn(list(draw_mixtures(folders, plan_mixtures([-5, 0, 5], [50, 20], 3))))
    other = drawn(list(draw_mixtures(folders, plan_mixtures([0, 5], [20], 2, seed=1))))
    assert few == {name: many[name] for name in few}
    assert len({*few.values()}) == 4
    assert not {*few.values()} & {*other.values()}


def test_what_is_drawn_does_not_depend_on_what_was_kept(folders: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    recipes = plan_mixtures([0], [20], 6)
    kept = drawn(list(draw_mixtures(folders, recipes)))
    monkeypatch.setattr(segments, "_KEPT", 0)
    assert drawn(list(draw_mixtures(folders, recipes))) == kept


def test_every_recording_has_its_turn_if_it_is_long_enough(folders: list[Path]) -> None:
    recordings, random = Recordings(folders[0], RATE), np.random.default_rng(0)
    paths = {recordings.draw(20, random).path.name for _ in range(40)}
    assert paths == {"0.wav", "1.wav", "2.wav"}
    seconds = 3.2  # only the longest, of 4 seconds less the silence, holds so much
    assert {recordings.draw(int(seconds * RATE / HOP), random).path.name for _ in range(5)} == {"2.wav"}
    with pytest.raises(InputError, match=r"speech holds no sound of 16 seconds \(1001 frames\) that is"):
        recordings.draw(1001, random)


def test_folders_without_sounds_are_refused(tmp_path: Path, folders: list[Path]) -> None:
    (tmp_path / "empty").mkdir()
    soundfile.write(tmp_path / "empty" / "silence.wav", np.zeros(RATE), RATE)
    with pytest.raises(InputError, match="empty holds no sound of"):
        next(draw_mixtures([tmp_path / "empty", folders[0]], plan_mixtures([0], [20], 1)))
    with pytest.raises(InputError, match="none does not exist"):
        next(draw_mixtures([folders[0], tmp_path / "none"], plan_mixtures([0], [20], 1)))


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 4), st.floats(-60, 60), st.floats(1e-4, 1e3), st.integers(0, 2**32 - 1))
def test_gains_of_any_number_of_sources(n_sources: int, snr: float, scale: float, seed: int) -> None:
    samples = scale * np.random.default_rng(seed).standard_normal((n_sources, 500)).astype(np.float32)
    scaled = mixing_gains(samples, snr)[:, None] * samples.astype(np.float64)
    power = (scaled**2).mean(axis=1)
    for other in power[1:]:
        assert decibels(power[0] / other) == pytest.approx(snr, abs=1e-4)
    assert max(np.abs(scaled).max(), np.abs(scaled.sum(axis=0)).max()) == pytest.approx(PEAK, rel=1e-5)


def test_places_that_sound() -> None:
    """20 frames sound, then 40 are silent: a place begins in the first 10 frames or so, where half of 20 sound."""
    samples = np.zeros(60 * HOP, np.float32)
    samples[: 20 * HOP] = 1
    places = sounding_places(samples, 20)
    np.testing.assert_array_equal(places, np.arange(len(places)) * HOP)
    assert abs(len(places) - 11) <= 2
    assert len(sounding_places(samples, 62)) == 0
