"""All verdicts on a result."""

from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.tracking.scenes import BoxSequence
from pyro_mixdvae.tracking.verdicts.motion import outruns_boxes
from pyro_mixdvae.tracking.verdicts.names import may_be_exchanged
from pyro_mixdvae.tracking.verdicts.others import are_there
from pyro_mixdvae.tracking.verdicts.outside import left_the_image
from pyro_mixdvae.tracking.verdicts.start import was_guessed
from pyro_mixdvae.tracking.verdicts.unseen import is_inferred, is_little_observed

FAMILIES = (
    is_little_observed,
    outruns_boxes,
    are_there,
    was_guessed,
    left_the_image,
    is_inferred,
    may_be_exchanged,
)
"""In the order in which they are told: what concerns the whole run first."""


def verdicts(sequence: BoxSequence, result: TrackingResult) -> tuple[str, ...]:
    """Sentences on what was tracked and what came of it; none where all is well."""
    return tuple(sentence for family in FAMILIES for sentence in family(sequence, result))
