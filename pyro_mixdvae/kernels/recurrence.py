"""The recurrence of a frozen `Kinematic` network: how M sources move next, given all their displacements so far.

    x_t = tanh(A y_t + a)
    i, f, g, r = W [x_t, h_{t-1}] + b                            an LSTM, gates in PyTorch's order
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g),   h_t = sigmoid(r) tanh(c_t)
    (persistence, agility, drift, jitter) = heads(tanh(F h_t + f))

Weights are [inputs, outputs], outputs side by side in memory: the inner loops run over them. M is small, a few rows
that stay in the nearest cache with the weights.
"""

from typing import NamedTuple

import numpy as np

from pyro_mixdvae.kernels.activations import exp, sigmoid, tanh
from pyro_mixdvae.kernels.compiled import Array, part

PERSISTENCE, AGILITY, DRIFT, JITTER = range(4)


class Network(NamedTuple):
    """The weights; H is 0 for a network without memory, whose motion is always `constants` [4, D]."""

    floor: float  # of variances
    input_weight: Array  # [D, H]; the gain of displacements is in it
    input_bias: Array  # [H]
    gates_weight: Array  # [2H, 4H]
    gates_bias: Array  # [4H]
    features_weight: Array  # [H, H]
    features_bias: Array  # [H]
    heads_weight: Array  # [H, 4D]; drifts are in units of displacement
    heads_bias: Array  # [4D]
    constants: Array  # [4, D]


class Memory(NamedTuple):
    """What M sources carry from frame to frame, and room to work in."""

    displacement: Array  # y, [M, D]
    joined: Array  # x and h, [M, 2H]
    cell: Array  # c, [M, H]
    gates: Array  # [M, 4H]
    features: Array  # [M, H]
    heads: Array  # [M, 4D]
    powers: Array  # their exponentials, [M, 4D]
    motion: Array  # persistence, agility, drift, jitter: [M, 4, D]


@part
def empty_memory(network: Network, n_tracks: int) -> Memory:
    """The memory of M sources of which nothing is known."""
    real = network.input_bias.dtype
    width, n_dims = network.input_bias.shape[0], network.constants.shape[1]
    return Memory(
        np.zeros((n_tracks, n_dims), real),
        np.zeros((n_tracks, 2 * width), real),
        np.zeros((n_tracks, width), real),
        np.zeros((n_tracks, 4 * width), real),
        np.zeros((n_tracks, width), real),
        np.zeros((n_tracks, 4 * n_dims), real),
        np.zeros((n_tracks, 4 * n_dims), real),
        np.zeros((n_tracks, 4, n_dims), real),
    )


@part
def affine(rows: Array, first: int, weight: Array, bias: Array, out: Array) -> None:
    """out[:, :O] = rows[:, first : first + I] weight + bias: [M, .], [I, O], [O] -> [M, .].

    Inputs in eights, so that what is summed up in `out` is loaded and stored an eighth as often.
    """
    n_inputs, n_outputs = weight.shape
    by_eight = n_inputs - n_inputs % 8
    for m in range(rows.shape[0]):
        row, total = rows[m], out[m]
        for o in range(n_outputs):
            total[o] = bias[o]
        for i in range(0, by_eight, 8):
            w0, w1, w2, w3 = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
            w4, w5, w6, w7 = weight[i + 4], weight[i + 5], weight[i + 6], weight[i + 7]
            j = first + i
            a0, a1, a2, a3 = row[j], row[j + 1], row[j + 2], row[j + 3]
            a4, a5, a6, a7 = row[j + 4], row[j + 5], row[j + 6], row[j + 7]
            for o in range(n_outputs):
                some = a0 * w0[o] + a1 * w1[o] + a2 * w2[o] + a3 * w3[o]
                total[o] += some + (a4 * w4[o] + a5 * w5[o] + a6 * w6[o] + a7 * w7[o])
        for i in range(by_eight, n_inputs):
            a0, w0 = row[first + i], weight[i]
            for o in range(n_outputs):
                total[o] += a0 * w0[o]


@part
def remember(network: Network, memory: Memory) -> None:
    """One step of the LSTM, fed `memory.displacement`."""
    width = network.input_bias.shape[0]
    if width == 0:
        return
    affine(memory.displacement, 0, network.input_weight, network.input_bias, memory.joined)
    for m in range(memory.joined.shape[0]):
        tanh_all(memory.joined[m][:width])
    affine(memory.joined, 0, network.gates_weight, network.gates_bias, memory.gates)
    for m in range(memory.joined.shape[0]):
        open_gates(memory.gates[m], memory.cell[m], memory.joined[m][width:])


@part
def tanh_all(row: Array) -> None:
    """tanh in place, [H]."""
    for j in range(row.shape[0]):
        row[j] = tanh(row[j])


@part
def open_gates(gates: Array, cell: Array, hidden: Array) -> None:
    """c = sigmoid(f) c + sigmoid(i) tanh(g), h = sigmoid(r) tanh(c) of one source: gates [4H], c and h [H]."""
    width = cell.shape[0]
    admit, keep = gates[:width], gates[width : 2 * width]
    candidate, release = gates[2 * width : 3 * width], gates[3 * width :]
    for j in range(width):
        cell[j] = sigmoid(keep[j]) * cell[j] + sigmoid(admit[j]) * tanh(candidate[j])
    for j in range(width):
        hidden[j] = sigmoid(release[j]) * tanh(cell[j])


@part
def read_motion(network: Network, memory: Memory) -> None:
    """How each source moves next, into `memory.motion`."""
    n_tracks, _, n_dims = memory.motion.shape
    width = network.input_bias.shape[0]
    if width == 0:
        for m in range(n_tracks):
            for quantity in range(4):
                for d in range(n_dims):
                    memory.motion[m, quantity, d] = network.constants[quantity, d]
        return
    affine(memory.joined, width, network.features_weight, network.features_bias, memory.features)
    for m in range(n_tracks):
        tanh_all(memory.features[m])
    affine(memory.features, 0, network.heads_weight, network.heads_bias, memory.heads)
    for m in range(n_tracks):
        heads, powers, motion = memory.heads[m], memory.powers[m], memory.motion[m]
        for j in range(4 * n_dims):
            powers[j] = exp(heads[j])
        for d in range(n_dims):
            motion[PERSISTENCE, d] = powers[d] / (1 + powers[d])
            motion[AGILITY, d] = powers[n_dims + d] + network.floor
            motion[DRIFT, d] = heads[2 * n_dims + d]
            motion[JITTER, d] = powers[3 * n_dims + d] + network.floor
