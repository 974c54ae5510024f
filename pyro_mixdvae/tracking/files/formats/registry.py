"""Which format a path is of: the first of all that recognises it."""

import re
from pathlib import Path

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import quoted, text_at_start
from pyro_mixdvae.tracking.files.formats.coco import COCO
from pyro_mixdvae.tracking.files.formats.columns import NamedColumns
from pyro_mixdvae.tracking.files.formats.contract import HEAD, Format
from pyro_mixdvae.tracking.files.formats.cvat import CVAT
from pyro_mixdvae.tracking.files.formats.motchallenge import MOTChallenge
from pyro_mixdvae.tracking.files.formats.pose import SLEAP, DeepLabCut
from pyro_mixdvae.tracking.files.formats.records import described, read_json
from pyro_mixdvae.tracking.files.formats.supervision import SupervisionCSV, SupervisionJSON
from pyro_mixdvae.tracking.files.formats.trackmate import TrackMateSpots
from pyro_mixdvae.tracking.files.formats.ultralytics import LabelFolder, UltralyticsCSV, label_files
from pyro_mixdvae.tracking.files.sequences import files_of, kind_of

MOTCHALLENGE = MOTChallenge()
IN_JSON: tuple[Format, ...] = (SupervisionJSON(), COCO())
FORMATS: tuple[Format, ...] = (
    MOTCHALLENGE,
    SLEAP(),
    SupervisionCSV(),
    IN_JSON[0],
    LabelFolder(),
    UltralyticsCSV(),
    IN_JSON[1],
    CVAT(),
    TrackMateSpots(),
    DeepLabCut(),
    NamedColumns(),
)
"""In the order in which they are asked: what is common to several tools last."""


NO_TEXT = 0.02
"""Share of signs that are no UTF-8 from which on a file is taken for none; names in other alphabets are fewer."""


def recognised(path: Path) -> Format:
    """The format of a file, or of a folder that is one.

    Raises:
        InputError: it cannot be read, or is of none of `FORMATS`; says what was looked for.
    """
    head = "" if path.is_dir() else text_at_start(path, HEAD)
    found = next((format for format in FORMATS if format.recognises(path, head)), None)
    if found is None and path.is_dir():
        raise InputError(
            f"{path} is a folder, and no sequence folder (det/det.txt) nor {LabelFolder.looks_like}: give one, or a "
            "file."
        )
    if found is None:
        raise _unknown(path, head)
    return found


def _unknown(path: Path, head: str) -> InputError:
    """What a file holds in place of detections, and what was looked for."""
    if re.match(r"\s*[\[{]", head):
        sought = " or ".join(format.looks_like for format in IN_JSON)
        return InputError(f"{path} holds {described(read_json(path))}, and no detections: give {sought}.")
    if head.startswith("\ufffd\ufffd") and "\0" in head:
        return InputError(f"{path} is text in UTF-16: save it as UTF-8.")
    if "\0" in head or head.count("\ufffd") > NO_TEXT * len(head):
        return InputError(
            f"{path} is no text: tracking begins with the boxes that a detector has found in a film, not with it. "
            f"Give them in a file of {', '.join(dict.fromkeys(format.name for format in FORMATS))}."
        )
    lines = [line for line in head.splitlines() if line.strip()]
    if not lines:
        return InputError(f"{path} is empty: give a file with detections.")
    sought = "; ".join(format.looks_like for format in FORMATS)
    return InputError(
        f"{path} holds no detections of a known format. Its first line is {quoted(lines[0])}; looked for {sought}."
    )


def is_one_film(path: Path) -> bool:
    """Whether a path is a file, a sequence folder, or a folder of a format, and not a folder of several films.

    Raises:
        InputError: there is nothing at the path, or it may not be looked at.
    """
    return kind_of(path) != "folder" or any(format.recognises(path, "") for format in FORMATS)


def files_read(path: Path) -> list[Path]:
    """The files that may be read of a path: of a film of any format, or of each sequence in a folder.

    Raises:
        InputError: as of `sequences.files_of`.
    """
    if path.is_dir() and kind_of(path) == "folder" and is_one_film(path):
        return label_files(path)
    return files_of(path)
