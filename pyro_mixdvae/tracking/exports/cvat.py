"""CVAT: XML 1.1 of a video, a track a source, to be looked through and corrected there."""

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree as Tree

import numpy as np

from pyro_mixdvae.tracking.boxes import centres
from pyro_mixdvae.tracking.exports.keyframes import keyframes
from pyro_mixdvae.tracking.exports.present import doubt_of, present
from pyro_mixdvae.tracking.files.rows import Flags
from pyro_mixdvae.tracking.result import TrackingResult

LABEL = "source"
INFERRED, DOUBT = "inferred", "doubt"
TOLERANCE = 1.0
"""Pixels that CVAT's own boxes between two keyframes may be off: what no eye sees."""


def to_cvat(result: TrackingResult, name: str = "tracks", ids: Sequence[int] | None = None) -> str:
    """The file's text; source n is the track n - 1, frames count from 0.

    Keyframes are the frames of doubt (attribute ``doubt``: how probable it is, in per cent, that names were changed
    there), those in which a box begins or ceases to be inferred (attribute ``inferred``, and ``occluded``), and so many
    more that CVAT, which draws straight lines between keyframes, is nowhere off by more than a pixel. Where a source is
    absent its box is ``outside``. Points are tracks of one point.

    Args:
        result: of tracking.
        name: of the task.
        ids: of the sources; 1 to N if not given.
    """
    root = Tree.Element("annotations")
    Tree.SubElement(root, "version").text = "1.1"
    root.append(_meta(result, name))
    there, doubt = present(result), doubt_of(result)
    for source, number in enumerate(ids or range(1, result.boxes.shape[1] + 1)):
        track = Tree.SubElement(root, "track", id=str(number - 1), label=LABEL, source="auto")
        track.extend(_shapes(result, source, there[:, source], np.round(100 * doubt[:, source]).astype(int)))
    Tree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Tree.tostring(root, encoding="unicode") + "\n"


def _meta(result: TrackingResult, name: str) -> Tree.Element:
    meta = Tree.Element("meta")
    task = Tree.SubElement(meta, "task")
    last = result.first + len(result.boxes) - 1
    width, height = result.extent
    for key, text in (
        *(("name", name), ("size", last + 1), ("mode", "interpolation"), ("overlap", 0)),
        *(("start_frame", 0), ("stop_frame", last), ("frame_filter", "")),
    ):
        Tree.SubElement(task, key).text = str(text)
    size = Tree.SubElement(task, "original_size")
    Tree.SubElement(size, "width").text = str(round(width))
    Tree.SubElement(size, "height").text = str(round(height))
    label = Tree.SubElement(Tree.SubElement(task, "labels"), "label")
    Tree.SubElement(label, "name").text = LABEL
    attributes = Tree.SubElement(label, "attributes")
    for key, kind, default, values in ((INFERRED, "checkbox", "false", ""), (DOUBT, "number", "0", "0\n100\n1")):
        attribute = Tree.SubElement(attributes, "attribute")
        for field, text in (
            *(("name", key), ("mutable", "True"), ("input_type", kind)),
            *(("default_value", default), ("values", values)),
        ):
            Tree.SubElement(attribute, field).text = text
    return meta


def _shapes(result: TrackingResult, source: int, there: Flags, percent: np.ndarray) -> Iterator[Tree.Element]:
    """Of one source, a shape a frame; where it leaves, one that is outside."""
    boxes, observed = result.boxes[:, source], result.observed[:, source]
    edges = np.flatnonzero(np.diff(there, prepend=False, append=False)).reshape(-1, 2)  # since, until of each stretch
    for since, until in edges.tolist():
        own = slice(since, until)
        turns = np.diff(observed[own], prepend=observed[since]) | (np.diff(percent[own], prepend=percent[since]) != 0)
        keys = keyframes(boxes[own], turns | (percent[own] > 0), TOLERANCE)
        for t, is_key in zip(range(since, until), keys.tolist(), strict=True):
            yield _shape(result, t, source, not observed[t], int(percent[t]), is_key)
        if until < len(boxes):
            gone = _shape(result, until - 1, source, not observed[until - 1], 0, True)
            gone.set("frame", str(result.first + until))
            gone.set("outside", "1")
            yield gone


def _shape(result: TrackingResult, t: int, source: int, inferred: bool, percent: int, is_key: bool) -> Tree.Element:
    box = result.boxes[t, source]
    flags = {"frame": result.first + t, "outside": 0, "occluded": int(inferred), "keyframe": int(is_key)}
    shape = Tree.Element("box" if len(box) == 4 else "points", {key: str(value) for key, value in flags.items()})
    if len(box) == 4:
        for key, value in zip(("xtl", "ytl", "xbr", "ybr"), box.tolist(), strict=True):
            shape.set(key, f"{value:.2f}")
    else:
        shape.set("points", ",".join(f"{value:.2f}" for value in centres(box).tolist()))
    shape.set("z_order", "0")
    for key, text in ((INFERRED, str(inferred).lower()), (DOUBT, str(percent))):
        Tree.SubElement(shape, "attribute", name=key).text = text
    return shape
