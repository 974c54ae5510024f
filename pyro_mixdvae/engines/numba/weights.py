"""The weights of frozen networks as kernels take them."""

import numpy as np
import torch
from torch import Tensor, nn

from pyro_mixdvae.engines.numba import latent_path
from pyro_mixdvae.engines.numba.compiled import Array, array
from pyro_mixdvae.engines.numba.recurrence import DRIFT, Layer, Network, widths
from pyro_mixdvae.networks.kinematic import ConstantVelocity, Kinematic, KinematicNetwork
from pyro_mixdvae.networks.layers import VARIANCE_FLOOR, GaussianNetwork

NETWORKS = (KinematicNetwork, ConstantVelocity)
"""The networks of motion that kernels know."""


@torch.no_grad()
def network_arrays(network: Kinematic) -> Network:
    """The weights of one of `NETWORKS`."""
    if isinstance(network, KinematicNetwork):
        return _recurrent(network)
    assert isinstance(network, ConstantVelocity)
    return _constant(network)


def _recurrent(network: KinematicNetwork) -> Network:
    """Transposed, with the gain in those that it stands beside."""
    first, features = network.history.input.layers[0], network.features.layers[0]
    assert isinstance(first, nn.Linear)
    assert isinstance(features, nn.Linear)
    gain, weight, bias = network.history.gain, array(first.weight), array(first.bias)
    input_gates, hidden_gates, input_bias, hidden_bias = (array(part) for part in network.history.lstm.all_weights[0])
    scale = np.ones((4, network.content_dim), bias.dtype)
    scale[DRIFT] = gain
    return Network(
        *widths(network.content_dim, len(bias)),
        VARIANCE_FLOOR,
        _layer(gain * weight.T, bias),
        _layer(np.concatenate([input_gates.T, hidden_gates.T]), input_bias + hidden_bias),
        _layer(array(features.weight).T, array(features.bias)),
        _layer(array(network.heads.weight).T / scale.ravel(), array(network.heads.bias) / scale.ravel()),
        np.zeros_like(scale),
    )


def _constant(network: ConstantVelocity) -> Network:
    """No weights: the constants."""
    nothing = network.process_variance.new_zeros(0)
    layer, constants = _layer(array(nothing), array(nothing)), torch.stack(list(network.motion(nothing)))
    return Network(*widths(network.content_dim, 0), VARIANCE_FLOOR, layer, layer, layer, layer, array(constants))


def _layer(weight: Array, bias: Array) -> Layer:
    """[I, O] and [O]."""
    return Layer(weight.flatten(), bias)


def latent_path_of(network: GaussianNetwork, features: Tensor, noise: Tensor) -> Tensor:
    """The path `z_t = mean + sqrt(variance) noise_t`, both given the features of frame t and z_{t-1}; `z_0 = 0`.

    Features [*, T, D] and noise [*, T, L] -> [*, T, L]; what `MarkovGaussian.path` gives.
    """
    first, *others = network.hidden.linear()
    from_features, from_latent = first.weight.split([features.shape[-1], noise.shape[-1]], -1)
    known = nn.functional.linear(features, from_features, first.bias)
    weights: list[Tensor] = [layer.weight for layer in others]
    weights.append(torch.cat([network.mean.weight, network.log_variance.weight]))
    biases: list[Tensor] = [*(layer.bias for layer in others), network.mean.bias, network.log_variance.bias]
    layers = latent_path.Layers(
        array(from_latent.T.flatten()),
        array(torch.cat([weight.T.flatten() for weight in weights])),
        array(torch.cat(biases)),
        np.array([len(first.weight), *map(len, weights)]),
    )
    path: Array = latent_path.roll(
        array(known.reshape(-1, *known.shape[-2:])), layers, array(noise.reshape(-1, *noise.shape[-2:]))
    )
    return torch.from_numpy(path).view(noise.shape)
