"""Sounds of any kind, as files that may be damaged; and what holds for the stems of a mixture."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from fuzz.inputs import altered
from hypothesis import strategies as st

FORMATS = [
    ("WAV", "FLOAT"),
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "DOUBLE"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
]
RATES = [16_000, 16_000, 8_000, 44_100, 11_025, 1_000]


@st.composite
def waveforms(draw: st.DrawFn, rate: int, most_seconds: float = 0.6) -> npt.NDArray[np.float64]:
    """Tones, noise, clicks and silence ``[samples, channels]``, at levels that make sense and at others."""
    seconds = draw(st.sampled_from([0.0, 1 / rate, 0.02, 0.1, most_seconds]))
    n, channels = round(seconds * rate), draw(st.sampled_from([1, 1, 1, 2, 3]))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    time = np.arange(n) / rate
    kind = draw(st.sampled_from(["tone", "noise", "tone and noise", "clicks", "silence", "constant"]))
    sound = np.zeros(n)
    if "tone" in kind:
        sound += np.sin(2 * np.pi * draw(st.floats(20, 3000)) * time)
    if "noise" in kind:
        sound += 0.1 * random.standard_normal(n)
    if kind == "clicks":
        sound[random.random(n) < 0.001] = 1
    if kind == "constant":
        sound += 1
    sound *= draw(st.sampled_from([1, 1, 0.1, 1e-4, 1e-9, 1e-30, 1e-44, 1e4, 1e30]))
    if n and draw(st.integers(0, 9)) == 0:
        sound[random.integers(n)] = draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e38]))
    return np.repeat(sound[:, None], channels, axis=1) * random.uniform(0.2, 1, channels)


@st.composite
def sound_files(draw: st.DrawFn) -> tuple[str, bytes]:
    """The ending of a sound file, and its bytes."""
    rate = draw(st.sampled_from(RATES))
    name, subtype = draw(st.sampled_from(FORMATS))
    buffer = io.BytesIO()
    sound = draw(waveforms(rate))
    if name != "WAV":  # what compresses has no number for the rest, and libsndfile may stop in its midst
        sound = np.nan_to_num(sound, nan=0, posinf=1, neginf=-1).clip(-1, 1)
    with np.errstate(all="ignore"):
        soundfile.write(buffer, sound, rate, format=name, subtype=subtype)
    data = buffer.getvalue()
    return name.lower(), draw(altered(data, 2)) if draw(st.integers(0, 2)) == 0 else data


def check_stems(mixture: Path, stems: list[Path]) -> None:
    """As long as the mixture, at its rate, finite, and their sum is the mixture."""
    expected, rate = soundfile.read(mixture, always_2d=True)
    total = np.zeros_like(expected)
    for stem in stems:
        sound, its_rate = soundfile.read(stem, always_2d=True)
        assert (its_rate, sound.shape) == (rate, expected.shape)
        assert np.isfinite(sound).all()
        total += sound
    np.testing.assert_allclose(total, expected, atol=1e-5 * max(np.abs(expected).max(initial=0), 1e-37))
