"""The contract of a format: what it is called, how it is recognised, and the table that it is read into."""

from pathlib import Path
from typing import Protocol

from pyro_mixdvae.tracking.files.formats.table import DetectionTable
from pyro_mixdvae.tracking.files.sequences import Size

HEAD = 65_536
"""Bytes at the start of a file by which it is recognised."""


class Format(Protocol):
    """A way in which some tool writes detections or tracks."""

    @property
    def name(self) -> str:
        """What it is called in sentences, as "supervision's CSV"."""

    @property
    def looks_like(self) -> str:
        """What it is recognised by, for the sentence that says what was looked for."""

    def recognises(self, path: Path, head: str) -> bool:
        """Whether a path is of this format.

        Args:
            path: a file or a folder.
            head: the text of the first `HEAD` bytes of a file, signs for what is no text; empty for a folder.
        """

    def read(self, path: Path, size: Size | None) -> DetectionTable:
        """All of it.

        Args:
            path: that it `recognises`.
            size: width and height of the image in pixels, if anyone has said them.

        Raises:
            InputError: it cannot be used; says where in the file, and why.
        """
