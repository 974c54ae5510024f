"""Clicks are taken out of recordings, and nothing else is."""

import numpy as np
import pytest

from pyro_mixdvae.separation.recordings.clicks import without_clicks

RATE = 16000


def note(level: float = 0.3, seconds: float = 1.0, silence: float = 0.1) -> np.ndarray:
    """A tone of some harmonics with a slow attack, after and before silence."""
    time = np.arange(int(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * 440 * k * time) / k for k in range(1, 5))
    envelope = np.minimum(1, np.minimum(time, time[::-1]) / 0.03)
    rest = np.zeros(int(silence * RATE))
    return np.concatenate([rest, level * envelope * tone, rest]).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "place"),
    [(kind, place) for kind in ("impulse", "square", "noise") for place in (0, 5, 800, -16)]
    + [("impulse", 9000), ("noise", 9000)],  # a square is hard to hear in the middle of a loud note
)
def test_a_click_of_a_millisecond_is_replaced_wherever_it_is(kind: str, place: int) -> None:
    clean = note()
    clicked = clean.copy()
    shape = {
        "impulse": np.eye(16)[8],
        "square": np.ones(16),
        "noise": np.sign(np.random.default_rng(0).normal(size=16)),
    }
    clicked[place:][:16] += shape[kind].astype(np.float32)
    repaired, count = without_clicks(clicked, RATE)
    assert count >= 1
    error = ((repaired - clean) ** 2).sum() / (clean**2).sum()
    assert error < 0.01
    assert np.abs(repaired).max() < 1.2 * np.abs(clean).max()


@pytest.mark.parametrize("level", [0.001, 0.3])
def test_notes_and_their_attacks_stay_as_they_are(level: float) -> None:
    clean = note(level)
    clean[1600:1610] = 0  # a sudden one
    repaired, count = without_clicks(clean, RATE)
    assert count == 0
    np.testing.assert_array_equal(repaired, clean)


def test_what_decays_slowly_is_no_click() -> None:
    time = np.arange(RATE) / RATE
    pluck = np.random.default_rng(0).normal(size=RATE) * np.exp(-time / 0.05)
    assert without_clicks(np.concatenate([np.zeros(RATE), pluck]).astype(np.float32), RATE)[1] == 0


@pytest.mark.parametrize("n", [0, 1, 10, 100])
def test_short_and_silent_recordings_are_taken(n: int) -> None:
    for samples in (np.zeros(n, np.float32), np.ones(n, np.float32)):
        assert len(without_clicks(samples, RATE)[0]) == n


def test_clicks_that_are_the_sound_stay() -> None:
    """As of a metronome."""
    samples = np.zeros(4 * RATE, np.float32)
    samples[RATE // 2 :: RATE // 2] = 0.8
    found, n_clicks = without_clicks(samples, RATE)
    np.testing.assert_array_equal(found, samples)
    assert n_clicks == 0


def test_a_recording_may_begin_anywhere() -> None:
    assert without_clicks(np.full(RATE, 0.3, np.float32), RATE)[1] == 0
