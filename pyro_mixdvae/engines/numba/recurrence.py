"""The recurrence of a frozen `Kinematic` network: how M sources move next, given all their displacements so far.

    x_t = tanh(A y_t + a)
    i, f, g, r = W [x_t, h_{t-1}] + b                            an LSTM, gates in PyTorch's order
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g),   h_t = sigmoid(r) tanh(c_t)
    (damping, process_variance, drift, position_variance) = heads(tanh(F h_t + f))

For boxes and the network that ships the widths D and H are lengths of tuples: a tuple's length is part of its type, so
that the compiler knows them, and can lay out the inner loops for just these. All others are lengths of arrays, and
share kernels: one more content or network does not wait for the compiler again.
"""

from typing import NamedTuple

import numpy as np

from pyro_mixdvae.engines.numba.activations import exp, sigmoid, tanh
from pyro_mixdvae.engines.numba.compiled import Array, part

DAMPING, PROCESS_VARIANCE, DRIFT, POSITION_VARIANCE = range(4)

BLOCK = 16
"""Inputs that `affine` adds at once."""

Width = tuple[int, ...] | Array

BOX, SHIPPED = 4, 32
"""The D and the H that kernels are laid out for."""


class Widths(NamedTuple):
    """Things that are as long as rows of a network are wide."""

    dims: Width  # D
    hidden: Width  # H; 0 for a network without memory
    joined: Width  # 2H
    gates: Width  # 4H
    heads: Width  # 4D


def widths(n_dims: int, hidden: int) -> Widths:
    """Those of D and H, in their types where these are the ones that kernels are laid out for."""
    is_common = (n_dims, hidden) == (BOX, SHIPPED)
    lengths = n_dims, hidden, 2 * hidden, 4 * hidden, 4 * n_dims
    return Widths(*((0,) * length if is_common else np.zeros(length, np.int64) for length in lengths))


class Layer(NamedTuple):
    """An affine map: its weight [I, O] row by row, [I O], and its bias [O]."""

    weight: Array
    bias: Array


class Network(NamedTuple):
    """The layers of the network; only `constants` count where H is 0."""

    dims: Width  # these are `Widths`
    hidden: Width
    joined: Width
    gates: Width
    heads: Width
    floor: float  # of variances
    input_layer: Layer  # D to H; the gain of displacements is in it
    gate_layer: Layer  # 2H to 4H
    feature_layer: Layer  # H to H
    head_layer: Layer  # H to 4D; drifts are in units of displacement
    constants: Array  # the motion of a network without memory, [4, D]


class Memory(NamedTuple):
    """What M sources carry from frame to frame, and room to work in."""

    displacement: Array  # y, [M, D]
    joined: Array  # x and h, [M, 2H]
    cell: Array  # c, [M, H]
    gates: Array  # [M, 4H]
    features: Array  # [M, H]
    heads: Array  # [M, 4D]
    powers: Array  # their exponentials, [M, 4D]
    motion: Array  # damping, process_variance, drift, position_variance: [M, 4, D]
    half: Array  # as wide as the widest layer, for `affine`


@part
def empty_memory(network: Network, n_tracks: int) -> Memory:
    """The memory of M sources of which nothing is known."""
    real = network.constants.dtype
    hidden, dims = len(network.hidden), len(network.dims)
    return Memory(
        np.zeros((n_tracks, dims), real),
        np.zeros((n_tracks, 2 * hidden), real),
        np.zeros((n_tracks, hidden), real),
        np.zeros((n_tracks, 4 * hidden), real),
        np.zeros((n_tracks, hidden), real),
        np.zeros((n_tracks, 4 * dims), real),
        np.zeros((n_tracks, 4 * dims), real),
        np.zeros((n_tracks, 4, dims), real),
        np.zeros(max(4 * hidden, 4 * dims), real),
    )


