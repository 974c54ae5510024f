"""COCO's JSON: the results of a detector, or a data set with its images."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inputs import quoted
from pyro_mixdvae.tracking.files.formats.numbered import numbered
from pyro_mixdvae.tracking.files.formats.records import finite, first_record, number_in, number_or_none, read_json
from pyro_mixdvae.tracking.files.formats.table import DetectionTable
from pyro_mixdvae.tracking.files.sequences import Size


class COCO:
    """Boxes as left, top, width, height; the frame is the image's: frame_id, or its file's number, or its own id."""

    name = "COCO's JSON"
    looks_like = "COCO's JSON (a list of objects with image_id, bbox and score, or a data set)"

    def recognises(self, path: Path, head: str) -> bool:
        """Whether the first object of a list has an image and a box, or the text begins as a data set's."""
        if {"image_id", "bbox"} <= set(first_record(head)):
            return True
        return re.match(r"\s*\{", head) is not None and re.search(r'"(images|annotations)"\s*:', head) is not None

    def read(self, path: Path, size: Size | None) -> DetectionTable:
        """All of it; raises InputError with the number of the box or of the image."""
        found = read_json(path)
        images = found.get("images", []) if isinstance(found, dict) else []
        boxes = found.get("annotations") if isinstance(found, dict) else found
        if not isinstance(boxes, list) or not boxes:
            raise InputError(f"{path} holds no annotations: give a list with an object for each box.")
        where = [f"{path}, box {which}" for which in range(1, len(boxes) + 1)]
        for place, box in zip(where, boxes, strict=True):
            if not isinstance(box, dict) or not _is_box(box.get("bbox")):
                raise InputError(f"{place}: {quoted(box)} has no bbox of four finite numbers: correct it.")
        frames, its_size = _images(images, path) if images else (None, None)
        return DetectionTable.of(
            path,
            self.name,
            _frames(boxes, where, path, frames),
            np.array([box["bbox"] for box in boxes], dtype=float),
            "left top and size",
            where.__getitem__,
            "bbox",
            [number_or_none(box, "track_id", place) for box, place in zip(boxes, where, strict=True)],
            [number_or_none(box, "score", place) for box, place in zip(boxes, where, strict=True)],
            its_size,
        )


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(finite(number) is not None for number in value)


def _frames(
    boxes: list[dict[str, Any]], where: list[str], path: Path, of_images: dict[str, float] | None
) -> list[float] | list[int]:
    ids = [box.get("image_id") for box in boxes]
    if of_images is not None:
        lost = next((which for which, its_id in enumerate(ids) if str(its_id) not in of_images), None)
        if lost is not None:
            raise InputError(
                f"{where[lost]}: there is no image {quoted(ids[lost])}: add it to images, or correct this."
            )
        return [of_images[str(its_id)] for its_id in ids]
    if any(isinstance(its_id, str) for its_id in ids):
        return numbered([str(its_id) for its_id in ids], path)
    return [number_in(box, "image_id", place) for box, place in zip(boxes, where, strict=True)]


def _images(images: Any, path: Path) -> tuple[dict[str, float], Size | None]:
    """The frame of each image by its id, and the size that all have, if they all say the same one."""
    if not isinstance(images, list) or not all(isinstance(image, dict) and "id" in image for image in images):
        raise InputError(f"{path}: images are no list of objects with an id each: correct it.")
    where = [f"{path}, image {which}" for which in range(1, len(images) + 1)]
    if all("frame_id" in image for image in images):
        frames = [number_in(image, "frame_id", place) for image, place in zip(images, where, strict=True)]
    elif all(isinstance(image.get("file_name"), str) for image in images):
        frames = [float(n) for n in numbered([Path(image["file_name"]).stem for image in images], path)]
    else:
        frames = [number_in(image, "id", place) for image, place in zip(images, where, strict=True)]
    if len(set(frames)) < len(frames):
        raise InputError(f"{path}: several images are the same frame: give each a frame_id of its own.")
    sizes = {(finite(image.get("width")), finite(image.get("height"))) for image in images}
    width, height = sizes.pop() if len(sizes) == 1 else (None, None)
    size = (int(width), int(height)) if width and height and min(width, height) >= 1 else None
    return {str(image["id"]): frame for image, frame in zip(images, frames, strict=True)}, size
