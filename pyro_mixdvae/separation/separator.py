"""`Separator`: from a waveform to the sounds in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.run import Method
from pyro_mixdvae.inference.sound import InferredSound, infer_sound
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.assignments import IndependentAssignment
from pyro_mixdvae.models.complex_likelihood import ComplexLikelihood
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.sound_sources import SoundSources
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.audio.resampling import resample
from pyro_mixdvae.separation.fit import Fit, fit_of
from pyro_mixdvae.separation.source_files import load_sources
from pyro_mixdvae.separation.stream import Segmenting, SegmentStream

Likelihood = Literal["additive", "assignment"]
Estimate = Literal["mean", "mask"]
Waveform = TypeVar("Waveform", npt.NDArray[np.floating], Tensor)

ADDITIVE_NOISE = 0.001
ASSIGNMENT_NOISE = 0.03  # the paper's
# Of all sources' sound in a batch of segments: about 4 MB of memory each; with more, nothing is faster.
BATCH_SECONDS = 24.0


@dataclass(frozen=True)
class Separation:
    """What `Separator.separate` gives.

    Attributes:
        names: of the N sources.
        stems: ``[N, *]``, of the kind, the shape and the rate of the mixture.
        fits: how well each source's model explains what it was given.
    """

    names: tuple[str, ...]
    stems: npt.NDArray[np.floating] | Tensor
    fits: tuple[Fit, ...]

    @property
    def warnings(self) -> list[str]:
        """A sentence for each source whose model explains the mixture badly."""
        return [fit.warning for fit in self.fits if fit.warning]


class Separator:
    """Pulls the sounds of known sources out of a mono mixture; several channels are separated one by one.

    Args:
        sources: names of weights that ship, or paths of weights files: two or more, in the order of the stems.
        likelihood: "additive": sounds overlap; "assignment": one of them wins each frequency, as in the paper.
        method: how the posterior is found (`infer_sound`).
        n_iterations: of it; None for its default.
        noise: r of the likelihood `v_o = r |o|^2`; None for .001 (additive) or .03 (assignment).
        estimate: "mean" of the posterior, or the mixture through the soft "mask".
        sums: stems that sum to the mixture: what the posterior means leave is shared among them.
        segment, overlap: seconds; longer sounds are cut, and their pieces fade into one another.
        seed: of the draws of SVI.

    Raises:
        InputError: fewer than two sources, weights that cannot be used, or weights of different transforms.
    """

    def __init__(
        self,
        sources: Sequence[str | Path] = ("speech", "flute"),
        likelihood: Likelihood = "additive",
        method: Method = "coordinate",
        n_iterations: int | None = None,
        noise: float | None = None,
        estimate: Estimate = "mean",
        sums: bool = True,
        segment: float = 8.0,
        overlap: float = 1.0,
        seed: int = 0,
    ):
        loaded = load_sources(sources)
        self.names, self.stft, self.notes = loaded.names, loaded.stft, loaded.notes
        prior = SoundSources(loaded.networks)
        self.model: AdditiveModel | MixtureModel
        if likelihood == "additive":
            self.model = AdditiveModel(prior, ComplexLikelihood(ADDITIVE_NOISE if noise is None else noise))
        else:
            emission = ComplexLikelihood(ASSIGNMENT_NOISE if noise is None else noise)
            self.model = MixtureModel(prior, IndependentAssignment(len(self.names)), emission)
        self.model.float()
        self.method, self.n_iterations, self.estimate, self.sums = method, n_iterations, estimate, sums
        self.seed = seed
        self.segmenting = _segmenting(segment, overlap, self.stft, len(self.names))

    def separate(self, waveform: Waveform, rate: int) -> Separation:
        """Separate a waveform [*, n] at `rate` samples a second, of any level.

        Raises:
            InputError: it is empty, or holds NaN or infinity.
        """
        samples = _checked(waveform)
        channels = samples.reshape(-1, samples.shape[-1])
        peak = float(np.abs(channels).max())
        fits = FitMeter(self)
        at_model_rate = resample(channels, rate, self.stft.rate)
        separated = []
        channel: npt.NDArray[np.float32]
        for channel in at_model_rate:
            stream: SegmentStream = self.stream(peak, fits)
            ready = [*stream.push(torch.from_numpy(np.ascontiguousarray(channel))), *stream.finish()]
            separated.append(torch.cat(ready, 1).numpy())
        stems = np.stack(separated, 1)  # [N, channels, n]
        back = resample(stems.reshape(-1, stems.shape[-1]), self.stft.rate, rate, samples.shape[-1])
        shaped = back.reshape(len(self.names), *samples.shape)
        if self.sums and rate != self.stft.rate:
            # Above the model's highest frequency nothing is known of the sources: each takes an equal share.
            shaped = shaped + (samples - shaped.sum(0)) / len(self.names)
        result = (
            torch.from_numpy(shaped).to(waveform) if isinstance(waveform, Tensor) else shaped.astype(waveform.dtype)
        )
        return Separation(self.names, result, fits.fits())

    def stream(self, peak: float, meter: "FitMeter | None" = None) -> SegmentStream:
        """Separates a channel that comes block by block at the model's rate, in bounded memory.

        `peak` is the greatest magnitude of the whole: models know sounds of about full scale.
        """
        scale = 1 / peak if peak > 0 else 1.0

        def separate(segments: Tensor) -> Tensor:
            found = self.infer(scale * segments)
            if meter is not None:
                meter.add(found)
            return self.stems(scale * segments, found) / scale

        return SegmentStream(separate, self.segmenting)

    def infer(self, waveforms: Tensor, records_all: bool = True) -> InferredSound:
        """The posterior of waveforms [B, n] at the model's rate, at their loudest about 1."""
        return infer_sound(
            self.model,
            self.stft.spectrum(waveforms.float()),
            self.method,
            self.n_iterations,
            seed=self.seed,
            records_all=records_all,
        )

    def stems(self, waveforms: Tensor, inferred: InferredSound) -> Tensor:
        """The estimates [B, N, n] that belong to a posterior."""
        mixture = self.stft.spectrum(waveforms.float()).unsqueeze(1)
        shares = inferred.gains / inferred.gains.sum(1, keepdim=True).clamp(min=1e-12)
        estimate = inferred.mean if self.estimate == "mean" else inferred.gains * mixture
        if self.sums:
            estimate = estimate + shares * (mixture - estimate.sum(1, keepdim=True))
        return self.stft.waveform(estimate, waveforms.shape[-1])


