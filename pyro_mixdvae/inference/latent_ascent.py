"""E-Z by gradient: the latents that explain the mixture best, where an encoder only guesses them.

With s summed out, `log p(o, z) = log N_c(o; 0, sum_n v_n(h_n, z_n) + v_o) + sum_n log p(z_n | h_n)` for given histories
h, which are fed the expected power of their source: EM, whose M-step (for z) is Adam's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pyro_mixdvae.engines.spectral_protocol import Encoded, NoisySum, SpectralEngine

DECAY_OF_MEAN, DECAY_OF_SQUARE, LEAST_SIZE = 0.9, 0.999, 1e-8


class LatentAscent:
    """Latents of N sources, which begin where encoders put them, and the optimiser that moves them.

    Args:
        engine: of the model, whose weights stay as they are.
        seen: of the sum of the sources.
        powers: v [B, N, T, F]: histories and encoders are fed the power that each source is expected to have by it.
        learning_rate: of Adam.
    """

    def __init__(self, engine: SpectralEngine, seen: NoisySum, powers: Tensor, learning_rate: float = 0.05):
        self.engine = engine
        with torch.no_grad():
            encoded = engine.encode(seen.given(powers).power)
            latents = [latent.clone().requires_grad_() for latent in encoded.latents]
        self.encoded = Encoded(encoded.histories, latents)
        self._gradients = engine.gradients(self.encoded, seen)
        self._optimiser = Adam(latents, learning_rate)

    def step(self, n_steps: int) -> None:
        """So many steps."""
        for _ in range(n_steps):
            self._optimiser.step(self._gradients())

    def powers(self) -> Tensor:
        """v(h, z) [B, N, T, F], where the latents are."""
        return self.engine.powers(self.encoded)


class Adam:
    """Adam (Kingma and Ba 2015) for a few tensors: to make one of PyTorch's takes longer than to separate a sound.

    Args:
        tensors: to be moved, in place, up their gradients.
        learning_rate: about how far a step moves a number.
    """

    def __init__(self, tensors: Sequence[Tensor], learning_rate: float):
        self.tensors, self.learning_rate, self.n_steps = tensors, learning_rate, 0
        self.means = [torch.zeros_like(tensor) for tensor in tensors]
        self.squares = [torch.zeros_like(tensor) for tensor in tensors]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """One step `m / sqrt(v)`, m and v being the running means of a gradient and of its square, without bias."""
        self.n_steps += 1
        of_mean, of_square = (1 - decay**self.n_steps for decay in (DECAY_OF_MEAN, DECAY_OF_SQUARE))
        for tensor, gradient, mean, square in zip(self.tensors, gradients, self.means, self.squares, strict=True):
            mean.lerp_(gradient, 1 - DECAY_OF_MEAN)
            square.lerp_(gradient.square(), 1 - DECAY_OF_SQUARE)
            size = (square / of_square).sqrt_().add_(LEAST_SIZE)
            tensor.addcdiv_(mean, size, value=self.learning_rate / of_mean)
