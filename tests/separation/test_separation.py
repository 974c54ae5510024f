"""A separation shows itself, is compared, and is saved."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from matplotlib.figure import Figure

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.separation.files.presence import read_presence
from pyro_mixdvae.separation.fit import Fit
from pyro_mixdvae.separation.presence import Presence, Sounding, Span
from pyro_mixdvae.separation.result import Separation
from pyro_mixdvae.separation.separator import Separator
from pyro_mixdvae.separation.spectrograms import RANGE, levels

RATE = 16000


@pytest.fixture
def separation() -> Separation:
    """Two tones of one second, in stereo."""
    tones = np.sin(2 * np.pi * np.array([500.0, 3000])[:, None, None] * np.arange(RATE) / RATE).astype(np.float32)
    stems = np.tile(tones, (1, 2, 1)) * np.array([2.0, 0.5], np.float32)[:, None, None]
    return Separation(("low", "<high>"), stems, (Fit("low", 0.2, 20.0), Fit("<high>", 1.7, 20.0)), stems.sum(0), RATE)


def test_what_is_separated_is_known_and_equal_twice() -> None:
    torch.set_default_dtype(torch.float32)
    mixture = torch.from_numpy(0.1 * np.random.default_rng(0).standard_normal(4000).astype(np.float32))
    once, again = (Separator().separate(mixture, RATE) for _ in range(2))
    assert once == again
    assert once != Separator().separate(mixture.flip(0), RATE)
    assert once.mixture is mixture
    assert repr(once).startswith("Separation(speech, flute: 0.25 s at 16000 a second")
    np.testing.assert_allclose(once.sounds[0, 0], once.sounds[1:, 0].sum(0), atol=1e-6)


def test_a_notebook_plays_it_and_says_what_is_wrong(separation: Separation) -> None:
    page = separation._repr_html_()
    sounds = re.findall(r'<audio controls[^>]* src="data:audio/wav;base64,([^"]+)"', page)
    mixture, low, high = (soundfile.read(io.BytesIO(base64.b64decode(sound))) for sound in sounds)
    assert mixture[1] == RATE
    assert low[0].shape == (RATE, 2)
    assert np.abs(low[0]).max() / np.abs(high[0]).max() == pytest.approx(4, rel=1e-3)  # as loud as to one another
    assert "<high>" not in page
    assert "explains its part of the mixture badly" in page
    assert separation != replace(separation, rate=8000)


def test_the_picture_has_a_spectrogram_of_each(separation: Separation) -> None:
    figure = separation.plot()
    assert isinstance(figure, Figure)
    assert [axes.get_title() for axes in figure.axes[:3]] == ["mixture", "low", "<high>"]


def test_levels_lie_where_the_sound_is(separation: Separation) -> None:
    found = levels(separation.sounds[:, 0], RATE)
    assert found.max() == 0
    assert found.min() >= -RANGE
    loudest = found[1].mean(-1).argmax() * RATE / 2 / (found.shape[1] - 1)
    assert loudest == pytest.approx(500, abs=40)
    assert (levels(np.zeros((1, 3), np.float32), RATE) == -RANGE).all()


def test_stems_are_saved_as_they_are(separation: Separation, tmp_path: Path) -> None:
    named = replace(separation, names=("low", "high"))
    written = named.save(tmp_path / "out")
    assert [path.name for path in written] == ["low.wav", "high.wav", "separation.png"]
    samples, rate = soundfile.read(written[0], dtype="float32")
    assert rate == RATE
    np.testing.assert_array_equal(samples.T, np.asarray(named.stems)[0])
    with pytest.raises(InputError, match="exists already: give another path, or overwrite=True to"):
        named.save(tmp_path / "out")
    with pytest.raises(InputError, match="cannot be called"):
        separation.save(tmp_path / "other")


@pytest.mark.usefixtures("unrendered")
def test_when_sources_sound_is_saved_too(separation: Separation, tmp_path: Path) -> None:
    spans = (Span("low", 0.0, 0.25, 0.75), Span("high", 0.0, 1.0))
    named = replace(separation, names=("low", "high"))
    sounding = replace(named, presence=Sounding(named.names, 0.5, np.ones((2, 2)), spans))
    written = sounding.save(tmp_path)
    assert [path.name for path in written] == ["low.wav", "high.wav", "presence.csv", "separation.png"]
    assert read_presence(written[2]) == Presence.of([span[:3] for span in spans])
    named.save(tmp_path, overwrite=True)
    assert not written[2].exists()
    written[2].write_text("mine\n")
    named.save(tmp_path, overwrite=True)
    assert written[2].read_text() == "mine\n"


def test_a_page_holds_the_stems(separation: Separation) -> None:
    page = separation.to_html("two tones")
    assert "<title>two tones</title>" in page
    assert '"name": "low"' in page
    assert '"channels": 2, "length": 16000' in page


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("shape", [(4000,), (4000, 1), (4000, 2), (2, 4000)])
def test_the_longer_axis_is_that_of_the_samples(shape: tuple[int, ...], tmp_path: Path) -> None:
    torch.set_default_dtype(torch.float32)
    mixture = 0.1 * np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = Separator().separate(mixture, RATE)
    channels = 1 if len(shape) == 1 else min(shape)
    assert np.asarray(found.stems).shape == (2, *shape)
    assert found.sounds.shape == (3, channels, 4000)
    assert "0.25 s" in repr(found)
    path = next(path for path in found.save(tmp_path) if path.suffix == ".wav")
    assert soundfile.read(path, always_2d=True)[0].shape == (4000, channels)


def test_silence_is_no_fault_of_the_models() -> None:
    torch.set_default_dtype(torch.float32)
    assert Separator().separate(np.zeros(8000, np.float32), RATE).warnings == []


@pytest.mark.parametrize("waveform", [[0] * 800, np.zeros(800, np.int16), torch.zeros(800, dtype=torch.int32)])
def test_whole_numbers_are_no_waveform(waveform: object) -> None:
    with pytest.raises(InputError, match="give numbers between -1 and 1"):
        Separator().separate(waveform, RATE)  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate", "said"), [(16000.0, "16000.0"), ("16000", "'16000'"), (None, "None")])
def test_a_rate_is_a_whole_number(rate: object, said: str) -> None:
    with pytest.raises(InputError, match=f"a rate of {said}: give samples a second as a whole number"):
        Separator().separate(np.zeros(800), rate)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sources", "said"),
    [("speech,flute", r"'speech,flute': give a list, as \['speech', 'flute'\]"), (Path("a"), r"\['a', 'noise'\]")],
)
def test_one_text_is_no_list_of_sources(sources: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Separator(sources)  # type: ignore[arg-type]


def test_what_is_no_array_is_no_waveform() -> None:
    with pytest.raises(InputError, match="the waveform is no array"):
        Separator().separate([[0.1, 0.2], [0.3]], RATE)  # type: ignore[arg-type]


def test_a_tensor_of_half_precision_gives_stems_of_it() -> None:
    torch.set_default_dtype(torch.float32)
    mixture = (0.1 * torch.randn(4000)).bfloat16()
    stems = Separator().separate(mixture, RATE).stems
    assert isinstance(stems, torch.Tensor)
    assert stems.dtype == torch.bfloat16
    torch.testing.assert_close(stems.float().sum(0), mixture.float(), atol=5e-3, rtol=0)


def test_what_lies_above_the_models_is_shared_alike_at_any_level() -> None:
    torch.set_default_dtype(torch.float32)
    mixture = 0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    loud, quiet = (Separator().separate(np.float32(scale) * mixture, 44100).stems for scale in (1, 2.0**-20))
    np.testing.assert_allclose(np.asarray(quiet) * 2**20, np.asarray(loud), atol=1e-5)


@pytest.mark.parametrize("preset", ["additive", "assignment"])
def test_steady_noise_is_a_source_that_ships(preset: str) -> None:
    """What is nothing but noise goes there, and nobody is warned of it; the stems sum to the mixture."""
    torch.set_default_dtype(torch.float32)
    mixture = 0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    result = Separator(["speech", "flute", "noise"], preset).separate(mixture, RATE)
    assert result.names == ("speech", "flute", "noise")
    assert result.note is None
    assert isinstance(result.stems, np.ndarray)
    np.testing.assert_allclose(result.stems.sum(0), mixture, atol=1e-5)
    *others, noise = np.square(result.stems).mean(-1) / np.square(mixture).mean()
    assert noise > 0.6
    assert max(others) < 0.1
    assert not [warning for warning in result.warnings if "noise" in warning.split(":")[0]]
