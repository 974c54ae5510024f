"""Motion that is too fast for boxes so small."""

from collections.abc import Iterator

import numpy as np

from pyro_mixdvae.tracking.boxes import iou
from pyro_mixdvae.tracking.doubts import percent
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scenes import BoxSequence

OFTEN = 0.02
"""Of the steps of frames that see every source: one in fifty breaks any track before long."""


def outruns_boxes(sequence: BoxSequence, result: TrackingResult) -> Iterator[str]:
    """Detections that overlap none of the next frame: often, where both frames have one a source; or else mostly."""
    boxes = sequence.boxes
    if len(boxes) < 2 or not boxes.shape[1]:
        return
    is_there = ~np.isnan(boxes[..., 0])
    apart = np.nan_to_num(iou(boxes[:-1], boxes[1:])).max(-1) == 0
    is_whole = is_there.sum(-1) == len(sequence.start)
    followed = is_there[:-1] & is_there[1:].any(-1, keepdims=True)
    whole = is_there[:-1] & (is_whole[:-1] & is_whole[1:])[:, None]
    for counts, least in ((whole, OFTEN), (followed, 0.5)):
        share = float(apart[counts].mean()) if counts.any() else 0.0
        if share > least:
            width, height = np.nanmedian((boxes[..., 2:] - boxes[..., :2])[is_there], axis=0)
            yield (
                f"Motion is larger than the boxes, or detections are false: {percent(share)} of the detections overlap "
                f"none of the next frame, with boxes of {width:.3g} x {height:.3g} pixels (the median). Give larger "
                "boxes around the same centres, or more frames a second."
            )
            return
