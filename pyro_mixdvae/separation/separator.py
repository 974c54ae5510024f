"""`Separator`: from a waveform to the sounds in it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyro_mixdvae.declaration.builder import resolve
from pyro_mixdvae.declaration.document import Declaration
from pyro_mixdvae.declaration.shipped import SVI_STEPS, check_method, shipped, with_method, with_weights
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.algorithms import Algorithm
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.inference.preset import Method, Preset, chosen_algorithm
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.likelihoods.spectral import sound_scene
from pyro_mixdvae.models.silence import MOST_SOURCES, Silence
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.audio.reading import LOUDEST, unusable
from pyro_mixdvae.separation.audio.resampling import resample
from pyro_mixdvae.separation.fit import Fit, FitSums
from pyro_mixdvae.separation.given import single_precision, whole_rate
from pyro_mixdvae.separation.high_band import HighBand
from pyro_mixdvae.separation.presence import (
    Frames,
    Presence,
    Silencer,
    Sounding,
    Span,
    known_frames,
    require_presence,
    spans_of,
)
from pyro_mixdvae.separation.presets import build, weights_of
from pyro_mixdvae.separation.result import Separation, channels_first
from pyro_mixdvae.separation.source_files import require_several, source_names
from pyro_mixdvae.separation.stream import Segmenting, SegmentStream

Estimate = Literal["mean", "mask"]
Waveform = TypeVar("Waveform", npt.NDArray[np.floating], Tensor)

DEFAULT_SOURCES = ("speech", "flute")

# Of all sources' sound in a batch of segments: about 4 MB of memory each; with more, nothing is faster.
BATCH_SECONDS = 24.0

FAINTEST = 1e-12
"""Of a mixture, a share of a source that makes up for none: where no source is heard, all that may sound have it."""

QUIETEST = float(np.finfo(np.float32).tiny)
"""Sounds with a smaller peak are silence: single precision has no number that would make them louder."""


class Separator:
    """Pulls the sounds of known sources out of a mono mixture; several channels are separated one by one.

    Args:
        sources: names of weights that ship, or paths of weights files: two or more, in the order of the stems; None:
            those of the preset, speech and flute.
        preset: "additive": sounds overlap; "assignment": one of them wins each frequency, as in the paper; "published":
            the paper's algorithm too; a `Declaration` (of a TOML file); or a `Preset` of your own, whose model has its
            networks already: of `sources` only the names are taken then.
        guide: in place of the preset's: a family of guides, or a Pyro program.
        algorithm: in place of the preset's: "coordinate", "svi", "hybrid", or an object (`inference.algorithms`).
        n_iterations: of the algorithm; None for its own.
        estimate: "mean" of the posterior, or the mixture through the soft "mask".
        sums: stems that sum to the mixture: what the posterior means leave is shared among them.
        segment, overlap: seconds; longer sounds are cut, and their pieces fade into one another.
        seed: of the draws of SVI.

    Attributes:
        declaration: all that the model is made of; None where an object was given in place of a name.

    Raises:
        InputError: fewer than two sources, or a string in place of a list, weights that cannot be used, weights of
            different transforms, no such preset or algorithm, or parts that do not go together.
    """

    def __init__(
        self,
        sources: Sequence[str | Path] | None = None,
        preset: str | Declaration | Preset = "additive",
        guide: Any = None,
        algorithm: Method | Algorithm | None = None,
        n_iterations: int | None = None,
        estimate: Estimate = "mean",
        sums: bool = True,
        segment: float = 8.0,
        overlap: float = 1.0,
        seed: int = 0,
    ):
        if isinstance(algorithm, str):
            check_method(algorithm)
        require_several(sources)
        self.declaration: Declaration | None = None
        if isinstance(preset, str):
            preset = shipped(preset, "sounds")
        if isinstance(preset, Declaration):
            preset = with_weights(preset, None if sources is None else list(sources))
            if algorithm is None or isinstance(algorithm, str):
                preset = with_method(preset, algorithm, n_iterations, "sounds")
                algorithm = n_iterations = None
            sources = weights_of(preset)
            if guide is None and algorithm is None:
                self.declaration = resolve(preset, "sounds").of_run(len(sources), seed)
            preset = build(preset)
        self.names, self.notes = source_names(DEFAULT_SOURCES if sources is None else sources)
        if guide is not None:
            preset = replace(preset, guide=guide)
        if n_iterations is None and algorithm in ("svi", "hybrid"):
            n_iterations = SVI_STEPS["sounds"]
        self.preset = replace(preset, algorithm=chosen_algorithm(preset.algorithm, algorithm, n_iterations))
        self.stft: STFT = preset.representation
        self.estimate, self.sums, self.seed = estimate, sums, seed
        self.segmenting = _segmenting(segment, overlap, self.stft, len(self.names))

    def separate(self, waveform: Waveform, rate: int, presence: Presence | None = None) -> Separation:
        """Separate a waveform at `rate` samples a second, of any level.

        It is ``[n]`` or, of several channels, ``[n, channels]`` as `soundfile` reads them, or ``[channels, n]``: the
        longer axis is that of the samples. Of more axes the last one is. Stems have the mixture's shape.

        The models know sounds up to half their own rate, 8 kHz. What the mixture has above it goes with the source that
        is likelier to make it (`high_band`); without `sums` it is in no stem.

        Args:
            waveform: the mixture.
            rate: samples a second.
            presence: when each source sounds; `Presence()`: any may be silent, and when is inferred; None: all always
                sound, but where the model says otherwise. Stems are zero where their source is known to be silent, and
                where all are, the mixture is in none.

        Raises:
            InputError: it is no array of floats, is empty, holds NaN, infinity or numbers beyond any sound, or has as
                many channels as samples; a rate that is no whole number, or that no sound has; presence of no source,
                or at no time of the mixture.
        """
        rate = whole_rate(rate)
        given = _checked(waveform)
        if not isinstance(waveform, Tensor):
            waveform = np.asarray(waveform)
        channels = channels_first(given)
        peak = float(np.abs(channels).max())
        seconds = channels.shape[-1] / rate
        spans = self.check_presence(presence, seconds)
        meters = [FitMeter(self) for _ in channels]
        at_model_rate = resample(channels, rate, self.stft.rate)
        separated = []
        channel: npt.NDArray[np.float32]
        for channel, fits in zip(at_model_rate, meters, strict=True):
            stream: SegmentStream = self.stream(peak, fits, presence, spans)
            ready = [*stream.push(torch.from_numpy(np.ascontiguousarray(channel))), *stream.finish()]
            separated.append(torch.cat(ready, 1).numpy())
        stems = np.stack(separated, 1)  # [N, channels, n]
        back = resample(stems.reshape(-1, stems.shape[-1]), self.stft.rate, rate, channels.shape[-1])
        by_channel = back.reshape(len(self.names), *channels.shape)
        if self.sums and rate != self.stft.rate:
            by_channel = HighBand(rate, self.stft.rate, peak).add(by_channel, channels)
        if spans is not None:
            by_channel = Silencer(spans, self.names, rate, self.window)(by_channel)
        is_turned = given.ndim == 2 and given.shape[0] > given.shape[1]
        shaped = by_channel.swapaxes(1, 2) if is_turned else by_channel.reshape(len(self.names), *given.shape)
        result = (
            torch.from_numpy(shaped).to(waveform) if isinstance(waveform, Tensor) else shaped.astype(waveform.dtype)
        )
        sounding = sounding_of(meters, presence, seconds)
        return Separation(self.names, result, fits_of_all(meters), waveform, rate, meters[0].note, sounding)

    @property
    def window(self) -> float:
        """Seconds that a frame of the model's spectra is heard through."""
        return self.stft.length / self.stft.rate

    @property
    def may_be_silent(self) -> bool:
        """Whether the model says that sources may be silent, also where nobody says so of a mixture."""
        return getattr(self.preset.model, "silence", None) is not None

    def check_presence(self, presence: Presence | None, seconds: float) -> dict[str, list[Span]] | None:
        """The stretches of each source that is named, in a mixture of some length; None where none is known.

        Raises:
            InputError: they are of no source, or at no time of the mixture; the model has one sound win; or there are
                too many sources.
        """
        if (presence is not None or self.may_be_silent) and len(self.names) > MOST_SOURCES:
            raise InputError(
                f"Of {MOST_SOURCES} sources or fewer it can be said which are silent, and these are {len(self.names)}: "
                "separate fewer, or leave silence out."
            )
        if presence is None:
            return None
        require_presence(presence)
        if not isinstance(self.preset.model, AdditiveModel):
            raise InputError(
                f"{type(self.preset.model).__name__} does not know of sources that may be silent: take the preset "
                "additive, or leave presence out."
            )
        return None if presence.spans is None else presence.within(self.names, seconds)

    def stream(
        self,
        peak: float,
        meter: "FitMeter | None" = None,
        presence: Presence | None = None,
        spans: Mapping[str, Sequence[Span]] | None = None,
    ) -> SegmentStream:
        """Separates a channel that comes block by block at the model's rate, in bounded memory.

        `peak` is the greatest magnitude of the whole: models know sounds of about full scale. `spans` are those of
        `presence` in it (`check_presence`).
        """
        scale = 1 / peak if peak >= QUIETEST else 1.0
        n_done = 0

        def separate(segments: Tensor) -> Tensor:
            nonlocal n_done
            starts = [(n_done + b) * self.segmenting.step / self.stft.rate for b in range(len(segments))]
            n_done += len(segments)
            is_asked = presence is not None or self.may_be_silent
            known = self._known(spans, starts, segments.shape[-1]) if is_asked else None
            found = self.infer(scale * segments, known)
            if meter is not None:
                meter.add(found)
            return self.stems(scale * segments, found) / scale

        return SegmentStream(separate, self.segmenting)

    def _known(self, spans: Mapping[str, Sequence[Span]] | None, starts: Sequence[float], n_samples: int) -> Tensor:
        """What is known of each source [B, T, N] in segments of so many samples that begin at some seconds."""
        always = [not any(True for _ in network.parameters()) for network in self.preset.model.sources.each()]
        times = np.arange(self.stft.n_frames(n_samples)) * self.stft.hop / self.stft.rate
        each = [known_frames(spans, self.names, always, Frames(start + times, self.window)) for start in starts]
        return torch.from_numpy(np.stack(each))

    def infer(self, waveforms: Tensor, known: Tensor | None = None) -> Posterior:
        """The posterior of waveforms [B, n] at the model's rate, at their loudest about 1.

        Where sources may be silent `known` [B, T, N] is what is known of that (`Silence`).
        """
        scene = sound_scene(self.stft.spectrum(waveforms.float()), len(self.names))
        model = self.preset.model
        if known is not None:
            silence = Silence(known=known) if model.silence is None else model.silence.replace(known=known)
            model = model.replace(silence=silence)
        return infer(model, scene, self.preset.guide, self.preset.algorithm, seed=self.seed)

    def stems(self, waveforms: Tensor, posterior: Posterior) -> Tensor:
        """The estimates [B, N, n] that belong to a posterior."""
        mixture = self.stft.spectrum(waveforms.float()).unsqueeze(1)
        gains = gains_of(posterior)
        latent = getattr(posterior.guide, "latent", None)
        parts = gains if latent is None else gains + FAINTEST * latent.may_sound().unsqueeze(-1)
        shares = parts / parts.sum(1, keepdim=True).clamp(min=FAINTEST)
        estimate = posterior.mean if self.estimate == "mean" else gains * mixture
        if self.sums:
            estimate = estimate + shares * (mixture - estimate.sum(1, keepdim=True))
        return self.stft.waveform(estimate, waveforms.shape[-1])


