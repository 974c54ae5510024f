"""Markov chains of few states, each weighed in each frame: their posterior by forward and backward messages.

Messages are had frame after frame, or, where states are few, from products of matrices: those of all first frames
together take a number of rounds that grows with the logarithm of T, in place of T steps.
"""

import torch
from torch import Tensor

SCANNED = 4
"""States up to which products of matrices are faster than frame after frame."""


def smooth_states(before: Tensor, log_matrix: Tensor, log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """A chain of S states, each weighed in each frame: its pairs [*, T, S, S], and the log of its sum [*].

    Args:
        before: log p(v_{-1}) [*, S].
        log_matrix: log p(v_t | v_{t-1}), rows v_{t-1}: [*, S, S].
        log_weights: of each state in each frame [*, T, S].
    """
    n_states = before.shape[-1]
    if not log_weights.shape[-2]:
        return log_weights.new_zeros(*log_weights.shape, n_states), before.logsumexp(-1)
    messages = _scanned if n_states <= SCANNED else _stepwise
    steps = log_matrix.unsqueeze(-3) + log_weights.unsqueeze(-2)  # [*, T, S, S]
    ahead, behind, log_sum = messages(before, steps)
    joint = ahead.unsqueeze(-1) + steps + behind.unsqueeze(-2)
    return joint.flatten(-2).softmax(-1).unflatten(-1, (n_states, n_states)), log_sum


def _stepwise(before: Tensor, steps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Messages to each frame of those before and after it [*, T, S], but for factors; and the log of the sum [*]."""
    forward, total, ahead = before, torch.zeros_like(before[..., 0]), []
    for step in steps.unbind(-3):
        ahead.append(forward)
        forward = torch.logsumexp(forward.unsqueeze(-1) + step, -2)
        scale = torch.logsumexp(forward, -1)
        forward, total = forward - scale.unsqueeze(-1), total + scale
    backward, behind = torch.zeros_like(forward), []
    for step in reversed(steps.unbind(-3)):
        behind.append(backward)
        backward = torch.logsumexp(step + backward.unsqueeze(-2), -1)
        backward = backward - backward.amax(-1, keepdim=True)
    return torch.stack(ahead, -2), torch.stack(behind[::-1], -2), total


def _scanned(before: Tensor, steps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same, from the products of the first and of the last frames' matrices."""
    first, sizes = products(steps)
    last, _ = products(steps.flip(-3).mT)
    reached = torch.logsumexp(before[..., None, :, None] + first, -2)
    left = torch.logsumexp(last.flip(-3), -2)
    ahead = torch.cat([before.unsqueeze(-2), reached[..., :-1, :]], -2)
    behind = torch.cat([left[..., 1:, :], torch.zeros_like(left[..., :1, :])], -2)
    return ahead, behind, torch.logsumexp(reached[..., -1, :], -1) + sizes[..., -1]


def products(log_matrices: Tensor) -> tuple[Tensor, Tensor]:
    """The products of the first 1, 2, ... T matrices of a sequence, in logarithms.

    Neighbours are multiplied, then these products, half as many, and so on; on the way back the others follow from them
    (a parallel prefix: Ladner and Fischer 1980). Each is divided by its largest entry: long ones lose no digits.

    Args:
        log_matrices: [*, T, S, S].

    Returns:
        The products, divided by their largest entries [*, T, S, S], and those [*, T].
    """
    size = log_matrices.amax((-2, -1))
    return _prefixes(log_matrices - size[..., None, None], size)


def _prefixes(matrices: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """`products` of matrices that are divided by `sizes`."""
    n_frames = sizes.shape[-1]
    if n_frames == 1:
        return matrices, sizes
    n_pairs = n_frames // 2
    paired, of_pairs = _prefixes(
        *_multiplied(
            (matrices[..., 0 : 2 * n_pairs : 2, :, :], sizes[..., 0 : 2 * n_pairs : 2]),
            (matrices[..., 1::2, :, :], sizes[..., 1::2]),
        )
    )
    later = matrices[..., 2::2, :, :], sizes[..., 2::2]  # each comes after some pairs
    n_later = later[1].shape[-1]
    odd, of_odd = _multiplied((paired[..., :n_later, :, :], of_pairs[..., :n_later]), later)
    odd, of_odd = torch.cat([matrices[..., :1, :, :], odd], -3), torch.cat([sizes[..., :1], of_odd], -1)
    frames = torch.arange(n_frames, device=sizes.device)
    order = torch.cat([frames[::2], frames[1::2]]).argsort()
    return torch.cat([odd, paired], -3)[..., order, :, :], torch.cat([of_odd, of_pairs], -1)[..., order]


def _multiplied(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The products of matrices with others, and their sizes."""
    product = torch.logsumexp(one[0].unsqueeze(-1) + other[0].unsqueeze(-3), -2)
    largest = product.amax((-2, -1))
    return product - largest[..., None, None], one[1] + other[1] + largest
