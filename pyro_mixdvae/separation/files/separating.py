"""Sound files to files of the sounds in them, in bounded memory."""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.spectral_uncertainty import Interval, Intervals
from pyro_mixdvae.outputs import staged, writing
from pyro_mixdvae.reporting.pictures import add_picture
from pyro_mixdvae.separation.audio.reading import Samples, SoundReader
from pyro_mixdvae.separation.audio.resampling import resample
from pyro_mixdvae.separation.audio.writing import WavWriter
from pyro_mixdvae.separation.files.blocks import BlockSeparation, Stems
from pyro_mixdvae.separation.files.jobs import JobPaths, MixtureFile, mixed_down
from pyro_mixdvae.separation.files.posterior import PosteriorMeter
from pyro_mixdvae.separation.high_band import HighBand
from pyro_mixdvae.separation.plots import picture
from pyro_mixdvae.separation.presence import Presence, Silencer, presence_table
from pyro_mixdvae.separation.separator import Separator, fits_of_all, sounding_of

BLOCK = 1 << 18
PICTURED = 30.0  # seconds
LONGEST_POSTERIOR = 60.0  # seconds: of two sources some 120 MB a channel


@dataclass(frozen=True)
class SeparatedFile:
    """What there is to say about a file that was separated.

    Attributes:
        mixture: the file.
        written: all that was written.
        n_clipped: samples that whole numbers could not hold.
        elapsed: seconds that it took.
        elbo: mean over the frames of all segments and channels, of sound whose peak is 1.
        warnings: sentences for the user.
    """

    mixture: MixtureFile
    written: list[Path]
    n_clipped: int
    elapsed: float
    elbo: float
    warnings: list[str]

    @property
    def real_time_factor(self) -> float:
        """Seconds of work a second of sound."""
        return self.elapsed / self.mixture.seconds


def check_posterior_fits(mixtures: Sequence[MixtureFile]) -> None:
    """Whether the posteriors of files are small enough to be kept.

    Raises:
        InputError: a file is longer than a minute.
    """
    for mixture in mixtures:
        if mixture.seconds > LONGEST_POSTERIOR:
            raise InputError(
                f"{mixture.path} lasts {mixture.seconds:.1f} s, and a posterior is saved of {LONGEST_POSTERIOR:g} s at "
                "most: cut it, or leave --save-posterior out."
            )


def separate_file(
    separator: Separator,
    mixture: MixtureFile,
    paths: JobPaths,
    bits: int = 32,
    overwrite: bool = False,
    advance: Callable[[float], None] = lambda seconds: None,
    presence: Presence | None = None,
) -> SeparatedFile:
    """Separate one file; all its outputs appear together, or none, and then their picture.

    Memory does not grow with the length: the file is read once to be separated, and once more in step with what comes
    out.

    Args:
        separator: of the sources.
        mixture: as `examine` found it.
        paths: of the outputs.
        bits: of the sounds; 16, 24, or 32 for float.
        overwrite: existing files may be replaced.
        advance: told how many seconds of sound are done so far.
        presence: when each source sounds, as of `Separator.separate`.

    Raises:
        InputError: an output cannot be written, or the mixture cannot be read any more.
    """
    began = time.monotonic()
    kept = LONGEST_POSTERIOR if paths.posterior else 0.0
    meters = [PosteriorMeter(separator, mixture.peak, kept) for _ in range(mixture.channels)]
    meters[0].pictured = PICTURED if paths.picture else 0.0
    written = [path for path in paths.all if path != paths.picture]
    with staged(written, overwrite, paths.former) as temporaries:
        temporary = dict(zip(written, temporaries, strict=True))
        with ExitStack() as files:
            writers = [
                files.enter_context(
                    WavWriter(temporary[path], mixture.rate, mixture.channels, mixture.length, bits, path)
                )
                for path in paths.sounds
            ]
            for observed, stems in _in_step(separator, mixture, meters, presence):
                sounds = [*stems, *([observed - stems.sum(0)] if paths.residual else [])]
                for writer, sound in zip(writers, sounds, strict=True):
                    writer.write(sound)
                advance(writers[0].n_written / mixture.rate)
            n_clipped = sum(writer.clipped for writer in writers)
        if paths.posterior:
            with writing(paths.posterior):
                temporary[paths.posterior].write_bytes(_posterior_file(separator, meters))
        sounding = sounding_of(meters, presence, mixture.seconds)
        if paths.presence and sounding is not None:
            with writing(paths.presence):
                temporary[paths.presence].write_text(presence_table(sounding.spans), encoding="utf-8")
        if paths.model and separator.declaration is not None:
            with writing(paths.model):
                temporary[paths.model].write_text(separator.declaration.text(), encoding="utf-8")
    notes = [fit.warning for fit in fits_of_all(meters) if fit.warning]
    notes += [meters[0].note] if meters[0].note else []
    if paths.picture:
        note = add_picture(paths.picture, lambda: _picture(separator, mixture, paths.stems, meters[0]), overwrite)
        if note:
            notes.append(note)
        else:
            written.append(paths.picture)
    return SeparatedFile(
        mixture,
        written,
        n_clipped,
        time.monotonic() - began,
        sum(meter.elbo for meter in meters) / sum(meter.n_frames for meter in meters),
        notes,
    )


