"""A separator of sounds that come block by block."""

import doctest
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_sounds import low_and_high, low_and_high_weights
from torch import Tensor

import pyro_mixdvae
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.algorithms import SVI, Looks
from pyro_mixdvae.separation.live import separator as separator_module
from pyro_mixdvae.separation.live.separator import LiveSeparator
from pyro_mixdvae.separation.live.windows import Level, Sliding, SlidingWindow
from pyro_mixdvae.separation.separator import Separator

RATE = 16_000


@pytest.fixture(autouse=True)
def _single_precision() -> None:
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return low_and_high_weights(tmp_path_factory.mktemp("weights"))


def mixture(seconds: float = 1.0, channels: int | None = None, rate: int = RATE) -> np.ndarray:
    n = round(seconds * rate)
    sounds = np.float32(0.5) * np.resize(sum(low_and_high(3.0, seed=1)), n * (channels or 1))
    return sounds if channels is None else sounds.reshape(n, channels)


def in_blocks(live: LiveSeparator, sound: np.ndarray, size: int) -> np.ndarray:
    parts = [live.update(sound[begin : begin + size]) for begin in range(0, len(sound), size)]
    return np.concatenate([*parts, live.finish()], 1)


@pytest.mark.parametrize(("rate", "channels"), [(16_000, None), (44_100, 2), (8_000, 1)])
def test_blocks_of_any_sizes_give_the_same_stems_which_sum_to_the_mixture(
    weights: list[str], rate: int, channels: int | None
) -> None:
    sound = mixture(0.5, channels, rate)
    live = LiveSeparator(rate, weights)
    whole = in_blocks(live, sound, len(sound))
    assert whole.shape == (2, *sound.shape)
    np.testing.assert_allclose(whole.sum(0), sound, atol=1e-5)
    assert np.abs(whole[0] - whole[1]).max() > 1e-3
    for size in (160, 4096):
        np.testing.assert_array_equal(in_blocks(live, sound, size), whole)
    np.testing.assert_array_equal(in_blocks(live, sound[:6000], 1)[:, :2000], whole[:, :2000])


@pytest.mark.parametrize("rate", [16_000, 44_100, 8_000])
def test_stems_come_no_later_than_the_latency(weights: list[str], rate: int) -> None:
    live = LiveSeparator(rate, weights)
    sound, n_ready, latest = mixture(0.5, rate=rate), 0, 0.0
    for n, sample in enumerate(np.split(sound, len(sound))):
        n_ready += live.update(sample).shape[1]
        latest = max(latest, (n + 1 - n_ready) / rate)
    assert live.latency - 0.01 < latest <= live.latency < 0.25


def test_a_window_is_separated_as_the_whole_is(weights: list[str]) -> None:
    sound = mixture(1.0)
    hop, ahead = RATE // 4, RATE // 8
    found = LiveSeparator(RATE, weights, window=1.0, hop=0.25, lookahead=0.125).update(sound)
    first = np.concatenate([np.zeros(RATE - 2 * hop, np.float32), sound[: 2 * hop]])
    whole = np.asarray(Separator(weights, algorithm=Looks()).separate(first, RATE).stems)
    here = slice(hop - ahead + 256, 2 * hop - ahead)  # after the fade from the window before
    np.testing.assert_allclose(found[:, here], whole[:, len(first) - 2 * hop :][:, here], atol=1e-5)


def test_channels_do_not_hear_each_other(weights: list[str]) -> None:
    sound = mixture(0.6, 2)
    both = in_blocks(LiveSeparator(RATE, weights), sound, 1000)
    for channel in range(2):
        alone = in_blocks(LiveSeparator(RATE, weights), sound[:, channel], 700)
        np.testing.assert_allclose(both[..., channel], alone, atol=1e-5)