def gains_of(posterior: Posterior) -> Tensor:
    """Each source's share of the mixture, [B, N, T, F]: the Wiener gains or the responsibilities q(w_tf = n)."""
    return posterior.responsibilities[..., : posterior.mean.shape[1]].movedim(-1, 1)


class FitMeter:
    """Adds up how well each source's model explains what it was given, and keeps when it sounds, over the segments of a
    sound.

    Attributes:
        note: a sentence where the compiled engine could not serve.
    """

    def __init__(self, separator: Separator):
        self.separator = separator
        self.sums = FitSums(len(separator.names))
        self.note: str | None = None
        self._presences: list[npt.NDArray[np.float64]] = []

    def add(self, posterior: Posterior) -> None:
        """One batch of segments more."""
        self.note = posterior.note
        self.sums.add(posterior)
        if posterior.presence is not None:
            self._presences += list(posterior.presence.mT.double().cpu().numpy())

    def fits(self) -> tuple[Fit, ...]:
        """Of each source."""
        return self.sums.fits(self.separator.names)

    def presence(self, seconds: float) -> npt.NDArray[np.float64] | None:
        """The probability that each source sounds, ``[T, N]``, at each hop of the whole; None where all always do."""
        if not self._presences:
            return None
        stft, cut = self.separator.stft, self.separator.segmenting
        times = np.arange(stft.n_frames(round(seconds * stft.rate))) * stft.hop / stft.rate
        # Where two segments overlap, the one that has more of the weight.
        segment = np.clip((times - cut.overlap / stft.rate / 2) * stft.rate // cut.step, 0, len(self._presences) - 1)
        rows = []
        for time, number in zip(times.tolist(), segment.astype(int).tolist(), strict=True):
            own = self._presences[number]
            frame = round((time - number * cut.step / stft.rate) * stft.rate / stft.hop)
            rows.append(own[min(max(frame, 0), len(own) - 1)])
        return np.stack(rows)


def fits_of_all(meters: Sequence[FitMeter]) -> tuple[Fit, ...]:
    """Of each source, over all channels."""
    total = FitMeter(meters[0].separator)
    for meter in meters:
        total.sums.include(meter.sums)
    return total.fits()


def sounding_of(meters: Sequence[FitMeter], presence: Presence | None, seconds: float) -> Sounding | None:
    """When each source sounds in any of the channels; None where nobody asked, and the model does not."""
    each = [found for meter in meters if (found := meter.presence(seconds)) is not None]
    if not each:
        return None
    separator = meters[0].separator
    names, step = separator.names, separator.stft.hop / separator.stft.rate
    highest = np.max(np.stack(each), axis=0)
    if presence is None or presence.spans is None:
        spans = spans_of(names, step, highest, seconds)
    else:
        spans = presence.table(names, seconds)
    return Sounding(names, step, highest, tuple(spans))


def _checked(waveform: npt.NDArray[np.floating] | Tensor) -> npt.NDArray[np.float32]:
    samples = single_precision(waveform, "waveform")
    if samples.ndim == 0 or samples.size == 0:
        raise InputError("the waveform holds no samples: give one that is not empty.")
    if samples.ndim == 2 and samples.shape[0] == samples.shape[1] > 1:
        raise InputError(
            f"the waveform has the shape {samples.shape}, and the longer axis is that of the samples: give more "
            "samples than channels."
        )
    if not (np.abs(samples) <= LOUDEST).all():
        raise InputError(f"the waveform holds {unusable(samples)}: repair it first.")
    return samples


def _segmenting(segment: float, overlap: float, stft: STFT, n_sources: int) -> Segmenting:
    if not (0 <= 2 * overlap <= segment and segment >= 1):
        raise InputError(
            f"segments of {segment} s with {overlap} s of overlap: give 1 s or more, and at most half of it as overlap."
        )
    batch = max(1, int(BATCH_SECONDS / (segment * n_sources)))
    return Segmenting(int(segment * stft.rate), int(overlap * stft.rate), batch)
