"""``mixdvae separate - --live``: a sound in, its stems out, while it comes."""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyro_mixdvae.cli.options import STANDARD, above_zero, use_one_thread
from pyro_mixdvae.cli.standard_output import write_bytes
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.outputs import check_outputs
from pyro_mixdvae.progress import remark

if TYPE_CHECKING:
    from pyro_mixdvae.declaration.document import Declaration
    from pyro_mixdvae.separation.audio.reading import Samples
    from pyro_mixdvae.separation.live.reading import SoundStream
    from pyro_mixdvae.separation.live.separator import LiveSeparator
    from pyro_mixdvae.separation.live.writing import StemWriter
    from pyro_mixdvae.separation.separator import Estimate

NAME = "live"
"""What {mixture} stands for."""

JUDGED = 5.0
"""Seconds of sound that have to take longer than they last, until it is said that the work does not keep up."""


@dataclass(frozen=True)
class LiveOptions:
    """What the command line says with ``--live``.

    Attributes:
        raw: how samples that come without a header are written; None: a WAV file comes.
        rate, channels: of such samples.
        window, hop, lookahead, iterations: as of `LiveSeparator`; None for its own.
        estimate, sums: as of `Separator`.
        bits: of a sample of the stems.
        is_mixed_down: the mean of the channels is separated.
        filename: where in the output folder each stem goes.
        overwrite: existing files may be replaced.
    """

    raw: str | None
    rate: int | None
    channels: int | None
    window: float | None
    hop: float | None
    lookahead: float | None
    iterations: int | None
    estimate: "Estimate"
    sums: bool
    bits: int
    is_mixed_down: bool
    filename: str
    overwrite: bool

    def check(self) -> None:
        """Whether they go together.

        Raises:
            InputError: they do not.
        """
        if self.raw is None and (self.rate is not None or self.channels is not None):
            raise InputError(
                "--rate and --channels are of samples without a header: give --raw as well, or leave them out."
            )
        if self.raw is not None and self.rate is None:
            raise InputError("--raw samples do not say how many come in a second: give --rate, as --rate 16000.")
        for option, seconds in (("--window", self.window), ("--hop", self.hop)):
            above_zero(option, seconds)

    @property
    def of_inference(self) -> dict[str, Any]:
        """Those that are not left to `LiveSeparator`."""
        given = {
            "window": self.window,
            "hop": self.hop,
            "lookahead": self.lookahead,
            "n_iterations": self.iterations,
        }
        return {name: value for name, value in given.items() if value is not None}


class Pace:
    """How long the work takes beside the sound, in all and of late.

    Args:
        latency: seconds that stems come later, without the work.
    """

    def __init__(self, latency: float):
        self._latency = latency
        self._busy = self._sound = self._late_busy = self._late_sound = 0.0
        self._has_told = False

    def add(self, busy: float, sound: float) -> None:
        """So many seconds of work on so many of sound; says once where that is too slow."""
        self._busy, self._sound = self._busy + busy, self._sound + sound
        self._late_busy, self._late_sound = self._late_busy + busy, self._late_sound + sound
        if self._late_sound < JUDGED:
            return
        if self._late_busy > self._late_sound and not self._has_told:
            self._has_told = True
            remark(
                f"This does not keep up: {self._late_sound:.1f} s of sound took {self._late_busy:.1f} s, and stems "
                "come later and later; give a longer --hop, a shorter --window, or fewer --iterations."
            )
        self._late_busy = self._late_sound = 0.0

    def tell(self) -> None:
        """What the run has come to."""
        if self._sound == 0:
            remark("No sound came: there was nothing to separate.")
            return
        remark(
            f"{self._sound:.2f} s separated: latency {self._latency:.3f} s and the work, real-time factor "
            f"{self._busy / self._sound:.3f}."
        )