class FitMeter:
    """Adds up how well each source's model explains what it was given, over the segments of a sound."""

    def __init__(self, separator: Separator):
        self.separator = separator
        self.misfit = torch.zeros(len(separator.names), dtype=torch.float64)
        self.weight = torch.zeros(len(separator.names), dtype=torch.float64)

    def add(self, inferred: InferredSound) -> None:
        """One batch of segments more."""
        misfit, weight = fit_of(self.separator.model.sources, inferred)
        self.misfit += misfit
        self.weight += weight

    def fits(self) -> tuple[Fit, ...]:
        """Of each source."""
        mean = (self.misfit / self.weight.clamp(min=1e-12)).tolist()
        return tuple(Fit(*parts) for parts in zip(self.separator.names, mean, strict=True))


def _checked(waveform: npt.NDArray[np.floating] | Tensor) -> npt.NDArray[np.float32]:
    samples = np.asarray(waveform.detach().cpu() if isinstance(waveform, Tensor) else waveform, dtype=np.float32)
    if samples.ndim == 0 or samples.size == 0:
        raise InputError("the waveform holds no samples: give one that is not empty.")
    if not np.isfinite(samples).all():
        raise InputError("the waveform holds NaN or infinity: repair it first.")
    return samples


def _segmenting(segment: float, overlap: float, stft: STFT, n_sources: int) -> Segmenting:
    if not (0 <= 2 * overlap <= segment and segment >= 1):
        raise InputError(
            f"segments of {segment} s with {overlap} s of overlap: give 1 s or more, and at most half of it as overlap."
        )
    batch = max(1, int(BATCH_SECONDS / (segment * n_sources)))
    return Segmenting(int(segment * stft.rate), int(overlap * stft.rate), batch)
