"""Building blocks shared by the networks."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from pyro_mixdvae.errors import InputError, require_positive


class TanhMLP(nn.Module):
    """Linear layers with a tanh after each: `sizes` are the width of the input and of every layer."""

    def __init__(self, sizes: Sequence[int]):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, features: Tensor) -> Tensor:
        """Map [*, sizes[0]] to [*, sizes[-1]]."""
        for layer in self.layers:
            features = torch.tanh(layer(features))
        return features

    def given(self, known: Tensor) -> Callable[[Tensor], Tensor]:
        """`forward` as a function of the last features [*, D], the first ones [*, K] being known.

        What these add to the first layer is computed once.
        """
        if not self.layers:
            return lambda rest: torch.cat([known, rest], -1)
        first, *others = self.linear()
        of_known, of_rest = first.weight.split([known.shape[-1], first.in_features - known.shape[-1]], -1)
        constant = nn.functional.linear(known, of_known, first.bias)

        def hidden(rest: Tensor) -> Tensor:
            features = torch.tanh(constant + nn.functional.linear(rest, of_rest))
            for layer in others:
                features = torch.tanh(layer(features))
            return features

        return hidden

    def linear(self) -> list[nn.Linear]:
        """The layers without their tanh."""
        return list(self.layers)  # type: ignore[arg-type]


class GaussianNetwork(nn.Module):
    """An MLP with two linear heads: mean and variance (the head gives its logarithm) of a diagonal Gaussian."""

    def __init__(self, sizes: Sequence[int], output: int):
        super().__init__()
        self.hidden = TanhMLP(sizes)
        self.mean = nn.Linear(sizes[-1], output)
        self.log_variance = nn.Linear(sizes[-1], output)

    def forward(self, *features: Tensor) -> tuple[Tensor, Tensor]:
        """Concatenate the features (in order, on the last axis) and give mean and variance [*, output]."""
        return self._heads(self.hidden(torch.cat(features, -1)))

    def given(self, known: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """`forward` as a function of the last features, as `TanhMLP.given`."""
        hidden = self.hidden.given(known)
        return lambda rest: self._heads(hidden(rest))

    def _heads(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(hidden), self.log_variance(hidden).exp()


class DisplacementNetwork(GaussianNetwork):
    """A `GaussianNetwork` of a displacement, a small number of box sizes: it starts at rest, with little noise.

    Args:
        sizes: width of the input and of every layer.
        output: D.
        gain: the mean's head is divided by it.
    """

    def __init__(self, sizes: Sequence[int], output: int, gain: float):
        super().__init__(sizes, output)
        require_positive(gain, f"a gain of {gain}")
        self.gain = gain
        with torch.no_grad():
            self.mean.weight.mul_(0.1)
            self.mean.bias.zero_()
            self.log_variance.weight.mul_(0.1)
            self.log_variance.bias.fill_(-6.0)

    def _heads(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = super()._heads(hidden)
        return mean / self.gain, variance + VARIANCE_FLOOR


class History(nn.Module):
    """`h_t = LSTM(MLP(gain x_t), h_{t-1})`: what a DVAE remembers of a source's past.

    Args:
        sizes: width of the inputs and of each layer of the MLP.
        hidden: H, width of the LSTM.
        gain: the inputs are multiplied by it, where they are small numbers by nature.
    """

    def __init__(self, sizes: Sequence[int], hidden: int, gain: float = 1.0):
        super().__init__()
        require_positive(gain, f"a gain of {gain}")
        self.gain = gain
        self.input = TanhMLP(sizes)
        self.lstm = nn.LSTM(sizes[-1], hidden, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Run over whole sequences: inputs [*, T, D] -> h [*, T, H]."""
        return self.scan(self.features(inputs))

    def features(self, inputs: Tensor) -> Tensor:
        """What the LSTM is fed, frame by frame: [*, D] -> [*, last of sizes]."""
        return self.input(inputs if self.gain == 1 else self.gain * inputs)  # type: ignore[no-any-return]

    def scan(self, features: Tensor) -> Tensor:
        """The LSTM alone, over `features`: [*, T, last of sizes] -> h [*, T, H]."""
        h, _ = self.lstm(features.reshape(-1, *features.shape[-2:]))
        return h.reshape(*features.shape[:-1], h.shape[-1])

    def init_state(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The state before the first frame for a batch shaped as `like` [*, D]: two tensors [*, H] of zeros."""
        zero = like.new_zeros(*like.shape[:-1], self.lstm.hidden_size)
        return zero, zero

    def update_state(self, inputs: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """One frame: inputs [*, D] and the state before -> (h, c), each [*, H]."""
        h, c = state
        linear = nn.functional.linear
        weight_input, weight_hidden, bias_input, bias_hidden = self.lstm.all_weights[0]
        gates = linear(self.input(self.gain * inputs), weight_input, bias_input) + linear(h, weight_hidden, bias_hidden)
        admit, forget, candidate, release = gates.chunk(4, -1)
        c = torch.sigmoid(forget) * c + torch.sigmoid(admit) * torch.tanh(candidate)
        return torch.sigmoid(release) * torch.tanh(c), c


class BackwardHistory(History):
    """An LSTM from the last frame to the first: what an encoder makes of y_t, ..., y_T."""

    def forward(self, inputs: Tensor, present: Tensor | None = None) -> Tensor:
        """Inputs [*, T, D] -> g [*, T, H]; frames not `present` [*, T], padding after the end, are not seen."""
        return self.remembered_backwards(self.features(inputs), present)

    def remembered_backwards(self, features: Tensor, present: Tensor | None = None) -> Tensor:
        """The LSTM alone, backwards over `features`: [*, T, last of sizes] -> g [*, T, H]."""
        if present is None or bool(present.all()):
            return self.scan(features.flip(-2)).flip(-2)
        order = _backwards(present).unsqueeze(-1)
        return torch.take_along_dim(self.scan(torch.take_along_dim(features, order, -2)), order, -2)


def _backwards(present: Tensor) -> Tensor:
    """The frames [*, T] from the last one that is present to the first, then the padding; its own inverse."""
    length = present.sum(-1, keepdim=True)
    frames = torch.arange(present.shape[-1], device=present.device)
    return (length - 1 - frames) % present.shape[-1]


class GatedUnit(nn.Module):
    """`h_t = GRU(MLP(gain x_t), h_{t-1})`: a recurrence whose state is h alone.

    Where h_t depends on z_t, densities need the state before it, and so all of that state at every frame.

    Args:
        sizes: width of the inputs and of each layer of the MLP.
        hidden: H.
        gain: the inputs are multiplied by it.
    """

    def __init__(self, sizes: Sequence[int], hidden: int, gain: float = 1.0):
        super().__init__()
        require_positive(gain, f"a gain of {gain}")
        self.gain = gain
        self.input = TanhMLP(sizes)
        self.gru = nn.GRU(sizes[-1], hidden, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Run over whole sequences: inputs [*, T, D] -> h [*, T, H]."""
        features = self.input(self.gain * inputs)
        h, _ = self.gru(features.reshape(-1, *features.shape[-2:]))
        return h.reshape(*features.shape[:-1], h.shape[-1])

    def init_state(self, like: Tensor) -> Tensor:
        """h before the first frame for a batch shaped as `like` [*, D]: zeros [*, H]."""
        return like.new_zeros(*like.shape[:-1], self.gru.hidden_size)

    def update_state(self, inputs: Tensor, h: Tensor) -> Tensor:
        """One frame: inputs [*, D] and h before [*, H] -> h [*, H]."""
        linear = nn.functional.linear
        weight_input, weight_hidden, bias_input, bias_hidden = self.gru.all_weights[0]
        of_input = linear(self.input(self.gain * inputs), weight_input, bias_input).chunk(3, -1)
        of_hidden = linear(h, weight_hidden, bias_hidden).chunk(3, -1)
        reset, keep = (torch.sigmoid(a + b) for a, b in zip(of_input[:2], of_hidden[:2], strict=True))
        candidate = torch.tanh(of_input[2] + reset * of_hidden[2])
        return (1 - keep) * candidate + keep * h


class NoHistory(nn.Module):
    """The memory of a prior that has none: h is empty, [*, 0]."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs [*, T, D] -> h [*, T, 0]."""
        return inputs.new_zeros(*inputs.shape[:-1], 0)

    def init_state(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Two tensors [*, 0] for a batch shaped as `like` [*, D]."""
        nothing = like.new_zeros(*like.shape[:-1], 0)
        return nothing, nothing

    def update_state(self, inputs: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The state as it was."""
        return state


VARIANCE_FLOOR = 1e-8
"""Added to variances of displacements, in box sizes squared."""


def variances(width: int, *spreads: float | Sequence[float]) -> Tensor:
    """The squares of S standard deviations, each a number or D = `width` of them, side by side [S D].

    They are at least `VARIANCE_FLOOR`. NumPy computes them: where weights are read torch's device is "meta", for whose
    arithmetic it imports a compiler for seconds.

    Raises:
        InputError: neither one number nor D.
    """
    for spread in spreads:
        if np.shape(spread) not in ((), (1,), (width,)):
            raise InputError(f"of standard deviations give one, or {width}, one for each number of a content.")
    each = np.concatenate([np.broadcast_to(np.square(spread), width) for spread in spreads])
    return torch.tensor(each.clip(VARIANCE_FLOOR), dtype=torch.get_default_dtype())
