"""Names that have surely been exchanged are put right: what filter and search could not see, the frames after it show.

The filter decides with what came before, and its search with the next frames. The posterior of all frames says once
more, encounter by encounter, whether two sources went on under each other's name (`exchanges`).
"""

import torch
from torch import Tensor

from pyro_mixdvae.inference.exchanges import Exchange, possible_exchanges
from pyro_mixdvae.inference.posterior import Posterior

SURE = 0.9
"""Probability of an exchange above which names are put right."""


@torch.no_grad()
def put_right(posterior: Posterior) -> Tensor:
    """Responsibilities [B, T, K, C] with the names exchanged, from the middle of each such encounter on.

    Of encounters that share a source the likeliest counts: the others were judged under the names that it had.
    """
    found = posterior.responsibilities
    for b, exchanges in enumerate(possible_exchanges(posterior)):
        for exchange in _independent(exchanges):
            since = (exchange.begin + exchange.end) // 2
            pair = [exchange.first, exchange.second]
            if found is posterior.responsibilities:
                found = found.clone()
            found[b, since:, :, pair] = found[b, since:][..., pair[::-1]]
    return found


def _independent(exchanges: list[Exchange]) -> list[Exchange]:
    """Those that are sure, between two sources, none of which is in a likelier one."""
    taken: set[int] = set()
    found = []
    for exchange in exchanges:
        if exchange.probability < SURE or exchange.second is None:
            continue
        pair = {exchange.first, exchange.second}
        if not pair & taken:
            found.append(exchange)
            taken |= pair
    return found
