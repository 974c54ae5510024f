"""Sound files in, of any format that libsndfile reads: whole, or piece by piece."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import soundfile

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import refuse_irregular, unlisted, unreadable
from pyro_mixdvae.representations.stft import HIGHEST_RATE, LOWEST_RATE

Samples = npt.NDArray[np.float32]

# Beyond this a number is no sample of anything: sums and squares of such would leave the numbers that there are.
LOUDEST = 1e15
BLOCK = 1 << 20
MOST_NUMBERS = 1 << 21  # of all channels together in a block
# What files are called in whose formats libsndfile knows; header-less ones and matrices could be anything.
SUFFIXES = frozenset({
    ".8svx", ".aif", ".aifc", ".aiff", ".au", ".avr", ".bwf", ".caf", ".flac", ".htk", ".iff", ".mp3", ".mpc", ".oga",
    ".ogg", ".opus", ".paf", ".pvf", ".rf64", ".sd2", ".sds", ".sf", ".snd", ".sph", ".svx", ".voc", ".w64", ".wav",
    ".wave", ".wve", ".xi",
})  # fmt: skip
# Codes in which each sample has a place of its own (and FLAC, which is called like them): seeking is exact.
_SEEKABLE = frozenset({"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"})
# What libsndfile calls the length of a stream whose header does not say it.
_UNKNOWN_LENGTH = 2**62
# Bytes of the longest frame of an MPEG stream, about.
_MPEG_FRAME = 1500
# What libsndfile notes where there are fewer bytes, or frames, than the header says.
_SHORTER = (
    re.compile(r"^\s*(?:data|SSND|BODY|Data Size)\s*:\s*(?P<said>\d+) \(should be (?P<found>\d+)\)", re.M),
    re.compile(r"Calculated frame count (?P<found>\d+) does not match value from 'ds64' chunk of (?P<said>\d+)"),
)
_SHORTER_W64 = re.compile(r"^riff : (?P<said>\d+) \(should be (?P<found>\d+)\)", re.M)
# Programs that write into a pipe put about the greatest number there is, as they do not know.
_PLACEHOLDERS = (range(2**31 - 2**16, 2**31 + 2**16), range(2**32 - 2**16, 2**32))


@dataclass(frozen=True)
class Sound:
    """A sound as its file holds it.

    Attributes:
        samples: ``[channels, n]``; formats of whole numbers are scaled to -1..1, floats are as they are.
        rate: samples a second.
    """

    samples: Samples
    rate: int


class SoundReader:
    """An open sound file that is read in pieces at any place; a context manager.

    Of codecs such as Vorbis a piece before the last one read means decoding from the beginning: read forwards.

    Attributes:
        path: of the file.
        rate: samples a second.
        channels: how many.
        length: samples of a channel, at least 1.

    Raises:
        InputError: on opening, where the file is missing, empty, no sound, of no known length, cut short, without
            samples, or of a rate below `LOWEST_RATE` or above `HIGHEST_RATE`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file, self._position = _open(self.path), 0
        self.rate, self.channels, self.length = self._file.samplerate, self._file.channels, self._file.frames
        try:
            if self._file.format == "MP3" and not _says_its_length(self.path):
                self._count()
            self._check()
        except InputError:
            self.close()
            raise

    def read(self, start: int, count: int) -> Samples:
        """Samples ``[channels, count]`` from sample ``start`` on; fewer where the file ends.

        Raises:
            InputError: the file is damaged there, or holds NaN, infinity or numbers beyond `LOUDEST`; says at which
                second.
        """
        self._go_to(start)
        block = self._read(max(0, min(count, self.length - start)))
        usable = (np.abs(block) <= LOUDEST).all(axis=0)  # NaN is not
        if not usable.all():
            first = int(usable.argmin())
            second, what = (start + first) / self.rate, unusable(block[:, first])
            raise InputError(f"{self.path} holds {what} at second {second:.3f}: repair it or leave it out.")
        return block

    def blocks(self, size: int = BLOCK) -> Iterator[Samples]:
        """The whole file in order, as blocks ``[channels, size]``, the last one shorter; of many channels smaller."""
        size = max(1, min(size, MOST_NUMBERS // self.channels))
        for start in range(0, self.length, size):
            yield self.read(start, size)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "SoundReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        said = _said_length(self._file, self.length)
        if said > self.length:
            there, missing = self.length / self.rate, (said - self.length) / self.rate
            raise InputError(
                f"{self.path} is damaged: it ends after {there:.3f} seconds, and about {missing:.3f} more that its "
                "header speaks of are missing; repair it or leave it out."
            )
        if self.length == 0:
            raise InputError(f"{self.path} holds no samples: give a sound that is not empty.")
        if self.length >= _UNKNOWN_LENGTH:
            raise InputError(f"{self.path} does not say how long it is (a stream): convert it, to WAV say, first.")
        if not LOWEST_RATE <= self.rate <= HIGHEST_RATE:
            few = "few" if self.rate < LOWEST_RATE else "many"
            raise InputError(
                f"{self.path} has {self.rate} samples a second, too {few} for sound: give one of {LOWEST_RATE} to "
                f"{HIGHEST_RATE}."
            )

    def _count(self) -> None:
        """Find out the length by decoding: what libsndfile says is the size of the file, tags included, by bit rate."""
        self.length = 0
        while count := len(self._file.read(BLOCK // self.channels, dtype="float32", always_2d=True)):
            self.length += count
        self._file.close()
        self._file = _open(self.path)

    def _go_to(self, start: int) -> None:
        if start == self._position:
            return
        if self._file.subtype in _SEEKABLE:
            self._file.seek(start)
            self._position = start
            return
        if start < self._position:
            self.close()
            self._file, self._position = _open(self.path), 0
        while self._position < start:
            self._read(min(BLOCK, start - self._position))

    def _read(self, count: int) -> Samples:
        """The next samples ``[channels, count]``."""
        start = self._position
        try:
            block: Samples = self._file.read(count, dtype="float32", always_2d=True).T
        except soundfile.SoundFileError as error:
            raise self._damaged(start) from error
        self._position += block.shape[1]
        if block.shape[1] < count:
            raise self._damaged(self._position)
        return np.ascontiguousarray(block)

    def _damaged(self, sample: int) -> InputError:
        return InputError(
            f"{self.path} is damaged: it cannot be read from second {sample / self.rate:.3f} on, though it says that "
            f"it lasts {self.length / self.rate:.3f}; repair it or leave it out."
        )


class _Decoder(soundfile.SoundFile):
    """Of a file that cannot be sought, soundfile does not seek to where it is after each piece that it has read.

    The last samples of Opus depend on that. libsndfile 1.2 also lands elsewhere than asked in Vorbis.
    """

    def seekable(self) -> bool:
        return False


def read_sound(path: str | Path) -> Sound:
    """Read a whole file, rate and channels as they are.

    Raises:
        InputError: the file cannot be used; see `SoundReader`.
    """
    with SoundReader(path) as file:
        return Sound(np.concatenate(list(file.blocks()), axis=1), file.rate)


def unusable(samples: Samples) -> str:
    """What is wrong with samples of which one is beyond `LOUDEST`."""
    return f"a number beyond {LOUDEST:g}" if np.isfinite(samples).all() else "NaN or infinity"


def _said_length(file: soundfile.SoundFile, length: int) -> int:
    """How many samples a header speaks of, as far as libsndfile tells; the length where it does not."""
    notes = file.extra_info
    patterns = (*_SHORTER, _SHORTER_W64) if file.format == "W64" else _SHORTER
    for found in filter(None, (pattern.search(notes) for pattern in patterns)):
        said, there = int(found["said"]), int(found["found"])
        if said > there > 0 and not any(said in some for some in _PLACEHOLDERS):
            return length + (said - there) * length // there
    return length


def _says_its_length(path: Path) -> bool:
    """Whether the first frame of an MPEG stream is one that counts the others, after the ID3v2 tag if there is one."""
    with path.open("rb") as file:
        head = file.read(10)
        tag = 0
        if head[:3] == b"ID3" and len(head) == 10:
            for byte in head[6:]:  # seven bits of each
                tag = tag << 7 | byte & 0x7F
            tag += 10
        file.seek(tag)
        first = file.read(_MPEG_FRAME)
    return any(name in first for name in (b"Xing", b"Info", b"VBRI"))


def find_sounds(paths: Iterable[str | Path]) -> list[Path]:
    """Files as they are given, folders with all their sounds: recursive, sorted, by suffix, hidden files left out.

    Raises:
        InputError: a path does not exist, cannot be listed, or is a folder without a sound.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise InputError(f"{path} does not exist: give a sound file or a folder of them.")
        sounds = _sounds_below(path) if path.is_dir() else [path]
        if not sounds:
            raise InputError(f"{path} holds no sound files (.wav, .flac, .ogg, .mp3, ...): give another folder.")
        found |= dict.fromkeys(sounds)
    return list(found)


def _sounds_below(folder: Path) -> Sequence[Path]:
    def refuse(error: OSError) -> None:
        raise unlisted(error.filename, error) from error

    return sorted(
        Path(root, name)
        for root, _, names in os.walk(folder, onerror=refuse)
        for name in names
        if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    )


def _open(path: Path) -> _Decoder:
    refuse_irregular(path)
    try:
        # libsndfile calls most of what may go wrong here "System error".
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise unreadable(path, error, "sound file") from error
    if empty:
        raise InputError(f"{path} is an empty file: give a sound file.")
    try:
        # As bytes a name need not be valid text.
        return _Decoder(os.fsencode(path) if os.name == "posix" else str(path))
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: header-less, says the suffix
        raise InputError(
            f"{path} is no sound file that can be read: give WAV, FLAC, OGG, MP3 or another format of libsndfile."
        ) from error
