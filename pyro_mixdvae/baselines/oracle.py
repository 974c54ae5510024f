"""The most that these detections allow without a better model of motion: true identities, lines through the gaps."""

from pyro_mixdvae.baselines.interpolation import interpolate
from pyro_mixdvae.tracking.boxes import Array


def track(detections: Array) -> Array:
    """Boxes ``[T, N, 4]`` of detections ``[T, N, 4]`` whose column n is target n, NaN where it was not seen."""
    return interpolate(detections)
