"""The path of the latents that a frozen network gives, each frame's from the frame before.

    a_1 = tanh(k_t + A z_{t-1}),   a_i = tanh(W_i a_{i-1} + b_i),   (mu, log v) = W a + b,   z_t = mu + sqrt(v) noise_t

What frame t's features add to the first layer is known before, k_t.
"""

from typing import NamedTuple

import numpy as np

from pyro_mixdvae.engines.numba.activations import exp, tanh
from pyro_mixdvae.engines.numba.compiled import Array, kernel, part


class Layers(NamedTuple):
    """Weights [I, O], row by row, and biases [O] of all layers after the first one, end to end."""

    latent: Array  # A of the first layer, [L W_1]
    weights: Array
    biases: Array
    widths: Array  # W_1, W_2, ... and last 2L: mean and logarithm of the variance


@kernel
def roll(known: Array, layers: Layers, noise: Array) -> Array:
    """z [M, T, L] of k [M, T, W_1] and noise [M, T, L]."""
    n_tracks, n_frames, n_latent = noise.shape
    widths, path = layers.widths, np.empty_like(noise)
    room = np.empty((2, widths.max()), noise.dtype)
    for m in range(n_tracks):
        z = np.zeros(n_latent, noise.dtype)
        for t in range(n_frames):
            outputs = room[0, : widths[0]]
            outputs[:] = known[m, t]
            add_product(z, layers.latent, outputs)
            weight, bias = 0, 0
            for n in range(1, len(widths)):
                inputs, outputs = outputs, room[n % 2, : widths[n]]
                tanh_row(inputs)
                size = widths[n - 1] * widths[n]
                outputs[:] = layers.biases[bias : bias + widths[n]]
                add_product(inputs, layers.weights[weight : weight + size], outputs)
                weight, bias = weight + size, bias + widths[n]
            for j in range(n_latent):
                z[j] = outputs[j] + np.sqrt(exp(outputs[n_latent + j])) * noise[m, t, j]
            path[m, t] = z
    return path


@part
def add_product(row: Array, weight: Array, out: Array) -> None:
    """out += row weight, the weight [I, O] laid end to end."""
    n_outputs = len(out)
    for i in range(len(row)):
        value, of_input = row[i], weight[i * n_outputs : (i + 1) * n_outputs]
        for o in range(n_outputs):
            out[o] += value * of_input[o]


@part
def tanh_row(row: Array) -> None:
    """tanh in place."""
    for j in range(len(row)):
        row[j] = tanh(row[j])
