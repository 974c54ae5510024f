"""Pieces of recordings of any length."""

import numpy as np
import pytest

from pyro_mixdvae.separation.recordings.melodies import Joining, Melodies

RATE = 16000
LENGTH = 12544


def tone(pitch: float, seconds: float) -> np.ndarray:
    return np.sin(2 * np.pi * pitch * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def pitches_of(piece: np.ndarray) -> set[int]:
    """Of the loudest frequency in each tenth of a second, in hertz rounded to tens."""
    parts = piece[: len(piece) // 1600 * 1600].reshape(-1, 1600) * np.hanning(1600)
    return {
        int(peak) * 10 for peak, part in zip(np.abs(np.fft.rfft(parts)).argmax(1), parts, strict=True) if part.any()
    }


def test_notes_shorter_than_a_piece_are_joined_without_jumps() -> None:
    notes = Melodies([tone(500, 0.3), tone(1000, 0.3)], LENGTH, RATE, Joining(shifted=0, level=0))
    heard = set()
    for seed in range(30):
        piece = notes.draw(np.random.default_rng(seed))
        assert piece.shape == (LENGTH,)
        assert piece.dtype == np.float32
        assert np.abs(piece).max() <= 3.001  # notes that overlap
        assert np.abs(np.diff(piece)).max() < 3 * 2 * np.pi * 1000 / RATE
        assert (piece != 0).mean() > 0.3
        heard |= pitches_of(piece)
    assert {500, 1000} <= heard


def test_pitches_change_by_as_much_as_asked_for() -> None:
    notes = Melodies([tone(1000, 3.0)], LENGTH, RATE, Joining(share=1, shifted=1, shift=5 / 12, held=(1.0, 2.0)))
    heard = set().union(*(pitches_of(notes.draw(np.random.default_rng(seed))) for seed in range(40)))
    assert min(heard) < 820
    assert max(heard) > 1250
    assert all(740 <= pitch <= 1350 for pitch in heard)


def test_long_recordings_are_cut_and_not_joined() -> None:
    ramp = np.arange(10 * RATE, dtype=np.float32)
    pieces = Melodies([ramp], LENGTH, RATE)
    starts = []
    for seed in range(50):
        piece = pieces.draw(np.random.default_rng(seed))
        np.testing.assert_array_equal(np.diff(piece), 1)
        starts.append(piece[0])
    assert max(starts) > 0.8 * (len(ramp) - LENGTH)


@pytest.mark.parametrize("length", [1, 5, 320])
def test_pieces_of_any_length_hold_something(length: int) -> None:
    notes = Melodies([tone(500, 0.1) + 2], length, RATE)
    for seed in range(20):
        piece = notes.draw(np.random.default_rng(seed))
        assert piece.shape == (length,)
        assert np.isfinite(piece).all()


def test_the_same_random_numbers_give_the_same_piece() -> None:
    notes = Melodies([tone(500, 0.3), tone(700, 5.0)], LENGTH, RATE)
    for seed in range(5):
        one, same = (notes.draw(np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(one, same)
