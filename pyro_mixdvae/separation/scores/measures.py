"""How close an estimate comes to the true sound: RMSE, SI-SDR, PESQ and ESTOI; NaN where a score does not exist."""

import importlib.util
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import pystoi

from pyro_mixdvae.process_state import alone
from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.audio.resampling import resample

Waveform = npt.NDArray[np.floating]

# By the name of the score, whether more is better.
SCORES = {"SI-SDR": True, "RMSE": False, "PESQ": True, "ESTOI": True}
# PESQ (wide-band) is defined at this rate; ESTOI resamples from it to its own 10 kHz.
_RATE = 16_000
# pesq crashes where it counts more than 50 utterances, and needs 0.4 seconds for one: longer sounds are cut.
_LONGEST_FOR_PESQ = 15 * _RATE


def score(reference: Samples, estimate: Samples, rate: int) -> dict[str, float]:
    """Each of `SCORES` by its name, the mean over channels; NaN where it does not exist in a channel.

    Args:
        reference: the true sound, ``[channels, n]``.
        estimate: of the same shape.
        rate: samples a second.

    Raises:
        ValueError: the shapes differ.
    """
    if reference.shape != estimate.shape:
        raise ValueError(f"a reference {reference.shape} and an estimate {estimate.shape} are no pair")
    wide = [resample(samples, rate, _RATE) for samples in (reference, estimate)]
    channels = [
        {"SI-SDR": si_sdr(*pair), "RMSE": scaled_rmse(*pair), "PESQ": pesq(*at_16k), "ESTOI": estoi(*at_16k)}
        for pair, at_16k in zip(zip(reference, estimate, strict=True), zip(*wide, strict=True), strict=True)
    ]
    return {name: sum(channel[name] for channel in channels) / len(channels) for name in SCORES}


def si_sdr(reference: Waveform, estimate: Waveform) -> float:
    """Scale-invariant signal-to-distortion ratio in decibels (Le Roux et al. 2019), means not removed.

    As in torchmetrics, the machine epsilon keeps it finite where the estimate is perfect or orthogonal.

    Args:
        reference: ``[n]``.
        estimate: ``[n]``.

    Returns:
        NaN where one of the two is silent.
    """
    if _silent(reference, estimate):
        return math.nan
    s, x = reference.astype(np.float64), estimate.astype(np.float64)
    epsilon = np.finfo(np.float64).eps
    target = (s @ x + epsilon) / (s @ s + epsilon) * s
    error = target - x
    return float(10 * np.log10((target @ target + epsilon) / (error @ error + epsilon)))


def scaled_rmse(reference: Waveform, estimate: Waveform) -> float:
    """Root of the mean squared error of an estimate ``[n]`` scaled so that it is least; NaN if one is silent."""
    if _silent(reference, estimate):
        return math.nan
    s, x = reference.astype(np.float64), estimate.astype(np.float64)
    error = s - (s @ x) / (x @ x) * x
    return float(np.sqrt((error**2).mean()))


def has_pesq() -> bool:
    """Whether PESQ can be computed: the package `pesq`, an extra, is installed."""
    return importlib.util.find_spec("pesq") is not None


def pesq(reference: Waveform, estimate: Waveform) -> float:
    """PESQ, wide-band (ITU-T P.862.2), of sounds ``[n]`` at 16 kHz.

    Sounds of more than 15 seconds are cut into pieces of equal length, and the mean is taken.

    Returns:
        NaN without the package `pesq`, where one of the two is silent, is shorter than a quarter of a second, or
        holds nothing that PESQ takes for an utterance.
    """
    if not has_pesq() or _silent(reference, estimate):
        return math.nan
    pieces = -(-len(reference) // _LONGEST_FOR_PESQ)
    values = [
        _pesq_of_piece(*pair)
        for pair in zip(np.array_split(reference, pieces), np.array_split(estimate, pieces), strict=True)
    ]
    found = [value for value in values if not math.isnan(value)]
    return sum(found) / len(found) if found else math.nan


def estoi(reference: Waveform, estimate: Waveform) -> float:
    """Extended short-time objective intelligibility (Jensen and Taal 2016) of sounds ``[n]`` at 16 kHz.

    Returns:
        NaN where one of the two is silent, or the reference without its silence lasts less than 0.4 seconds.
    """
    # pystoi fails where there is not one of its frames of 26 ms.
    if _silent(reference, estimate) or len(reference) < _RATE // 10:
        return math.nan
    with alone, warnings.catch_warnings(record=True) as caught, _numpy_seeded():
        warnings.simplefilter("always")
        value = pystoi.stoi(reference.astype(np.float64), estimate.astype(np.float64), _RATE, extended=True)
    too_short = any("Not enough STFT frames" in str(warning.message) for warning in caught)
    return math.nan if too_short else float(value)


def _pesq_of_piece(reference: Waveform, estimate: Waveform) -> float:
    import pesq as package

    if _silent(reference, estimate):
        return math.nan
    value = package.pesq(_RATE, reference, estimate, "wb", on_error=package.PesqError.RETURN_VALUES)
    return float(value) if value > 0 else math.nan  # what is not above 0 is the code of an error


@contextmanager
def _numpy_seeded() -> Iterator[None]:
    """pystoi adds a little noise of numpy's global generator, which decides where an estimate is digital silence."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _silent(reference: Waveform, estimate: Waveform) -> bool:
    return not (reference.any() and estimate.any())