def separate_live(output: Path, declaration: "Declaration", options: LiveOptions) -> None:
    """Separate what comes on standard input; what ends it leaves whole files.

    Args:
        output: folder of a growing file a stem, or ``-`` for standard output.
        declaration: which model.
        options: of the command line.

    Raises:
        InputError: an argument or the sound cannot be used. What came before is separated.
    """
    from pyro_mixdvae.separation.files.jobs import check_template

    options.check()
    check_template(options.filename)
    if sys.stdin is None:
        raise InputError("standard input is closed: pipe a sound into the command.")
    if output == STANDARD and sys.stdout is not None and sys.stdout.isatty():
        raise InputError("-o - writes sound, and standard output is a terminal: pipe it on, or give a folder.")
    sound = _sound(options)
    paths = _paths(output, declaration, options)
    use_one_thread()
    from pyro_mixdvae.separation.live.separator import LiveSeparator

    separator = LiveSeparator(
        sound.rate, preset=declaration, estimate=options.estimate, sums=options.sums, **options.of_inference
    )
    for sentence in (*separator.notes, *([separator.note] if separator.note else [])):
        remark(sentence)
    pace = Pace(separator.latency)
    with _writer(paths, separator, 1 if options.is_mixed_down else sound.channels, options) as writer:
        try:
            _separate_all(sound, separator, writer, pace, options.is_mixed_down)
        finally:
            pace.tell()
            if writer.clipped:
                remark(f"{writer.clipped} samples of the stems were clipped (--bits 32 keeps them).")


def _sound(options: LiveOptions) -> "SoundStream":
    from pyro_mixdvae.separation.live.reading import SoundStream

    stream: Any = sys.stdin.buffer
    if options.raw is None:
        return SoundStream.of_wav(stream)
    channels = 1 if options.channels is None else options.channels
    return SoundStream(stream, options.rate or 0, channels, options.raw)


def _paths(output: Path, declaration: "Declaration", options: LiveOptions) -> Sequence[Path]:
    """Where the stems go, none on standard output; looked at before models are loaded, which takes seconds."""
    if output == STANDARD:
        return ()
    from pyro_mixdvae.separation.files.jobs import Place, job_paths
    from pyro_mixdvae.separation.presets import weights_said
    from pyro_mixdvae.separation.source_files import source_names

    names, _ = source_names(weights_said(declaration))
    paths = job_paths(Place(Path(NAME), output, options.filename), names, picture=False).stems
    check_outputs(paths, options.overwrite, inputs=declaration.files, advice="give another folder for OUT")
    return paths


def _writer(paths: Sequence[Path], separator: "LiveSeparator", channels: int, options: LiveOptions) -> "StemWriter":
    from pyro_mixdvae.separation.live.writing import StemBytes, StemFiles

    if not paths:
        together = channels * len(separator.names)
        return StemBytes(write_bytes, separator.rate, together, options.bits, options.raw is not None)
    return StemFiles(paths, separator.rate, channels, options.bits)


def _separate_all(
    sound: "SoundStream", separator: "LiveSeparator", writer: "StemWriter", pace: Pace, is_mixed_down: bool
) -> None:
    """From one pipe to the other, as fast as it comes; what came before a fault of the sound goes out whole."""
    faults: list[InputError] = []
    for block in _until_a_fault(sound, faults):
        began = time.monotonic()
        stems = separator.update(block.mean(1, keepdims=True) if is_mixed_down else block)
        pace.add(time.monotonic() - began, len(block) / sound.rate)
        if stems.shape[1]:
            writer.write(stems.swapaxes(1, 2))
    stems = separator.finish()
    if stems.shape[1]:
        writer.write(stems.swapaxes(1, 2))
    if faults:
        raise faults[0]


def _until_a_fault(sound: "SoundStream", faults: list[InputError]) -> "Iterator[Samples]":
    """Blocks `[n, channels]` that can be used; what ends them, if it is no end of the sound, is put into `faults`."""
    try:
        yield from sound.blocks()
    except InputError as fault:
        faults.append(fault)
