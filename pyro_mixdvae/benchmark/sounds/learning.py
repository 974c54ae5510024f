"""Methods learn once, and what they have learned is kept: the same command, or another table, goes on from there."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from pyro_mixdvae.baselines.sounds.contract import Learner, Lesson
from pyro_mixdvae.benchmark.running.blocks import Block, BlockResult
from pyro_mixdvae.benchmark.sounds.settings import SoundSettings
from pyro_mixdvae.outputs import write_atomically
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.audio.reading import find_sounds
from pyro_mixdvae.separation.recordings.clips import read_clips
from pyro_mixdvae.training.data import checksums

_HEADER = "pyro_mixdvae"


def checksum_of(folders: Sequence[Path]) -> str:
    """Of the names and contents of the sound files in folders, in short.

    Raises:
        InputError: a folder cannot be listed or holds no sound.
    """
    import hashlib

    found = [checksums((path.name, path) for path in sorted(find_sounds([folder]))) for folder in folders]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


def learned_path(name: str, settings: SoundSettings) -> Path:
    """The file that keeps what a method has learned."""
    return Path(settings.learned) / f"{name}.safetensors"


def is_learned(name: str, settings: SoundSettings, stft: STFT) -> bool:
    """Whether a method has learned from these very clips, in the same way."""
    path = learned_path(name, settings)
    if not path.exists():
        return False
    with safe_open(path, "pt") as file:
        return (file.metadata() or {}).get(_HEADER) == _identity(name, settings, stft)


def learned_by(name: str, settings: SoundSettings, stft: STFT) -> dict[str, Tensor]:
    """What a method has learned."""
    tensors: dict[str, Tensor] = load_file(learned_path(name, settings))
    return tensors


@dataclass(frozen=True)
class Learning(Block):
    """A method that is to learn; its result holds no counts.

    Attributes:
        learner: that learns.
        settings: where from, and where to.
        stft: transform that it works in.
    """

    learner: Learner
    settings: SoundSettings
    stft: STFT

    def run(self) -> BlockResult:
        """Learn, and write the file.

        Raises:
            InputError: a package is missing, no clip can be used, or the file cannot be written.
        """
        settings, stft = self.settings, self.stft
        clips = [read_clips([folder], stft.rate, stft.length) for folder in settings.clips or ()]
        start = time.perf_counter()
        learned = self.learner.learn(Lesson(clips, stft, settings.n_steps, settings.seed))
        seconds = time.perf_counter() - start
        tensors = {name: value.detach().contiguous() for name, value in learned.items()}
        content = save(tensors, {_HEADER: _identity(self.method, settings, stft)})
        write_atomically(learned_path(self.method, settings), content)
        return BlockResult((), seconds)


def _identity(name: str, settings: SoundSettings, stft: STFT) -> str:
    return json.dumps([name, settings.clips_checksum, stft.name, settings.n_steps, settings.seed])
