"""A separation as one picture: spectrograms of mixture and stems, whose each bin is, and how sure that is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from pyro_mixdvae.reporting.pictures import by_default_settings, new_figure, plain, png
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.files.posterior import KeptSegment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

RANGE = 80.0  # decibels
LONGEST_NAME = 40

Values = npt.NDArray[np.float32]


@by_default_settings
def picture(
    waveforms: Samples, segments: Sequence[KeptSegment], names: Sequence[str], stft: STFT, title: str = ""
) -> bytes:
    """PNG of a separation; the same separation gives the same bytes.

    Args:
        waveforms: the mixture and the stems, [1 + N, n], at the rate of the transform.
        segments: the posterior, which may go on after the waveforms' end.
        names: of the N sources.
        stft: the transform of the posterior.
        title: what the mixture is called.
    """
    duration = waveforms.shape[1] / stft.rate
    levels = [_decibels(stft.spectrum(torch.from_numpy(waveform)).abs().numpy()) for waveform in waveforms]
    loudest = max(float(level.max()) for level in levels)
    figure = new_figure(12, 2 * (len(levels) + 2))
    rows = figure.subplots(len(levels) + 2, 1, sharex=True)
    for axes, level, name in zip(rows, levels, ("mixture", *names), strict=False):
        image = _image(axes, level, 0.0, stft, "magma", loudest - RANGE, loudest)
        axes.set_title(_title(name))
    figure.colorbar(image, ax=list(rows[: len(levels)]), label="level in dB")

    deviations = [_decibels(segment.variance[0].sqrt().numpy()) for segment in segments]
    most = max(float(deviation.max()) for deviation in deviations)
    for segment, deviation in zip(segments, deviations, strict=True):
        share = _image(rows[-2], segment.gains[0].numpy(), segment.start, stft, "RdBu_r", 0.0, 1.0)
        spread = _image(rows[-1], deviation, segment.start, stft, "viridis", most - RANGE, most)
    rows[-2].set_title(_title(f"share of {names[0]}"))
    figure.colorbar(share, ax=rows[-2])
    rows[-1].set_title(_title(f"error to expect of {names[0]}"))
    figure.colorbar(spread, ax=rows[-1], label="dB")
    rows[-1].set_xlabel("seconds")
    rows[-1].set_xlim(0, duration)
    for axes in rows:
        axes.set_ylabel("kHz")
        axes.set_ylim(0, stft.rate / 2000)
    figure.suptitle(_title(title))
    return png(figure)


def _image(
    axes: "Axes", values: Values, start: float, stft: STFT, colours: str, lowest: float, highest: float
) -> "AxesImage":
    """Values [T, F] from a second on; frames are centred where they stand."""
    half, frame, bin_width = stft.hop / 2 / stft.rate, stft.hop / stft.rate, stft.rate / stft.length / 1000
    extent = (
        start - half,
        start - half + len(values) * frame,
        -bin_width / 2,
        (values.shape[1] - 0.5) * bin_width,
    )
    return axes.imshow(
        values.T, extent=extent, origin="lower", aspect="auto", cmap=colours, vmin=lowest, vmax=highest,
        interpolation="nearest",
    )  # fmt: skip


def _decibels(magnitudes: Values) -> Values:
    """Of magnitudes; silence is -200 dB."""
    decibels: Values = 20 * np.log10(np.maximum(magnitudes, 1e-10))
    return decibels


def _title(text: str) -> str:
    """A short title."""
    short = text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"
    return plain(short)
