"""Mixtures and their sources as a folder of sound files with a manifest."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import check_name, cut, quoted, read_text
from pyro_mixdvae.outputs import staged, writing
from pyro_mixdvae.reporting.tables import csv_text
from pyro_mixdvae.separation.audio.writing import sound_bytes
from pyro_mixdvae.separation.mixtures.mixing import RATE, Mixture, Recipe

MIXTURES = "mixtures"
MANIFEST = "manifest.csv"
LARGEST_NUMBER = 1e9  # of decibels and of frames

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class ManifestRow:
    """What a manifest says about a mixture.

    Attributes:
        name: of the mixture.
        snr: power of the first source above that of each other, in decibels; None if it does not say.
        n_frames: length in frames; None if it does not say.
    """

    name: str
    snr: float | None
    n_frames: int | None


def output_paths(output: Path, names: Sequence[str], recipes: Iterable[Recipe]) -> list[Path]:
    """The files that `write_mixtures` writes: each mixture with its sources, the manifest last."""
    parts = [MIXTURES, *names]
    return [output / part / f"{recipe.name}.wav" for recipe in recipes for part in parts] + [output / MANIFEST]


def mixtures_in(paths: Sequence[Path]) -> list[Path]:
    """Paths of sounds to separate, where of a folder that `write_mixtures` has written that of its mixtures stands."""
    return [path / MIXTURES if (path / MANIFEST).is_file() and (path / MIXTURES).is_dir() else path for path in paths]


def check_names(names: Sequence[str]) -> None:
    """Whether folders can be called so.

    Raises:
        InputError: a name is no plain word, is given twice, or is that of the folder of mixtures.
    """
    for name in names:
        check_name(name)
    if len({MIXTURES, *(name.casefold() for name in names)}) <= len(names):
        raise InputError(f"sources {', '.join(names)} and {MIXTURES} need a folder each: give names that differ.")


def write_mixtures(
    mixtures: Iterable[Mixture],
    recipes: Sequence[Recipe],
    folders: Sequence[Path],
    names: Sequence[str],
    output: Path,
    overwrite: bool = False,
) -> None:
    """Write ``output/mixtures/NAME.wav``, ``output/SOURCE/NAME.wav`` of each source, and ``output/manifest.csv``.

    Samples are 32-bit floats, so that each mixture is the sum of its sources. One mixture at a time is in memory. The
    same mixtures give the same bytes.

    Args:
        mixtures: of the recipes, in their order.
        recipes: what the mixtures are.
        folders: that they were drawn from, one a source; the manifest names recordings within them.
        names: of the sources, see `check_names`.
        output: folder to write into.
        overwrite: replace existing files.

    Raises:
        InputError: a file exists already or cannot be written; then none is.
    """
    paths = output_paths(output, names, recipes)
    rows = []
    with staged(paths, overwrite) as temporaries:
        targets = zip(paths, temporaries, strict=True)
        for mixture in mixtures:
            for samples in (mixture.samples, *mixture.sources):
                path, temporary = next(targets)
                with writing(path):
                    temporary.write_bytes(sound_bytes(samples[None], RATE))
            rows.append(_row(mixture, folders, names))
        with writing(paths[-1]):
            temporaries[-1].write_bytes(csv_text(_header(names), rows).encode())


def read_manifest(path: Path) -> list[ManifestRow]:
    """The mixtures of a manifest, in its order; only the column ``id`` must be there.

    Raises:
        InputError: the file cannot be read, has no such column, says something else than a number, or says nothing.
    """
    try:
        table = csv.DictReader(read_text(path).splitlines())
        rows = list(table)
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as a CSV file: repair it or take it away.") from error
    if not rows or any(not row.get("id") for row in rows):
        raise InputError(f"{path} does not name a mixture in each row, in a column id: repair it or take it away.")
    names = [row["id"] for row in rows]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path} names the mixture {quoted(twice)} twice: take one of the rows away.")
    try:
        return [ManifestRow(row["id"], _number(row.get("snr"), float), _number(row.get("frames"), int)) for row in rows]
    except ValueError as error:
        raise InputError(
            f"{path} holds something else than a number as snr or frames ({cut(str(error))}): repair it."
        ) from error


def _number(text: str | None, kind: Callable[[str], Number]) -> Number | None:
    if not text:
        return None
    number = kind(text)
    if "_" in text or not abs(number) <= LARGEST_NUMBER:  # NaN is not
        raise ValueError(quoted(text))
    return number


def _header(names: Sequence[str]) -> list[str]:
    columns = [f"{name} {what}" for name in names for what in ("file", "recording", "offset", "gain")]
    return ["id", "mixture", "snr", "frames", "seed", *columns]


def _row(mixture: Mixture, folders: Sequence[Path], names: Sequence[str]) -> list[object]:
    recipe, file = mixture.recipe, f"{mixture.recipe.name}.wav"
    cells: list[object] = [recipe.name, f"{MIXTURES}/{file}", f"{recipe.snr:g}", recipe.n_frames, recipe.seed]
    for name, origin in zip(names, origins(mixture, folders), strict=True):
        cells += [f"{name}/{file}", *origin]
    return cells


def origins(mixture: Mixture, folders: Sequence[Path]) -> list[tuple[str, int, str]]:
    """Of each source: the recording within its folder, the offset of its first sample, and its gain."""
    return [
        (
            segment.path.relative_to(folder).as_posix() if segment.path != folder else segment.path.name,
            segment.offset,
            f"{gain:.9g}",
        )
        for folder, segment, gain in zip(folders, mixture.segments, mixture.gains, strict=True)
    ]
