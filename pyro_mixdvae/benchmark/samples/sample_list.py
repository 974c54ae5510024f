"""The list of samples that a benchmark runs on: drawn from a seed, written, and read back by others."""

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from pyro_mixdvae.benchmark.samples.coming import ComingOptions, coming_trial
from pyro_mixdvae.benchmark.samples.trials import Difficulty, Trial, make_trial
from pyro_mixdvae.benchmark.samples.triples import Annotated, Sample, draw_samples, read_annotated
from pyro_mixdvae.benchmark.samples.whole import WholeOptions, whole_trial
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import read_text
from pyro_mixdvae.tracking.files.sequences import find_sequences

FORMAT = 2


@dataclass(frozen=True)
class SampleOptions:
    """How samples are drawn.

    Attributes:
        n_sources: targets in a sample.
        step: frames from one window to the next; None: windows side by side.
        triples_per_window: samples of a window, at most.
        extra_misses, clutter, spared_frames: see `Difficulty`.
        seed: of all that is drawn.
    """

    n_sources: int = 3
    step: int | None = None
    triples_per_window: int = 20
    extra_misses: float = 0.0
    clutter: float = 0.0
    spared_frames: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.n_sources, self.triples_per_window, 1 if self.step is None else self.step) < 1:
            raise InputError("The numbers of sources and of triples a window, and the step, must be 1 or more.")
        if not 0 <= self.extra_misses < 1:
            raise InputError(f"A share of {self.extra_misses:g} extra misses is not in 0 to 1: give .1, say.")
        if not 0 <= self.clutter <= 100:
            raise InputError(f"{self.clutter:g} clutter boxes a frame are not in 0 to 100: give 1, say.")
        if min(self.spared_frames, self.seed) < 0:
            raise InputError("The number of spared frames and the seed must be 0 or more.")

    @property
    def difficulty(self) -> Difficulty:
        """What is done to the detections of each sample."""
        return Difficulty(self.extra_misses, self.clutter, self.spared_frames)

    def __str__(self) -> str:
        step = "side by side" if self.step is None else f"every {self.step} frames"
        return (
            f"Samples of {self.n_sources} targets; windows {step}, up to {self.triples_per_window} samples in each; "
            f"{100 * self.extra_misses:g} % extra misses and {self.clutter:g} clutter boxes a frame, none of them in "
            f"the first {self.spared_frames} frames; seed {self.seed}. The list of samples is in samples.json. "
            "Samples of a window share targets, so that other windows would move the numbers more than intervals say."
        )


# What a list calls the ways to come by its samples.
Options = SampleOptions | WholeOptions | ComingOptions
_KINDS: dict[str, type[Options]] = {"triples": SampleOptions, "whole": WholeOptions, "coming": ComingOptions}


@dataclass(frozen=True)
class ListedSample:
    """What it takes to cut a sample anew.

    Attributes:
        sequence: name of the sequence folder.
        first_frame: 0-based.
        n_frames: T.
        ids: of the targets.
        seed: of its misses, clutter and order of detections.
        checksum: of the truth and the detections, to notice other data.
    """

    sequence: str
    first_frame: int
    n_frames: int
    ids: tuple[int, ...]
    seed: int
    checksum: int


@dataclass(frozen=True)
class SampleList:
    """The options, and the samples with their trials in the same order."""

    options: Options
    samples: tuple[ListedSample, ...]
    trials: tuple[Trial, ...]

    @property
    def is_whole(self) -> bool:
        """Whether its samples are whole sequences."""
        return not isinstance(self.options, SampleOptions)

    @property
    def kind(self) -> str:
        """How it came by its samples: "triples", "whole" or "coming"."""
        return next(kind for kind, options in _KINDS.items() if isinstance(self.options, options))

    @property
    def lengths(self) -> list[int | None]:
        """The numbers of frames that have rows of their own; None for whole sequences, whose lengths differ."""
        if self.is_whole:
            return [None]
        return list(dict.fromkeys(sample.n_frames for sample in self.samples))

    def of_length(self, n_frames: int | None) -> list[int]:
        """The positions of the samples of one of `lengths`."""
        return [number for number, sample in enumerate(self.samples) if n_frames in (None, sample.n_frames)]


def draw_list(data: Path, lengths: Sequence[int], options: SampleOptions) -> SampleList:
    """Draw the samples of all lengths from a folder of sequences.

    The samples of one length do not depend on which other lengths are asked for.

    Raises:
        InputError: no sequence can be read, or no window holds enough targets; says so.
    """
    annotated = [read_annotated(folder) for folder in find_sequences(data)]
    listed, trials = [], []
    for n_frames in lengths:
        samples = [
            sample
            for one in annotated
            for sample in draw_samples(
                one, n_frames, options.n_sources, options.triples_per_window, options.step or n_frames, options.seed
            )
        ]
        # A seed of its own for each sample, so that it can be made again alone.
        seeds = np.random.default_rng([options.seed, n_frames]).integers(2**32, size=len(samples)).tolist()
        for sample, seed in zip(samples, seeds, strict=True):
            trial = make_trial(sample, options.difficulty, seed)
            trials.append(trial)
            listed.append(_listed(sample, trial, seed))
    if not listed:
        raise InputError(
            f"{data}: no window of {' or '.join(map(str, lengths))} frames holds {options.n_sources} targets that are "
            "annotated in every frame and detected often enough: give shorter lengths or fewer sources."
        )
    return SampleList(options, tuple(listed), tuple(trials))