def _in_step(
    separator: Separator, mixture: MixtureFile, meters: Sequence[PosteriorMeter], presence: Presence | None
) -> Iterator[tuple[Samples, Stems]]:
    """The mixture [channels, n] and its stems [N, channels, n], piece by piece."""
    separation = BlockSeparation(separator, mixture, meters, presence)
    spans = separator.check_presence(presence, mixture.seconds)
    silenced = Silencer(spans or {}, separator.names, mixture.rate, separator.window)
    shares = separator.sums and mixture.rate != separator.stft.rate
    high = HighBand(mixture.rate, separator.stft.rate, mixture.peak)

    def ready() -> Iterator[Stems]:
        for block in mixture.blocks(BLOCK):
            yield separation.push(block)
        yield separation.finish()

    with SoundReader(mixture.path) as again:
        position = 0
        for stems in ready():
            for start in range(0, stems.shape[-1], BLOCK):
                piece = stems[..., start : start + BLOCK]
                observed = again.read(position, piece.shape[-1])
                observed = mixed_down(observed) if mixture.is_mixed_down else observed
                position += piece.shape[-1]
                yield observed, silenced(high.add(piece, observed) if shares else piece)


def _picture(separator: Separator, mixture: MixtureFile, stems: Sequence[Path], meter: PosteriorMeter) -> bytes:
    """Of the beginning of the first channel, from the stems as they were written."""
    observed = next(mixture.blocks(int(PICTURED * mixture.rate)))[:1]
    sounds = [observed]
    for path in stems:
        with SoundReader(path) as reader:
            sounds.append(reader.read(0, observed.shape[1])[:1])
    waveforms = resample(np.concatenate(sounds), mixture.rate, separator.stft.rate)
    segments = [segment for segment in meter.kept if segment.start < PICTURED]
    return picture(waveforms, segments, separator.names, separator.stft, mixture.path.name)


def _posterior_file(separator: Separator, meters: Sequence[PosteriorMeter]) -> bytes:
    """An npz: for segment k `gains_k`, `mean_k`, `variance_k`, `magnitudes_low_k`, `magnitudes_high_k`, `gains_low_k`
    and `gains_high_k` [channels, N, T, F], and where the segments begin.
    """
    arrays: dict[str, Any] = {
        "names": np.array(separator.names),
        "transform": np.array(separator.stft.name),
        "starts": np.array([segment.start for segment in meters[0].kept]),
    }
    for k, channels in enumerate(zip(*(meter.kept for meter in meters), strict=True)):
        for what in ("gains", "mean", "variance"):
            arrays[f"{what}_{k}"] = np.stack([getattr(segment, what).numpy() for segment in channels])
        for what in Intervals._fields:
            ends = [getattr(segment.intervals, what) for segment in channels]
            for end in Interval._fields:
                arrays[f"{what}_{end}_{k}"] = np.stack([getattr(each, end).numpy() for each in ends])
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()
