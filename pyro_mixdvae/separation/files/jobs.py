"""Which files are to be separated, what is known of them before, and where their stems go; without torch."""

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.separation.audio.reading import Samples, SoundReader

RESIDUAL, PICTURE, POSTERIOR, MODEL, PRESENCE = "residual", "separation", "posterior", "model", "presence"
SUFFIXES = {RESIDUAL: ".wav", PICTURE: ".png", POSTERIOR: ".npz", MODEL: ".toml", PRESENCE: ".csv"}
"""Of the files beside the stems."""

_FIELDS = ("mixture", "source")


@dataclass(frozen=True)
class MixtureFile:
    """A file to separate.

    Attributes:
        path: of it.
        rate: samples a second.
        channels: that are separated: those of the file, or 1 if it is to be mixed down.
        length: samples of a channel.
        peak: the greatest magnitude of what is separated.
        is_mixed_down: its channels are replaced by their mean.
    """

    path: Path
    rate: int
    channels: int
    length: int
    peak: float
    is_mixed_down: bool

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.length / self.rate

    def blocks(self, size: int) -> Iterator[Samples]:
        """What is separated, as blocks ``[channels, size]``, the last one shorter."""
        with SoundReader(self.path) as reader:
            for block in reader.blocks(size):
                yield mixed_down(block) if self.is_mixed_down else block


@dataclass(frozen=True)
class JobPaths:
    """What separating a file leaves.

    Attributes:
        stems: of the N sources, in their order.
        residual, picture, posterior, model, presence: None where they are not wanted.
        former: what a former run has left there, and this one does not write.
    """

    stems: tuple[Path, ...]
    residual: Path | None
    picture: Path | None
    posterior: Path | None
    model: Path | None = None
    presence: Path | None = None
    former: tuple[Path, ...] = ()

    @property
    def sounds(self) -> list[Path]:
        """The stems, and the residual."""
        return [*self.stems, *([self.residual] if self.residual else [])]

    @property
    def all(self) -> list[Path]:
        """Every file, sounds first."""
        return self.sounds + [path for path in (self.picture, self.posterior, self.model, self.presence) if path]


def examine(path: str | Path, is_mixed_down: bool = False) -> MixtureFile:
    """Read a file from beginning to end, so that what is wrong with it is known before anything is written.

    Raises:
        InputError: it cannot be used; see `SoundReader`.
    """
    peak = 0.0
    with SoundReader(path) as reader:
        for block in reader.blocks():
            peak = max(peak, float(np.abs(mixed_down(block) if is_mixed_down else block).max()))
        channels = 1 if is_mixed_down else reader.channels
        return MixtureFile(Path(path), reader.rate, channels, reader.length, peak, is_mixed_down)


def mixed_down(samples: Samples) -> Samples:
    """The mean ``[1, n]`` of channels ``[channels, n]``."""
    return samples.mean(axis=0, keepdims=True)


def check_template(template: str) -> None:
    """Whether a template names a WAV file below the output folder, one for each source.

    Raises:
        InputError: it does not.
    """
    wanted = "write it like {mixture}/{source}.wav."
    try:
        fields = [part[1:] for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise InputError(f"--filename {template!r} is no template ({error}): {wanted}") from error
    for name, specification, conversion in fields:
        if name not in _FIELDS or specification or conversion:
            raise InputError(f"--filename {template!r} has a field that is not {{mixture}} or {{source}}: {wanted}")
    if "source" not in [field[0] for field in fields]:
        raise InputError(f"--filename {template!r} lacks {{source}}, and the stems need a file each: {wanted}")
    if Path(template).suffix.lower() != ".wav":
        raise InputError(f"--filename {template!r} does not end in .wav, and WAV files are written: {wanted}")
    if Path(template).is_absolute() or ".." in Path(template).parts:
        raise InputError(f"--filename {template!r} leads out of the output folder: {wanted}")


@dataclass(frozen=True)
class Place:
    """Where the files of a mixture go.

    Attributes:
        mixture: whose.
        output: the folder.
        template: of paths below it; it was checked.
    """

    mixture: Path
    output: Path
    template: str

    def stem(self, source: str) -> Path:
        """Of a source.

        Raises:
            InputError: the mixture is called so that it would lie elsewhere than below the output folder.
        """
        relative = Path(self.template.format(mixture=self.mixture.stem, source=source))
        if ".." in relative.parts:
            raise InputError(f"{self.mixture} cannot give its name to a folder: rename it.")
        return self.output / relative

    def beside(self, kind: str) -> Path:
        """One of `SUFFIXES`."""
        return self.stem(kind).with_suffix(SUFFIXES[kind])


def job_paths(
    place: Place,
    names: Sequence[str],
    residual: bool = False,
    picture: bool = True,
    posterior: bool = False,
    model: bool = False,
    presence: bool = False,
) -> JobPaths:
    """Where the stems of sources with these names go, and what else is wanted.

    Raises:
        InputError: as `Place.stem`.
    """
    return JobPaths(
        tuple(place.stem(name) for name in names),
        place.beside(RESIDUAL) if residual else None,
        place.beside(PICTURE) if picture else None,
        place.beside(POSTERIOR) if posterior else None,
        place.beside(MODEL) if model else None,
        place.beside(PRESENCE) if presence else None,
    )