def whole_list(data: Path, options: WholeOptions) -> SampleList:
    """All sequences of a folder, each a sample.

    Raises:
        InputError: a sequence cannot be read, or has targets that come and go; says so.
    """
    trials = tuple(whole_trial(read_annotated(folder)) for folder in find_sequences(data))
    return SampleList(options, tuple(_listed(trial.sample, trial, options.seed) for trial in trials), trials)


def coming_list(data: Path, options: ComingOptions) -> SampleList:
    """All sequences of a folder, each a sample whose targets come and go.

    Raises:
        InputError: a sequence cannot be read; says so.
    """
    trials = tuple(coming_trial(read_annotated(folder), options) for folder in find_sequences(data))
    return SampleList(options, tuple(_listed(trial.sample, trial, options.seed) for trial in trials), trials)


def format_list(samples: SampleList) -> str:
    """The list as JSON text."""
    rows = ",\n".join(f"    {json.dumps(asdict(sample))}" for sample in samples.samples)
    return (
        f'{{\n  "format": {FORMAT},\n  "kind": "{samples.kind}",\n'
        f'  "options": {json.dumps(asdict(samples.options))},\n'
        f'  "samples": [\n{rows}\n  ]\n}}\n'
    )


def read_list(path: Path, data: Path, lengths: Sequence[int] | None = None) -> SampleList:
    """Read a list that `format_list` wrote, and cut its samples from the same data again.

    Args:
        path: the list.
        data: folder of sequences.
        lengths: only samples of these lengths; None: all.

    Raises:
        InputError: the file is no such list, or the data are not those that it was made from.
    """
    options, samples = _parse(path)
    if not isinstance(options, SampleOptions) and lengths is not None:
        raise InputError(f"{path} is a list of whole sequences: leave -T out.")
    samples = tuple(sample for sample in samples if lengths is None or sample.n_frames in lengths)
    if not samples:
        raise InputError(f"{path} holds no sample of the lengths asked for: leave -T out to take all that it holds.")
    folders = {folder.name: folder for folder in find_sequences(data)}
    annotated = {
        name: read_annotated(_known(folders, name, path, data)) for name in {sample.sequence for sample in samples}
    }
    trials = []
    for sample in samples:
        trial = _again(annotated[sample.sequence], sample, options, path)
        if _checksum(trial) != sample.checksum:
            raise _other_data(path, sample)
        trials.append(trial)
    return SampleList(options, samples, tuple(trials))


def _listed(sample: Sample, trial: Trial, seed: int) -> ListedSample:
    return ListedSample(
        sequence=sample.sequence,
        first_frame=sample.first_frame,
        n_frames=len(sample.ground_truth),
        ids=tuple(int(number) for number in sample.ids),
        seed=seed,
        checksum=_checksum(trial),
    )


def _checksum(trial: Trial) -> int:
    """CRC-32 of the boxes in thousandths of a pixel; rounding keeps it the same on other machines."""
    boxes = np.concatenate([trial.sample.ground_truth, trial.detections], axis=1)
    thousandths = np.round(np.nan_to_num(1000 * boxes, nan=-1e12)).astype("<i8")
    return zlib.crc32(thousandths.tobytes())


def _parse(path: Path) -> tuple[Options, tuple[ListedSample, ...]]:
    broken = InputError(f"{path} is no list of samples: give a samples.json that `mixdvae bench mot` wrote.")
    try:
        content = json.loads(read_text(path))
        if content["format"] != FORMAT:
            raise InputError(f"{path} has format {content['format']}, not {FORMAT}: write it anew with this version.")
        return (
            _KINDS[content["kind"]](**content["options"]),
            tuple(ListedSample(**{**_only(row), "ids": tuple(row["ids"])}) for row in content["samples"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise broken from error


def _only(row: dict[str, Any]) -> dict[str, Any]:
    return {field.name: row[field.name] for field in fields(ListedSample)}


def _known(folders: dict[str, Path], name: str, path: Path, data: Path) -> Path:
    if name not in folders:
        raise InputError(f"{data} holds no sequence {name}, which {path} names: give the data it was made from.")
    return folders[name]


def _again(annotated: Annotated, sample: ListedSample, options: Options, path: Path) -> Trial:
    if isinstance(options, ComingOptions):
        return coming_trial(annotated, options)
    if isinstance(options, WholeOptions):
        return whole_trial(annotated)
    return make_trial(_cut(annotated, sample, path), options.difficulty, sample.seed)


def _cut(annotated: Annotated, sample: ListedSample, path: Path) -> Sample:
    ids = annotated.ground_truth.ids
    if not np.isin(sample.ids, ids).all() or sample.first_frame + sample.n_frames > len(annotated.seen):
        raise _other_data(path, sample)
    return annotated.cut(sample.first_frame, sample.n_frames, np.searchsorted(ids, sample.ids))


def _other_data(path: Path, sample: ListedSample) -> InputError:
    return InputError(
        f"{path}: the data of {sample.sequence} from frame {sample.first_frame + 1} on are not those that the list was "
        "made from: give the same data."
    )