@part
def affine(rows: Array, first: int, inputs: Width, layer: Layer, outputs: Width, half: Array, out: Array) -> None:
    """out[:, :O] = rows[:, first : first + I] weight + bias, of M rows; `half` is room for O numbers.

    Inputs in blocks, or in fours, so that what is summed up in `out` is loaded and stored once for all of them. A block
    in two halves: of more than eight inputs a processor with sixteen registers would load some again for each output.
    """
    n_inputs, n_outputs, weight = len(inputs), len(outputs), layer.weight
    in_blocks, in_fours = n_inputs - n_inputs % BLOCK, n_inputs - n_inputs % 4
    for m in range(rows.shape[0]):
        row, total = rows[m], out[m]
        for o in range(n_outputs):
            total[o] = layer.bias[o]
        for i in range(0, in_blocks, BLOCK):
            at, j = i * n_outputs, first + i
            a, b, c, d = row[j], row[j + 1], row[j + 2], row[j + 3]
            e, f, g, h = row[j + 4], row[j + 5], row[j + 6], row[j + 7]
            for o in range(n_outputs):
                w = at + o
                one = a * weight[w] + b * weight[w + n_outputs]
                one += c * weight[w + 2 * n_outputs] + d * weight[w + 3 * n_outputs]
                two = e * weight[w + 4 * n_outputs] + f * weight[w + 5 * n_outputs]
                two += g * weight[w + 6 * n_outputs] + h * weight[w + 7 * n_outputs]
                half[o] = one + two
            at, j = at + 8 * n_outputs, j + 8
            a, b, c, d = row[j], row[j + 1], row[j + 2], row[j + 3]
            e, f, g, h = row[j + 4], row[j + 5], row[j + 6], row[j + 7]
            for o in range(n_outputs):
                w = at + o
                one = a * weight[w] + b * weight[w + n_outputs]
                one += c * weight[w + 2 * n_outputs] + d * weight[w + 3 * n_outputs]
                two = e * weight[w + 4 * n_outputs] + f * weight[w + 5 * n_outputs]
                two += g * weight[w + 6 * n_outputs] + h * weight[w + 7 * n_outputs]
                total[o] += half[o] + (one + two)
        for i in range(in_blocks, in_fours, 4):
            at, j = i * n_outputs, first + i
            a, b, c, d = row[j], row[j + 1], row[j + 2], row[j + 3]
            for o in range(n_outputs):
                w = at + o
                one = a * weight[w] + b * weight[w + n_outputs]
                two = c * weight[w + 2 * n_outputs] + d * weight[w + 3 * n_outputs]
                total[o] += one + two
        for i in range(in_fours, n_inputs):
            for o in range(n_outputs):
                total[o] += row[first + i] * weight[i * n_outputs + o]


@part
def remember(network: Network, memory: Memory) -> None:
    """One step of the LSTM, fed `memory.displacement`."""
    hidden = network.hidden
    if len(hidden) == 0:
        return
    affine(memory.displacement, 0, network.dims, network.input_layer, hidden, memory.half, memory.joined)
    tanh_rows(memory.joined, hidden)
    affine(memory.joined, 0, network.joined, network.gate_layer, network.gates, memory.half, memory.gates)
    open_gates(hidden, memory.gates, memory.cell, memory.joined)


@part
def tanh_rows(rows: Array, width: Width) -> None:
    """tanh in place of the first numbers of each row, [M, .]."""
    for m in range(rows.shape[0]):
        for j in range(len(width)):
            rows[m, j] = tanh(rows[m, j])


@part
def open_gates(width: Width, gates: Array, cell: Array, joined: Array) -> None:
    """c = sigmoid(f) c + sigmoid(i) tanh(g), h = sigmoid(r) tanh(c): gates [M, 4H], c [M, H], h the end of [M, 2H]."""
    hidden = len(width)
    for m in range(cell.shape[0]):
        for j in range(hidden):
            admitted = sigmoid(gates[m, j]) * tanh(gates[m, 2 * hidden + j])
            cell[m, j] = sigmoid(gates[m, hidden + j]) * cell[m, j] + admitted
        for j in range(hidden):
            joined[m, hidden + j] = sigmoid(gates[m, 3 * hidden + j]) * tanh(cell[m, j])


@part
def read_motion(network: Network, memory: Memory) -> None:
    """How each source moves next, into `memory.motion`."""
    hidden, n_dims = network.hidden, len(network.dims)
    if len(hidden) == 0:
        for m in range(memory.motion.shape[0]):
            for quantity in range(4):
                for d in range(n_dims):
                    memory.motion[m, quantity, d] = network.constants[quantity, d]
        return
    affine(memory.joined, len(hidden), hidden, network.feature_layer, hidden, memory.half, memory.features)
    tanh_rows(memory.features, hidden)
    affine(memory.features, 0, hidden, network.head_layer, network.heads, memory.half, memory.heads)
    for m in range(memory.motion.shape[0]):
        for j in range(4 * n_dims):
            memory.powers[m, j] = exp(memory.heads[m, j])
        for d in range(n_dims):
            power = memory.powers[m, d]
            memory.motion[m, DAMPING, d] = power / (1 + power)
            memory.motion[m, PROCESS_VARIANCE, d] = memory.powers[m, n_dims + d] + network.floor
            memory.motion[m, DRIFT, d] = memory.heads[m, 2 * n_dims + d]
            memory.motion[m, POSITION_VARIANCE, d] = memory.powers[m, 3 * n_dims + d] + network.floor
