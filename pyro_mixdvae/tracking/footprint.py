"""How much memory tracking takes: arithmetic on the numbers of frames, sources, detections and samples.

The factors are upper bounds of what was measured (`benchmarks/README.md`).
"""

from typing import NamedTuple

from pyro_mixdvae.plurals import counted

KIBIBYTE = 1024
READ = 160
"""Bytes of a detection while it is read and checked."""

CHAIN, TORCH_CHAIN, GRADIENT_CHAIN = 1.4, 6.0, 20.0
"""KiB a frame and source: of compiled kernels, of PyTorch, and of SVI, which keeps what gradients are taken of."""

WEIGHED, TORCH_WEIGHED = 0.6, 2.0
"""KiB a frame, detection and class of a detection, where some frame has more detections than sources."""

SEARCHED, SEARCHED_PAIR = 10.0, 0.6
"""KiB a frame and source, and a frame, detection and class: of the local search, which looks at many ways at once."""

SETS, MOST_SETS = 0.12, 10
"""KiB a frame, detection and set of sources, in PyTorch, of joint events of up to so many sources."""

SAMPLED = 0.2
"""KiB a sample, frame and source."""

WRITTEN, WRITTEN_ASSIGNMENT, WRITTEN_SAMPLE = 2.0, 1.0, 0.5
"""KiB a row of the tables beside the tracks (with its share of the picture)."""


LITTLE = 16 * 2**20
"""Bytes that a process which could load PyTorch has left: whoever needs no more need not ask."""

BLOCK = 2000
"""Frames that are inferred at once, at most (`tracking.blocks`)."""

ADVICE = "cut the film into shorter pieces, draw fewer samples, or leave out detections that are surely of no source"


class Extent(NamedTuple):
    """How much is to be tracked: frames (of all scenes of a batch, padded), sources, detections a frame, samples."""

    n_frames: int
    n_sources: int
    n_detections: int
    n_samples: int = 0

    def __str__(self) -> str:
        frames, sources = counted(self.n_frames, "frame"), counted(self.n_sources, "source")
        text = f"{frames} of {sources} with up to {counted(self.n_detections, 'detection')}"
        return f"{text}, and {counted(self.n_samples, 'sample')}," if self.n_samples else text


def tracking_bytes(
    extent: Extent, is_compiled: bool = True, keeps_gradients: bool = False, has_joint_events: bool = True
) -> int:
    """What inference and its result take, besides what the program itself does.

    Args:
        extent: how much is tracked.
        is_compiled: by kernels, not in PyTorch.
        keeps_gradients: by SVI.
        has_joint_events: w of a frame is one variable (`Assignment.per_observation` is not so).
    """
    n_frames, n_sources, n_detections, n_samples = extent
    chain = GRADIENT_CHAIN if keeps_gradients else CHAIN if is_compiled else TORCH_CHAIN
    a_frame = chain * n_sources + SAMPLED * n_samples * n_sources
    pairs = n_detections * (n_sources + 1)
    if n_detections > n_sources:
        a_frame += (WEIGHED if is_compiled or not has_joint_events else TORCH_WEIGHED) * pairs
    if has_joint_events:
        a_frame += SEARCHED * n_sources + SEARCHED_PAIR * pairs
    if has_joint_events and (keeps_gradients or not is_compiled) and n_sources <= MOST_SETS:
        a_frame += SETS * n_detections * 2**n_sources
    return round(KIBIBYTE * n_frames * a_frame) + READ * n_frames * n_detections


def most_bytes(extent: Extent, n_numbers: int = 4) -> int:
    """What `tracking_bytes` may come to, whatever model, guide and algorithm are, for detections of so many numbers."""
    return round(tracking_bytes(extent, is_compiled=False, keeps_gradients=True) * of_width(n_numbers))


def of_width(n_numbers: int) -> float:
    """How many times as much as boxes detections of so many numbers take: factors are those of boxes."""
    return max(n_numbers / 4, 1.0)


def writing_bytes(extent: Extent, report: bool) -> int:
    """What the texts of the result files take, with or without tables and picture."""
    n_frames, n_sources, n_detections, n_samples = extent
    rows = WRITTEN * n_sources + WRITTEN_ASSIGNMENT * n_detections if report else WRITTEN_ASSIGNMENT * n_sources
    return round(KIBIBYTE * n_frames * (rows + WRITTEN_SAMPLE * n_samples * n_sources))