def held(part: object, seen: set[int]) -> int:
    """Numbers in all arrays that hang on an object."""
    if id(part) in seen:
        return 0
    seen.add(id(part))
    if isinstance(part, np.ndarray | Tensor):
        return int(np.prod(part.shape))
    inner = list(part) if isinstance(part, list | tuple) or hasattr(part, "popleft") else []
    inner += list(vars(part).values()) if hasattr(part, "__dict__") else []
    return sum(held(each, seen) for each in inner)


def test_what_is_kept_does_not_grow(weights: list[str]) -> None:
    live = LiveSeparator(44_100, weights)
    second = mixture(0.64, rate=44_100)  # five hops

    def kept_after(count: int) -> int:
        for _ in range(count):
            live.update(second)
        return held(live._stream, set())

    first = kept_after(1)
    assert 0 < first < 500_000
    assert abs(kept_after(4) - first) < 1000


def test_a_block_that_cannot_be_used_is_as_if_it_had_not_come(weights: list[str]) -> None:
    sound, live = mixture(0.5), LiveSeparator(RATE, weights)
    expected = in_blocks(live, sound, 1000)
    parts = [live.update(sound[:3000])]
    for bad, says in (
        (np.array([0.1, np.nan]), "NaN or infinity"),
        (np.array([1e300]), "NaN or infinity"),
        (np.array([1e20]), "beyond 1e\\+15"),
        (np.zeros(3, np.int16), "holds int16"),
        (np.zeros((3, 2)), r"shape \[3, 2\] after blocks \[n\]"),
        (np.zeros((3, 2, 2)), r"give \[n\], or \[n, channels\]"),
        (np.zeros((3, 0)), r"give \[n\], or \[n, channels\]"),
        (np.zeros((2, 16_000)), r"of 1 to 64 channels"),
        ([[0.1, 0.2], [0.3]], "the block is no array"),
        (torch.zeros(3, dtype=torch.int16), "holds torch.int16"),
        ("sound", "holds <U5"),
    ):
        with pytest.raises(InputError, match=says):
            live.update(bad)  # type: ignore[arg-type]
    parts += [live.update(sound[3000:]), live.finish()]
    np.testing.assert_array_equal(np.concatenate(parts, 1), expected)


def test_a_block_may_be_reused_when_it_was_given(weights: list[str]) -> None:
    sound, live, room = mixture(0.5), LiveSeparator(RATE, weights), np.empty(1000, np.float32)
    expected = in_blocks(live, sound, 1000)
    parts = []
    for block in np.split(sound, 8):
        room[:] = block
        parts.append(live.update(torch.from_numpy(room)))
        room[:] = np.nan
    np.testing.assert_array_equal(np.concatenate([*parts, live.finish()], 1), expected)


@pytest.mark.parametrize("n", [0, 1, 100, 4000])
@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_a_sound_may_end_before_the_first_window(weights: list[str], n: int, rate: int) -> None:
    live, sound = LiveSeparator(rate, weights), mixture(1.0)[:n]
    assert live.finish().shape == (2, 0)
    found = np.concatenate([live.update(sound), live.finish()], 1)
    assert found.shape == (2, n)
    np.testing.assert_allclose(found.sum(0), sound, atol=1e-5)


@pytest.mark.parametrize("loudness", [0.0, 1e-42, 1e-30, 1e-6, 1e4])
def test_sounds_may_be_of_any_loudness(weights: list[str], loudness: float) -> None:
    sound = (loudness * mixture(0.6).astype(np.float64)).astype(np.float32)
    found = in_blocks(LiveSeparator(RATE, weights), sound, 1600)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(0), sound, rtol=0, atol=1e-5 * max(loudness, 1e-30))
    assert (np.abs(found).max() > 0) == (np.abs(sound).max() > 0)


