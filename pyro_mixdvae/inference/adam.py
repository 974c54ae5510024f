"""Adam (Kingma and Ba 2015) for a few tensors: to make one of PyTorch's takes longer than to separate a sound."""

from collections.abc import Sequence

import torch
from torch import Tensor

DECAY_OF_MEAN, DECAY_OF_SQUARE, LEAST_SIZE = 0.9, 0.999, 1e-8


class Adam:
    """Moves tensors in place, up their gradients.

    Args:
        tensors: to be moved.
        learning_rate: about how far a step moves a number.
    """

    def __init__(self, tensors: Sequence[Tensor], learning_rate: float):
        self.tensors, self.learning_rate, self.n_steps = tensors, learning_rate, 0
        self.means = [torch.zeros_like(tensor) for tensor in tensors]
        self.squares = [torch.zeros_like(tensor) for tensor in tensors]

    @torch.no_grad()
    def climb(self, gradients: Sequence[Tensor]) -> None:
        """One step `m / sqrt(v)`, m and v being the running means of a gradient and of its square, without bias."""
        self.n_steps += 1
        of_mean, of_square = (1 - decay**self.n_steps for decay in (DECAY_OF_MEAN, DECAY_OF_SQUARE))
        for tensor, gradient, mean, square in zip(self.tensors, gradients, self.means, self.squares, strict=True):
            mean.lerp_(gradient, 1 - DECAY_OF_MEAN)
            square.lerp_(gradient.square(), 1 - DECAY_OF_SQUARE)
            size = (square / of_square).sqrt_().add_(LEAST_SIZE)
            tensor.addcdiv_(mean, size, value=self.learning_rate / of_mean)
