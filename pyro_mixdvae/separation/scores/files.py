"""Estimates in files held against references in files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import list_folder, some_of
from pyro_mixdvae.separation.audio.reading import SUFFIXES, Sound, read_sound
from pyro_mixdvae.separation.mixtures.files import MANIFEST, MIXTURES, ManifestRow, read_manifest
from pyro_mixdvae.separation.scores.measures import SCORES, score
from pyro_mixdvae.separation.scores.rows import Item


@dataclass(frozen=True)
class Pair:
    """An estimate and what it should be.

    Attributes:
        about: the mixture.
        source: its name.
        reference: file of the true source.
        estimate: file of the estimate.
        mixture: file of the mixture, if there is one.
    """

    about: ManifestRow
    source: str
    reference: Path
    estimate: Path
    mixture: Path | None

    @property
    def files(self) -> list[Path]:
        """All that are read."""
        return [self.reference, self.estimate, *([self.mixture] if self.mixture else [])]


def find_pairs(estimates: Path, references: Path) -> tuple[list[Pair], list[str]]:
    """All references with their estimates, and notes on what is left out.

    Args:
        estimates: folder of ``MIXTURE/SOURCE.wav``, of any format.
        references: folder of ``SOURCE/MIXTURE.wav``, perhaps of ``mixtures/MIXTURE.wav`` and ``manifest.csv``; with
            that, the mixtures are those that it names.

    Raises:
        InputError: a folder cannot be listed or holds no such files, or an estimate or a reference is missing.
    """
    sources = {
        folder.name: sounds
        for folder in _folders(references)
        if folder.name != MIXTURES and (sounds := _sounds(folder))
    }
    if not sources:
        raise InputError(
            f"{references} holds no folders of sources, as speech/MIXTURE.wav: give one as mixdvae mix writes it."
        )
    mixtures = _sounds(references / MIXTURES) if (references / MIXTURES).is_dir() else {}
    rows = _rows(references, sources)
    pairs = [
        Pair(row, source, sounds[row.name], _estimate(estimates, row.name, source), mixtures.get(row.name))
        for row in rows
        for source, sounds in sources.items()
        if row.name in sounds
    ]
    missing = [pair.estimate for pair in pairs if not pair.estimate.exists()]
    if missing:
        advice = _names_differ(missing, sources, references) or f"separate all mixtures of {references} first"
        raise InputError(f"there is no estimate {some_of(missing)}: {advice}.")
    names = {row.name for row in rows}
    others = [folder.name for folder in _folders(estimates) if folder.name not in names]
    notes = [f"not scored, as {references} holds no references: {some_of(others)}."] if others else []
    return pairs, notes


def score_pair(pair: Pair) -> Item:
    """Scores of the estimate, and of the mixture taken for one.

    Raises:
        InputError: a file cannot be read, or differs from the reference in rate, channels or length.
    """
    reference = read_sound(pair.reference)
    estimate = _like(reference, pair.estimate, pair.reference)
    unprocessed = dict.fromkeys(SCORES, float("nan"))
    if pair.mixture:
        mixture = _like(reference, pair.mixture, pair.reference)
        unprocessed = score(reference.samples, mixture.samples, reference.rate)
    scores = score(reference.samples, estimate.samples, reference.rate)
    return Item(pair.about.name, pair.source, scores, unprocessed, pair.about.snr, pair.about.n_frames)


def _rows(references: Path, sources: dict[str, dict[str, Path]]) -> list[ManifestRow]:
    """The mixtures by the manifest, or else by the names of files."""
    if not (references / MANIFEST).exists():
        return [
            ManifestRow(name, None, None) for name in sorted({name for found in sources.values() for name in found})
        ]
    rows = read_manifest(references / MANIFEST)
    missing = [
        references / source / row.name for row in rows for source, found in sources.items() if row.name not in found
    ]
    if missing:
        raise InputError(
            f"{references / MANIFEST} names mixtures without a source: there is no {some_of(missing)}.wav."
        )
    return rows


def _estimate(estimates: Path, mixture: str, source: str) -> Path:
    folder = estimates / mixture
    return (_sounds(folder) if folder.is_dir() else {}).get(source, folder / f"{source}.wav")


def _names_differ(missing: Sequence[Path], sources: Iterable[str], references: Path) -> str | None:
    """What to do where all mixtures were separated, but into sources of other names; None where some were not."""
    found = [list(_sounds(path.parent)) if path.parent.is_dir() else [] for path in missing]
    if not all(set(names).difference(sources) for names in found):
        return None
    return (
        f"{missing[0].parent} holds {some_of(found[0])}, and the sources in {references} are called "
        f"{some_of(list(sources))}; give both the same names, the mixtures by `mixdvae mix --names`"
    )


def _like(reference: Sound, path: Path, origin: Path) -> Sound:
    """The sound of a file that must be comparable to the reference."""
    sound = read_sound(path)
    kinds = {
        "samples a second": (sound.rate, reference.rate),
        "channels": (len(sound.samples), len(reference.samples)),
        "samples": (sound.samples.shape[1], reference.samples.shape[1]),
    }
    for unit, (found, expected) in kinds.items():
        if found != expected:
            raise InputError(f"{path} has {found} {unit}, and {origin} has {expected}: give sounds of the same shape.")
    return sound


def _folders(path: Path) -> list[Path]:
    return [folder for folder in list_folder(path) if folder.is_dir()]


def _sounds(folder: Path) -> dict[str, Path]:
    """The sound files of a folder by their names without suffix."""
    found: dict[str, Path] = {}
    for path in list_folder(folder):
        if path.suffix.lower() not in SUFFIXES:
            continue
        if path.stem in found:
            raise InputError(f"{path} and {found[path.stem].name} have one name: take one of them away.")
        found[path.stem] = path
    return found
