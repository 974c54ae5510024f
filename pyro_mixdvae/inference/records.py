"""What records say of themselves: how far the ELBO of one draw may be off."""

from collections.abc import Callable

from torch import Tensor

from pyro_mixdvae.engines.protocol import STANDARD_ERROR, Record


def with_errors(records: list[Record], elbo: Tensor, drawn_again: Callable[[], Record]) -> list[Record]:
    """The records of a run, each with a standard error.

    One that has a closed form has it already: zero. The others are of one draw, the same each time; how far it may be
    off is estimated once, from the ELBO [B] of the guide at the end and that of another draw. Of two draws that is
    rough: a factor of two either way is common.
    """
    if not records or all(STANDARD_ERROR in record for record in records):
        return records
    error = (drawn_again()["elbo"] - elbo).abs() / 2**0.5
    return [record if STANDARD_ERROR in record else {**record, STANDARD_ERROR: error} for record in records]
