"""Names that may have been exchanged."""

from collections.abc import Iterator

from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scenes import BoxSequence

SHOWN = 5
"""Moments that are named; all are in `TrackingResult.doubts`."""


def may_be_exchanged(sequence: BoxSequence, result: TrackingResult) -> Iterator[str]:
    """The likeliest moments, and how many more there are."""
    if not result.doubts:
        return
    more = len(result.doubts) - SHOWN
    rest = f"; {more} more moment{'s' * (more > 1)} not printed" if more > 0 else ""
    named = ", ".join(map(str, result.doubts[:SHOWN]))
    yield (
        f"Names may have been exchanged in frames {named}{rest}. Look there, and where it is so label them before "
        "and after (--init)."
    )