def test_a_quiet_sound_is_separated_as_a_loud_one(weights: list[str]) -> None:
    loud, quiet = (in_blocks(LiveSeparator(RATE, weights), np.float32(s) * mixture(0.6), 999) for s in (1, 2.0**-12))
    np.testing.assert_allclose(2**12 * quiet, loud, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_tensors_of_any_precision(weights: list[str], dtype: torch.dtype) -> None:
    sound = torch.from_numpy(mixture(0.3)).to(dtype)
    expected = in_blocks(LiveSeparator(RATE, weights), sound.float().numpy(), 1600)
    live = LiveSeparator(np.int64(RATE), weights)  # type: ignore[arg-type]
    np.testing.assert_array_equal(np.concatenate([live.update(sound), live.finish()], 1), expected)


def test_steady_noise_is_a_source_here_too() -> None:
    sound = mixture(0.8) + 0.05 * np.random.default_rng(0).standard_normal(round(0.8 * RATE)).astype(np.float32)
    live = LiveSeparator(RATE, ["speech", "flute", "noise"])
    assert live.names[-1] == "noise"
    found = in_blocks(live, sound, 1600)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(0), sound, atol=1e-5)
    assert np.abs(found[2]).max() > 1e-3


def test_stems_need_not_sum(weights: list[str]) -> None:
    sound = mixture(0.6, rate=44_100)
    found = in_blocks(LiveSeparator(44_100, weights, sums=False, estimate="mask", n_iterations=1), sound, 5000)
    assert found.shape == (2, len(sound))
    assert np.abs(found.sum(0) - sound).max() > 1e-3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"rate": 10}, "10 samples a second"),
        ({"rate": 16000.0}, "a rate of 16000.0"),
        ({"rate": "16000"}, "a rate of '16000'"),
        ({"rate": 400_000}, "1000 to 192000"),
        ({"window": 0.05}, "a window of 0.05 s"),
        ({"window": float("nan")}, "a window of nan s"),
        ({"hop": 0.001}, "a hop of 0.001 s"),
        ({"lookahead": -0.1}, "a lookahead of -0.1 s"),
        ({"hop": 0.3, "lookahead": 0.2}, "no longer than the window"),
        ({"n_iterations": 0}, "0 iterations are too few"),
    ],
)
def test_arguments_that_cannot_be(weights: list[str], arguments: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        LiveSeparator(**{"rate": RATE, "sources": weights, **arguments})  # type: ignore[arg-type]


def test_algorithms_of_whole_sounds_are_refused(weights: list[str]) -> None:
    preset = replace(Separator(weights).preset, algorithm=SVI())
    with pytest.raises(InputError, match="SVI needs whole sounds"):
        LiveSeparator(RATE, weights, preset)


def test_one_of_them_may_win(weights: list[str]) -> None:
    sound = mixture(0.5)
    found = in_blocks(LiveSeparator(RATE, weights, "assignment"), sound, 999)
    np.testing.assert_allclose(found.sum(0), sound, atol=1e-5)


def test_the_example_is_true() -> None:
    results = doctest.testmod(separator_module)
    assert results.attempted > 3
    assert results.failed == 0


def test_it_is_offered_at_the_top() -> None:
    assert pyro_mixdvae.LiveSeparator is LiveSeparator
    assert "LiveSeparator" in dir(pyro_mixdvae)


def numbered() -> Iterator[float]:
    return iter(np.arange(100.0))


def test_windows_fade_into_one_another() -> None:
    """Of windows that say 0, 1, 2, ... throughout there is no step larger than that of the fade."""
    count = numbered()
    window = SlidingWindow(lambda x: torch.full((len(x), 2, x.shape[1]), next(count)), Sliding(40, 20, 10, 8), 1)
    found = torch.cat([window.push(torch.zeros(1, 20)) for _ in range(5)], 2)
    assert found.shape == (1, 2, 100)
    assert float(found.diff(dim=2).abs().max()) == pytest.approx(1 / 8)
    assert found[0, 0, 19::20].tolist() == [0, 1, 2, 3, 4]


def test_a_level_falls_slowly_and_rises_at_once() -> None:
    level = Level(2, 0.5)
    heard = [level.follow(torch.tensor([[a, 0.0], [0.0, -b]]))[:, 0].tolist() for a, b in ((1, 0), (0, 2), (0.1, 1.5))]
    np.testing.assert_allclose(heard, [[1, 0], [0.5, 2], [0.25, 1.5]])
