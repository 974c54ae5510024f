"""Which source sounds when: as it is said, as it is inferred, and what that does to stems."""

from pathlib import Path

import numpy as np
import pytest
import torch
from small_sounds import SMALL, low_and_high, low_and_high_weights

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.separation.files.presence import read_presence
from pyro_mixdvae.separation.live.separator import LiveSeparator
from pyro_mixdvae.separation.presence import (
    Frames,
    Presence,
    Silencer,
    Span,
    known_frames,
    presence_table,
    spans_of,
)
from pyro_mixdvae.separation.separator import Separator

RATE = 16_000
NAMES = ("low", "high")
ROWS = [("high", 0.1, 0.3), ("high", 0.5, 0.9)]


@pytest.fixture
def separator(tmp_path: Path) -> Separator:
    torch.set_default_dtype(torch.float32)
    return Separator(low_and_high_weights(tmp_path), n_iterations=1, segment=1.0, overlap=0.25)


def mixture(seconds: float = 0.3) -> np.ndarray:
    low, high = low_and_high(seconds, 2)
    return low + high


class TestSaid:
    def test_a_table_is_read_back(self, tmp_path: Path) -> None:
        path = tmp_path / "presence.csv"
        path.write_text(presence_table([Span(*row, 0.75) for row in ROWS]))
        assert path.read_text().splitlines()[:2] == ["name,from,to,probability", "high,0.100,0.300,0.7500"]
        assert read_presence(path) == Presence.of(ROWS)
        path.write_text("to, Name,from\n0.3,high, .1\n\n")
        assert read_presence(path) == Presence.of(ROWS[:1])

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("name,from\nhigh,1\n", "line 1: there is no column to: begin with a line name,from,to"),
            ("name,from,to\n", "has a header and no rows: write in which seconds each source sounds"),
            ("name,from,to\nhigh,a,2\n", "line 2: from is 'a', not a number of seconds"),
            ("name,from,to\nhigh,0,nan\n", "line 2: to is 'nan', not a number of seconds"),
            ("name,from,to\nhigh,-1,2\n", "line 2: from is '-1', not a number of seconds, 0 or more"),
            ("name,from,to\n\nhigh,2,1\n", "line 3: high sounds from 2 to 1: the end has to be later"),
            ("name,from,to\nhigh,2,2\n", "line 2: high sounds from 2 to 2: the end has to be later"),
            (f"name,from,to\nhigh,0,{'1' * 140_000}\n", "line 2: field larger than field limit"),
        ],
    )
    def test_a_file_that_cannot_be_is_refused(self, tmp_path: Path, text: str, message: str) -> None:
        path = tmp_path / "presence.csv"
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_presence(path)

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([("hihg", 0, 1)], "Presence names 'hihg', and the sources are low, high"),
            ([("high", 0.2, 0.1)], "from 0.2 to 0.1 s: a stretch begins at 0 or later"),
            ([("high", 1.0, 2.0)], "from 1 s on, and the mixture lasts 0.30 s"),
            ([("high", 0.1, 0.2), ("high", 0.15, 0.3)], "sound twice at once, from 0.15 s on"),
        ],
    )
    def test_stretches_that_cannot_be_are_refused(self, separator: Separator, rows: list, message: str) -> None:
        with pytest.raises(InputError, match=message):
            separator.separate(mixture(), RATE, Presence.of(rows))

    def test_what_is_known_of_frames(self) -> None:
        frames = Frames(np.arange(10) * 0.1, 0.2)
        spans = {"high": [Span("high", 0.31, 0.5)]}
        found = known_frames(spans, ("low", "high", "noise"), (False, False, True), frames)
        # A window of .1 s to either side: frames at .3 to .5 s touch the stretch, so do those at .2101 .. .6.
        assert found[:, 1].tolist() == [-1, -1, -1, 1, 1, 1, -1, -1, -1, -1]
        assert (found[:, [0, 2]] == 1).all()
        nothing = known_frames(None, ("low", "high", "noise"), (False, False, True), frames)
        assert nothing.tolist() == [[0, 0, 1]] * 10

    def test_stems_are_zero_outside_of_rows_and_sum_to_the_mixture(self, separator: Separator) -> None:
        mix = mixture(1.5)
        result = separator.separate(mix, RATE, Presence.of([("high", 0.1, 0.4), ("high", 0.7, 1.3)]))
        low, high = result.stems
        window = SMALL.length / RATE
        times = np.arange(len(mix)) / RATE
        inside = np.zeros(len(mix), bool)
        for since, until in ((0.1, 0.4), (0.7, 1.3)):
            inside |= (times >= since - window) & (times < until + window)
        assert not high[~inside].any()
        assert high[inside].any()
        np.testing.assert_allclose(low + high, mix, atol=1e-6)
        np.testing.assert_allclose(low[~inside], mix[~inside], atol=1e-6)
        assert result.presence is not None
        assert result.presence.spans == (
            Span("low", 0.0, 1.5), Span("high", 0.1, 0.4), Span("high", 0.7, 1.3),
        )  # fmt: skip
        said = result.presence.probabilities[:, 1]
        assert result.presence.probabilities.shape == (SMALL.n_frames(len(mix)), 2)
        assert set(np.unique(said)) == {0.0, 1.0}
        expected = [(0.1 - window / 2 < t < 0.4 + window / 2) or (0.7 - window / 2 < t < 1.3 + window / 2)
                    for t in np.arange(len(said)) * result.presence.step]  # fmt: skip
        assert np.abs(said - np.array(expected)).sum() <= 2  # where segments meet frames lie between frames

    def test_at_another_rate_and_in_two_channels(self, separator: Separator) -> None:
        stereo = np.stack([mixture(), np.roll(mixture(), 300)], 1)
        high_rate = np.repeat(stereo, 3, 0)
        result = separator.separate(high_rate, 3 * RATE, Presence.of([("low", 0.0, 0.3), ("high", 0.1, 0.3)]))
        assert result.stems.shape == (2, *high_rate.shape)
        assert not result.stems[1][: int((0.1 - SMALL.length / RATE) * 3 * RATE)].any()
        np.testing.assert_allclose(result.stems.sum(0), high_rate, atol=1e-5)

    def test_where_nobody_sounds_the_mixture_is_in_no_stem(self, separator: Separator) -> None:
        result = separator.separate(mixture(), RATE, Presence.of([("low", 0.2, 0.3), ("high", 0.1, 0.3)]))
        assert not result.stems[:, : int(0.09 * RATE)].any()
        assert np.isfinite(result.stems).all()

    def test_a_model_in_which_one_wins_is_refused(self, tmp_path: Path) -> None:
        own = Separator(low_and_high_weights(tmp_path), "assignment")
        with pytest.raises(InputError, match="MixtureModel does not know of sources that may be silent"):
            own.separate(mixture(), RATE, Presence())

    def test_a_source_that_never_sounds_is_a_row_from_0_to_0(self, separator: Separator, tmp_path: Path) -> None:
        path = tmp_path / "presence.csv"
        never = spans_of(NAMES, 0.1, np.array([[1.0, 0.2], [1.0, 0.1], [1.0, 0.3]]), 0.3)
        path.write_text(presence_table(never))
        assert path.read_text().splitlines()[1:] == ["low,0.000,0.250,1.0000", "high,0.000,0.000,0.2000"]
        low, high = separator.separate(mixture(), RATE, read_presence(path)).stems
        assert not high.any()
        assert low.any()
        assert Presence.of([("high", 0, 0)]).table(NAMES, 0.3)[1] == Span("high", 0.0, 0.0, 0.0)

    def test_rows_in_place_of_presence_are_refused(self, separator: Separator) -> None:
        with pytest.raises(InputError, match=r"presence is \[\('low', 0, 1\)\]: give Presence\.of\("):
            separator.separate(mixture(), RATE, presence=[("low", 0, 1)])  # type: ignore[arg-type]

    def test_a_stretch_that_a_table_would_not_show_is_none(self) -> None:
        """The last frame stands for less than a millisecond: from .2568 to .2572 s."""
        assert spans_of(("low",), 0.1712, np.array([[0.0], [0.0], [1.0]]), 0.2572) == [Span("low", 0.0, 0.0, 1 / 3)]

    def test_more_sources_than_can_be_weighed_are_refused(self, separator: Separator) -> None:
        separator.names = tuple("abcdef")
        with pytest.raises(InputError, match="Of 5 sources or fewer it can be said which are silent, and these are 6"):
            separator.check_presence(Presence(), 1.0)


