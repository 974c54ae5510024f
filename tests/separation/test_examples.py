"""Pieces of clips: which, how loud, and through what they are heard."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.recordings.clips import LEVEL, Clips
from pyro_mixdvae.separation.recordings.effects import NO_EFFECTS
from pyro_mixdvae.separation.recordings.examples import ClipExamples, KeptExamples, Mixing
from pyro_mixdvae.separation.recordings.interference import coloured_noise, harmonic_tones
from pyro_mixdvae.separation.recordings.melodies import Joining
from pyro_mixdvae.training.data import Example

TINY = STFT(16000, 64, 16)
FRAMES = 21  # 320 samples


def clips_of(*samples: np.ndarray) -> Clips:
    return Clips([Path(str(i)) for i in range(len(samples))], [one.astype(np.float32) for one in samples], [])


def noisy(count: int, length: int, seed: int = 0) -> Clips:
    rng = np.random.default_rng(seed)
    return clips_of(*(0.3 * rng.standard_normal(length) for _ in range(count)))


def examples(
    clips: Clips | None = None,
    others: Clips | None = None,
    count: int = 40,
    key: tuple[int, ...] = (1, 2),
    **mixing: Any,
) -> ClipExamples:
    """Pieces as they are in the clips, unless something else is said."""
    as_they_are = {"floor": 0.0, "joining": Joining(share=0), "effects": NO_EFFECTS}
    return ClipExamples(
        clips or noisy(3, 1000), others, TINY, FRAMES, count, list(key), Mixing(**(as_they_are | mixing))
    )


def heard(found: ClipExamples) -> tuple[np.ndarray, np.ndarray]:
    """Waveforms [count, samples] of the source and of what is heard of it."""
    content, observed = found[torch.arange(len(found))]
    return tuple(TINY.waveform(part, 320).double().numpy() for part in (content, observed))


def decibels(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return 10 * np.log10((one**2).mean(-1) / (other**2).mean(-1))


def test_spectra_of_the_source_and_of_what_is_heard() -> None:
    found = examples()
    assert len(found) == 40
    example = found[torch.tensor([3, 0, 7])]
    assert isinstance(example, Example)
    for part in example:
        assert part.shape == (3, FRAMES, 33)
        assert part.dtype == torch.complex64
        assert torch.view_as_real(part).isfinite().all()


def test_the_same_key_gives_the_same_piece_however_it_is_asked_for() -> None:
    others = noisy(2, 800, seed=5)
    one, same = examples(others=others), examples(others=others, count=1000)
    whole = one[torch.arange(40)]
    for indices in ([7], [39, 7], [7, 7]):
        for part, all_of_it in zip(same[torch.tensor(indices)], whole, strict=True):
            assert torch.equal(part, all_of_it[indices])
    for other in (examples(others=others, key=(1, 3)), examples(others=others, key=(2, 2))):
        assert not any(torch.equal(*pair) for pair in zip(other[torch.arange(40)].content, whole.content, strict=True))


def test_pieces_of_an_epoch_are_not_all_the_same() -> None:
    content = examples()[torch.arange(40)].content
    assert len({float(one.abs().sum()) for one in content}) == 40


@pytest.mark.parametrize("snr", [-15.0, 0.0, 12.0])
@pytest.mark.parametrize("has_others", [False, True])
def test_interference_is_as_loud_as_asked_for(snr: float, has_others: bool) -> None:
    others = noisy(2, 800, seed=5) if has_others else None
    source, mixture = heard(examples(others=others, snr=(snr, snr), alone=0.0))
    np.testing.assert_allclose(decibels(source, mixture - source), snr, atol=0.01)


def test_ratios_and_levels_are_spread_evenly_over_their_ranges() -> None:
    steady = clips_of(np.full(320, 10 ** (LEVEL / 20)))
    found = examples(steady, count=400, level=(-20.0, 4.0), snr=(-10.0, 10.0), alone=0.0)
    source, mixture = heard(found)
    levels, ratios = decibels(source, np.ones_like(source)), decibels(source, mixture - source)
    for values, low, high in ((levels, -20, 4), (ratios, -10, 10)):
        assert low - 0.01 <= values.min() < low + 1
        assert high - 1 < values.max() <= high + 0.01
        assert abs(values.mean() - (low + high) / 2) < 1
    assert abs(np.corrcoef(levels, ratios)[0, 1]) < 0.2


@pytest.mark.parametrize("alone", [0.0, 0.3, 1.0])
def test_a_share_of_the_pieces_is_heard_alone(alone: float) -> None:
    content, observed = examples(count=300, alone=alone)[torch.arange(300)]
    same = (content == observed).flatten(1).all(-1)
    assert float(same.double().mean()) == pytest.approx(alone, abs=0.08)


@pytest.mark.parametrize("synthetic", [0.0, 0.4, 1.0])
def test_a_share_of_what_is_heard_with_it_is_noise_or_tones(synthetic: float) -> None:
    """The others are a constant, which neither noise nor tones are."""
    found = examples(others=clips_of(np.full(500, 0.5)), count=200, alone=0.0, synthetic=synthetic)
    source, mixture = heard(found)
    rest = mixture - source
    is_constant = (rest.std(-1) / np.abs(rest.mean(-1))) < 1e-3
    assert is_constant.mean() == pytest.approx(1 - synthetic, abs=0.1)


def test_clips_are_as_likely_as_they_are_long_and_so_are_places() -> None:
    """Ramps tell where a piece comes from; one clip has one place only, the other 201."""
    ramp = np.arange(1000, 1520) / 2000
    found = examples(clips_of(np.full(320, 0.1), ramp), count=600, level=(LEVEL, LEVEL))
    source, _ = heard(found)
    starts = np.round(2000 * source[:, 0]).astype(int)
    places = starts[starts >= 999] - 1000
    assert 0 <= places.min() < 10
    assert 190 < places.max() <= 200
    assert abs(places.mean() - 100) < 8
    assert (starts == 200).sum() == pytest.approx(600 * 320 / 840, abs=40)
    assert len(places) + (starts == 200).sum() == 600


def test_no_frequency_of_a_frame_is_all_but_silent() -> None:
    """As quiet as asked for beside the frame's mean power, in the source and in what is heard of it alike."""
    tone = np.sin(np.pi / 4 * np.arange(1000))
    sounds = [examples(clips_of(tone), count=20, floor=floor, alone=0.0)[torch.arange(20)] for floor in (0.0, 1e-3)]
    without, with_floor = (sound.content.abs().square() for sound in sounds)
    frames = slice(2, -2)
    added = (sounds[1].content - sounds[0].content).abs().square()[:, frames]
    ratio = added.mean() / without[:, frames].mean()
    assert float(ratio) == pytest.approx(1e-3, rel=0.1)
    assert without[:, frames].quantile(0.05) < 0.1 * with_floor[:, frames].quantile(0.05)
    rest = [sound.observed - sound.content for sound in sounds]
    torch.testing.assert_close(rest[0], rest[1], rtol=1e-3, atol=1e-3)


