"""A network that masks a mixture: the same for methods that learn with the true sources, and without."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pyro_mixdvae.process_state import drawing, seeded

WIDTH, HIDDEN = 256, 128
LEARNING_RATE, CLIP = 2e-3, 1.0
FLOOR = 1e-6
# Ratios of signal to error above this many decibels do not count: easy examples would else outweigh the others.
BEST_DECIBELS = 30.0


class MaskNetwork(nn.Module):
    """`masks_t = softmax_n(Linear(BiLSTM(tanh(Linear(log |o_t|^2)))))`: they sum to 1 over the M outputs.

    With two outputs about as many weights as a MixDVAE's network of one source.

    Args:
        n_frequencies: F.
        n_outputs: M.
    """

    def __init__(self, n_frequencies: int, n_outputs: int):
        super().__init__()
        self.n_outputs = n_outputs
        self.input = nn.Linear(n_frequencies, WIDTH)
        self.lstm = nn.LSTM(WIDTH, HIDDEN, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * HIDDEN, n_outputs * n_frequencies)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Masks [B, M, T, F] of spectra [B, T, F] of any level."""
        power = spectrum.abs().square().float()
        loudness = power.mean((-2, -1), keepdim=True).clamp(min=1e-20)
        features = ((power / loudness + FLOOR).log() + 4.0) / 4.0
        hidden, _ = self.lstm(torch.tanh(self.input(features)))
        return self.output(hidden).unflatten(-1, (self.n_outputs, -1)).movedim(-2, 1).softmax(1)


def error_decibels(reference: Tensor, estimate: Tensor) -> Tensor:
    """`decibels_of` the error of spectra [*, T, F]: [*]."""
    return decibels_of(*((part.abs().square()).sum((-2, -1)) for part in (reference - estimate, reference)))


def decibels_of(error: Tensor, power: Tensor) -> Tensor:
    """Minus the ratio of signal to error in decibels, at least -`BEST_DECIBELS`; powers of any shape."""
    return 10 * ((error + 10 ** (-BEST_DECIBELS / 10) * power + 1e-8) / (power + 1e-8)).log10()


def trained(
    n_frequencies: int, n_outputs: int, loss: Callable[[MaskNetwork, int], Tensor], n_steps: int, seed: int
) -> MaskNetwork:
    """A network after so many steps of Adam.

    Args:
        n_frequencies: F.
        n_outputs: M.
        loss: of the examples of a step, which it makes from the number of the step.
        n_steps: the learning rate falls to zero along a cosine.
        seed: of the first weights.
    """
    with drawing(seeded(seed)):
        network = MaskNetwork(n_frequencies, n_outputs).float()
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, n_steps))
    for step in range(n_steps):
        optimiser.zero_grad()
        value = loss(network, step)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        falling.step()
    return network.eval()


def restored(learned: dict[str, Tensor], n_frequencies: int, n_outputs: int) -> MaskNetwork:
    """The network of weights that were kept."""
    network = MaskNetwork(n_frequencies, n_outputs).float()
    network.load_state_dict(learned)
    return network.eval()
