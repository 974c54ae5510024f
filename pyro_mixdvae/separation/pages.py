"""Stems as a page: players that keep step, spectrograms, solo and mute."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import list_folder
from pyro_mixdvae.reporting.pages import packed, page
from pyro_mixdvae.separation.audio.reading import Samples, SoundReader
from pyro_mixdvae.separation.files.jobs import PRESENCE
from pyro_mixdvae.separation.files.presence import read_presence
from pyro_mixdvae.separation.presence import Span, silences
from pyro_mixdvae.separation.spectrograms import RANGE, Values, levels

LONGEST = 120.0
"""Seconds that a page holds: of two stems in mono at 16 kHz 10 MB."""

COLUMNS, ROWS = 1600, 256
"""Of a picture, at most."""


@dataclass(frozen=True)
class Stems:
    """Sounds that are one mixture together.

    Attributes:
        title: of the mixture.
        names: of the N stems.
        sounds: ``[N, channels, n]``, perhaps the beginning only.
        rate: samples a second.
        seconds: that the stems last.
        spans: when those sound that may be silent.
    """

    title: str
    names: tuple[str, ...]
    sounds: Samples
    rate: int
    seconds: float
    spans: tuple[Span, ...] = ()

    def silences(self, name: str) -> list[tuple[float, float]]:
        """The stretches in seconds in which a stem is silent; none where nobody says."""
        own = [span for span in self.spans if span.name == name]
        return silences(own, self.seconds) if own else []


def read_stems(folder: Path) -> Stems:
    """The WAV files that `mixdvae separate` left in the folder of a mixture, and when each sounds, where that is there.

    Raises:
        InputError: there are none, they cannot be read, or are no stems of one mixture; or what says when they sound is
            no such table.
    """
    listed = list_folder(folder)
    paths = [path for path in listed if path.suffix.lower() == ".wav"]
    if not paths:
        raise InputError(f"{folder} holds no stems (.wav): give the folder of a mixture, as OUT/MIX of `separate`.")
    sounds, shapes = [], {}
    for path in paths:
        with SoundReader(path) as reader:
            shapes[path] = reader.rate, reader.channels, reader.length
            sounds.append(reader.read(0, min(reader.length, int(LONGEST * reader.rate))))
    other = next((path for path in paths if shapes[path] != shapes[paths[0]]), None)
    if other is not None:
        raise InputError(
            f"{other} has another rate, length or number of channels than {paths[0]}: stems of one mixture are alike; "
            "put other files elsewhere."
        )
    rate, _, length = shapes[paths[0]]
    names = tuple(path.stem for path in paths)
    times = next((path for path in listed if path.name == f"{PRESENCE}.csv"), None)
    spans = (read_presence(times).spans or ()) if times else ()
    return Stems(folder.resolve().name, names, np.stack(sounds), rate, length / rate, spans)


class SoundPage:
    """The page of the stems of a mixture.

    Args:
        stems: which.
    """

    def __init__(self, stems: Stems):
        self.stems = stems

    def html(self) -> str:
        """The whole file."""
        sounds, rate = self.stems.sounds, self.stems.rate
        loudest = float(np.abs(sounds).max(initial=0.0)) or 1.0
        power = (sounds.astype(np.float64) ** 2).mean(axis=(1, 2))
        share = power / (float(power.sum()) or 1.0)
        content = {
            "title": self.stems.title,
            "overview": self._overview(),
            "rate": rate,
            "channels": sounds.shape[1],
            "length": sounds.shape[2],
            "stems": [
                {
                    "name": name,
                    "about": self._about(name, part),
                    "silences": self.stems.silences(name),
                    "samples": packed(np.round(sound.T / loudest * 32767), "int16"),
                    "image": image,
                }
                for name, part, sound, image in zip(
                    self.stems.names, share.tolist(), sounds, pictures(sounds[:, 0], rate), strict=True
                )
            ],
        }
        return page(self.stems.title, __package__ or "", "sound", content)

    def _about(self, name: str, part: float) -> str:
        silent = sum(until - since for since, until in self.stems.silences(name))
        sentence = f"{100 * part:.0f} % of the power"
        return f"{sentence}, sounds {100 * (1 - silent / self.stems.seconds):.0f} % of the time" if silent else sentence

    def _overview(self) -> str:
        held = self.stems.sounds.shape[2] / self.stems.rate
        names = ", ".join(self.stems.names)
        sentence = f"{names}: {self.stems.seconds:.2f} s at {self.stems.rate} samples a second."
        return sentence if held >= self.stems.seconds else f"{sentence} This page holds the first {held:g} s."


def pictures(sounds: Values, rate: int) -> list[str]:
    """Spectrograms of sounds ``[N, n]`` as data URIs of PNG files, low frequencies below, on one scale."""
    from matplotlib import colormaps
    from PIL import Image

    found = []
    for level in levels(sounds, rate):
        bytes_ = colormaps["magma"](_thinned(level)[::-1] / RANGE + 1, bytes=True)[..., :3]
        content = io.BytesIO()
        Image.fromarray(bytes_).save(content, format="PNG")
        found.append(f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}")
    return found


def _thinned(level: Values) -> Values:
    """The loudest of neighbouring frequencies and frames ``[F, T]``, so that no more are left than a picture shows."""
    for axis, most in enumerate((ROWS, COLUMNS)):
        step = -(-level.shape[axis] // most)
        edges: Sequence[int] = range(0, level.shape[axis], step)
        level = np.maximum.reduceat(level, edges, axis=axis)
    return level