class TestInferred:
    def test_stretches_are_those_of_probabilities(self) -> None:
        probabilities = np.array([[0.9, 0.1], [0.7, 0.1], [0.4, 0.6], [0.2, 0.8], [0.8, 0.9]])
        found = spans_of(NAMES, 0.1, probabilities, 0.42)
        expected = [Span("low", 0.0, 0.15, 0.8), Span("low", 0.35, 0.42, 0.8), Span("high", 0.15, 0.42, 2.3 / 3)]
        for own, other in zip(found, expected, strict=True):
            assert own.name == other.name
            np.testing.assert_allclose(own[1:], other[1:])

    def test_any_may_be_silent(self, separator: Separator) -> None:
        mix = mixture(0.4)
        mix[int(0.15 * RATE) : int(0.3 * RATE)] = 0
        result = separator.separate(mix, RATE, Presence())
        assert result.presence is not None
        quiet = result.presence.probabilities[int(0.17 * RATE / SMALL.hop) : int(0.28 * RATE / SMALL.hop)]
        assert (quiet < 0.5).all()
        assert not any(span.since < 0.2 < span.until for span in result.presence.spans)
        np.testing.assert_allclose(result.stems.sum(0), mix, atol=1e-6)
        assert result == separator.separate(mix, RATE, Presence())
        share = (result.presence.probabilities[:, 0] >= 0.5).mean()
        assert f"sounds {100 * share:.0f} % of the time" in result._repr_html_()
        assert separator.separate(mix, RATE).presence is None
        assert "may be silent" in str(result.note)

    def test_steady_noise_always_sounds(self, tmp_path: Path) -> None:
        torch.set_default_dtype(torch.float32)
        known = Separator([*low_and_high_weights(tmp_path), *_noise(tmp_path)], n_iterations=1).separate(
            mixture(), RATE, Presence()
        )
        assert known.presence is not None
        assert (known.presence.probabilities[:, 2] > 1 - 1e-6).all()

    def test_live_separation_refuses_a_model_of_silence(self, tmp_path: Path) -> None:
        own = Separator(low_and_high_weights(tmp_path)).declaration
        assert own is not None
        from pyro_mixdvae.declaration.document import Declaration

        silent = own.under(Declaration.of_options(["silence.family=chain"]))
        with pytest.raises(InputError, match="told by whole sounds"):
            LiveSeparator(RATE, preset=silent)


def _noise(folder: Path) -> list[str]:
    from pyro_mixdvae.networks.stationary_noise import StationaryNoise
    from pyro_mixdvae.weights.store import save_network

    path = folder / "noise.safetensors"
    save_network(path, StationaryNoise(SMALL.n_frequencies, 2), SMALL, {"name": "noise"})
    return [str(path)]


def test_the_silencer_goes_on_where_it_stopped() -> None:
    stems = np.ones((2, 1, 100), np.float32)
    spans = {"high": [Span("high", 0.205, 0.395)]}
    whole = Silencer(spans, NAMES, 100, 0.05)(stems)
    cut = Silencer(spans, NAMES, 100, 0.05)
    parts = np.concatenate([cut(stems[..., :37]), cut(stems[..., 37:])], -1)
    np.testing.assert_array_equal(whole, parts)
    assert np.flatnonzero(whole[1, 0]).tolist() == list(range(16, 45))
    np.testing.assert_allclose(whole.sum(0), stems.sum(0))