def test_silent_stretches_of_a_clip_are_finite() -> None:
    found = examples(clips_of(np.zeros(320)), clips_of(np.zeros(400)), count=50)
    for part in found[torch.arange(50)]:
        assert torch.view_as_real(part).isfinite().all()
        assert float(part.abs().max()) < 1e-2


@pytest.mark.parametrize("rate", [1000, 8000, 16000])
@pytest.mark.parametrize("length", [2, 16, 320, 12544])
def test_noise_and_tones_are_finite_and_repeatable(rate: int, length: int) -> None:
    for make in (coloured_noise, lambda random, n: harmonic_tones(random, n, rate)):
        drawn = [make(np.random.default_rng([seed, length]), length) for seed in range(20)]
        for seed, samples in enumerate(drawn):
            assert samples.shape == (length,)
            assert samples.dtype == np.float32
            assert np.isfinite(samples).all()
            np.testing.assert_array_equal(samples, make(np.random.default_rng([seed, length]), length))
        assert len({samples.tobytes() for samples in drawn}) > 10  # a voice too high for the rate is silent


def test_noise_is_coloured_and_swells() -> None:
    ranges, swells = [], []
    for seed in range(20):
        samples = coloured_noise(np.random.default_rng(seed), 16384).astype(float)
        bands = [band.mean() for band in np.array_split(np.abs(np.fft.rfft(samples)) ** 2, 16)]
        ranges.append(10 * np.log10(max(bands) / min(bands)))
        parts = [(part**2).mean() for part in np.split(samples, 16)]
        swells.append(10 * np.log10(max(parts) / min(parts)))
    assert 15 < np.median(ranges) < 80
    assert 5 < np.median(swells) < 50


def test_tones_stand_out_of_their_spectrum_and_end_below_half_the_rate() -> None:
    for seed in range(20):
        samples = harmonic_tones(np.random.default_rng(seed), 8192, 16000).astype(float)
        power = np.sort(np.abs(np.fft.rfft(samples * np.hanning(8192))) ** 2)[::-1]
        assert power[: len(power) // 5].sum() > 0.95 * power.sum()


def test_kept_examples_are_those_that_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the first time as later, when nothing is drawn any more."""
    mixing = Mixing(effects=NO_EFFECTS)
    made, kept = (
        kind(noisy(3, 1000), noisy(2, 900, 1), TINY, FRAMES, 9, [1, 2], mixing) for kind in (ClipExamples, KeptExamples)
    )
    some = torch.tensor([3, 0, 7])
    expected = made[some]
    for _ in range(2):
        assert all(torch.equal(a, b) for a, b in zip(kept[some], expected, strict=True))
        monkeypatch.setattr(ClipExamples, "_heard", None)
