"""p(w) of every row of classes, as `prior_logits` and `classes` have it."""

import torch
from torch import Tensor

from pyro_mixdvae.models.assignments.contract import Assignment


def log_prior_of(assignment: Assignment, rows: Tensor, mask: Tensor) -> Tensor:
    """`log p(w_t = row, K_t)` of each frame: rows [R, K], mask [B, T, K] -> [R, B, T]; where masked, class 0 stands."""
    if assignment.per_observation:
        log_prior = assignment.prior_logits(mask).log_softmax(-1)
        each = torch.stack([picked(log_prior, row) for row in rows])
        total = torch.where(mask, each, 0.0).sum(-1)
    else:
        logits = assignment.prior_logits(mask).squeeze(-2).log_softmax(-1)
        values = torch.arange(logits.shape[-1]).unsqueeze(-1)
        table = assignment.classes(values, mask.shape[-1])
        fitting = []
        for row in rows:
            # Of a detection that is not there any class will do: its event is the one in which it is clutter.
            wanted = torch.where(mask, row, assignment.n_classes - 1)
            fits = (table == wanted.unsqueeze(-2)).all(-1)  # [B, T, E]
            fitting.append(torch.where(fits, logits, -torch.inf).logsumexp(-1).clamp(min=-1e30))
        total = torch.stack(fitting)
    count = assignment.log_count(mask)
    total = total if count is None else total + count
    return total.masked_fill((~mask & (rows > 0)[:, None, None]).any(-1), -1e30)


def picked(log_prior: Tensor, row: Tensor) -> Tensor:
    """Of log weights [B, T, K, C] those of a row of classes [K]: [B, T, K]."""
    index = row.expand(log_prior.shape[:-1]).unsqueeze(-1)
    return torch.take_along_dim(log_prior, index, -1).squeeze(-1)
