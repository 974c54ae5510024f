"""The kinds of networks that weights can belong to, and how each is rebuilt from its sizes."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import nn

from pyro_mixdvae.networks.autoregressive import Autoregressive
from pyro_mixdvae.networks.constant_acceleration import ConstantAcceleration
from pyro_mixdvae.networks.dkf import DKF
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.hmm import HMM
from pyro_mixdvae.networks.kinematic import ConstantVelocity, KinematicNetwork
from pyro_mixdvae.networks.layers import History, TanhMLP
from pyro_mixdvae.networks.motion_categories import MotionCategories
from pyro_mixdvae.networks.random_walk import RandomWalk
from pyro_mixdvae.networks.rvae import RVAE
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.networks.stationary_noise import StationaryNoise
from pyro_mixdvae.networks.storn import STORN
from pyro_mixdvae.networks.vae import VAE
from pyro_mixdvae.networks.vrnn import VRNN

MOST_LAYERS = 100
LARGEST_SIZE = 2**24
"""Above it a layer has more weights than memory holds anywhere; also what is not finite is above it."""


class NetworkKind(NamedTuple):
    """`build(**sizes(network))` has the shapes of `network`; sizes are numbers and lists of numbers."""

    build: Callable[..., nn.Module]
    sizes: Callable[[Any], dict[str, Any]]

    def of_sizes(self, sizes: Mapping[str, Any]) -> nn.Module:
        """A network of sizes that a file gives, which may be any.

        Raises:
            ValueError: a number that no network has; or, as `TypeError`, `RuntimeError` and `InputError`, what the
                network's class raises.
        """
        for name, value in sizes.items():
            _check_size(name, value)
        return self.build(**sizes)


def _check_size(name: str, value: Any) -> None:
    if isinstance(value, list):
        if len(value) > MOST_LAYERS:
            raise ValueError(f"{name} has {len(value)} layers")
        for part in value:
            _check_size(name, part)
    elif not (isinstance(value, str) or (isinstance(value, int | float) and abs(value) <= LARGEST_SIZE)):
        raise ValueError(f"{name} is {value!r}")


def kind_of(network: nn.Module) -> str:
    """The name under which the network's class is registered.

    Raises:
        TypeError: it is of no registered class.
    """
    for name, kind in NETWORKS.items():
        if kind.build is type(network):
            return name
    raise TypeError(f"{type(network).__name__} is not in the registry of networks")


def _recurrent_sizes(network: KinematicNetwork | Autoregressive) -> dict[str, Any]:
    history = _history(network)
    return {"content_dim": network.content_dim, "hidden": history.lstm.hidden_size, "gain": history.gain}


def _damped_sizes(network: ConstantVelocity | ConstantAcceleration) -> dict[str, Any]:
    return {"content_dim": network.content_dim, "damping": network.damping}


def _categories_sizes(network: MotionCategories) -> dict[str, Any]:
    return {
        "content_dim": network.content_dim,
        "n_clusters": network.n_clusters,
        "hidden": network.history.lstm.hidden_size,
        "gain": network.history.gain,
    }


def _srnn_sizes(network: SRNN) -> dict[str, Any]:
    history = _history(network)
    return {
        "content_dim": network.content_dim,
        "latent_dim": network.latent_dim,
        "input_sizes": _widths(history.input),
        "hidden": history.lstm.hidden_size,
        "prior_sizes": _widths(network.prior_network.hidden),
        "emission_sizes": _widths(network.emission_network.hidden),
        "encoder_sizes": _widths(network.encoder_network.hidden),
    }


def _spectral_sizes(network: SpectralSRNN) -> dict[str, Any]:
    is_known = math.isinf(network.power_shape)  # of which JSON has no number
    return {
        "content_dim": network.content_dim,
        "latent_dim": network.latent_dim,
        "input_sizes": _widths(network.history.input),
        "hidden": network.history.lstm.hidden_size,
        "backward_sizes": _widths(network.backward.input),
        "backward_hidden": network.backward.lstm.hidden_size,
        "prior_sizes": _widths(network.prior_network.hidden),
        "emission_sizes": _widths(network.emission_hidden),
        "encoder_sizes": _widths(network.encoder_network.hidden),
        "encoder_input": network.encoder_input,
        "floor": network.floor,
        **({} if is_known else {"power_shape": network.power_shape}),
    }


def _vrnn_sizes(network: VRNN) -> dict[str, Any]:
    return {**_latent_sizes(network), "hidden": network.history.lstm.hidden_size, "gain": network.gain}


def _storn_sizes(network: STORN) -> dict[str, Any]:
    return {**_latent_sizes(network), "hidden": network.recurrence.gru.hidden_size, "gain": network.gain}


def _backward_sizes(network: DKF | RVAE) -> dict[str, Any]:
    backward = network.backward_history
    return {**_latent_sizes(network), "hidden": backward.lstm.hidden_size, "gain": backward.gain}


def _vae_sizes(network: VAE) -> dict[str, Any]:
    return {
        **_latent_sizes(network),
        "emission_sizes": _widths(network.emission_network.hidden),
        "encoder_sizes": _widths(network.encoder_network.hidden),
    }


def _hmm_sizes(network: HMM) -> dict[str, Any]:
    return {"content_dim": network.content_dim, "n_states": network.n_states, "gain": network.gain}


def _random_walk_sizes(network: RandomWalk) -> dict[str, Any]:
    return {"content_dim": network.content_dim}


def _latent_sizes(network: DVAE) -> dict[str, Any]:
    return {"content_dim": network.content_dim, "latent_dim": network.latent_dim}


def _history(network: nn.Module) -> History:
    if not isinstance(network.history, History):
        raise TypeError(f"{type(network).__name__} has no LSTM whose sizes could be read")
    return network.history


def _widths(mlp: TanhMLP) -> list[int]:
    return [layer.out_features for layer in mlp.layers if isinstance(layer, nn.Linear)]


NETWORKS = {
    "kinematic": NetworkKind(KinematicNetwork, _recurrent_sizes),
    "constant-velocity": NetworkKind(ConstantVelocity, _damped_sizes),
    "random-walk": NetworkKind(RandomWalk, _random_walk_sizes),
    "constant-acceleration": NetworkKind(ConstantAcceleration, _damped_sizes),
    "hmm": NetworkKind(HMM, _hmm_sizes),
    "autoregressive": NetworkKind(Autoregressive, _recurrent_sizes),
    "artist": NetworkKind(MotionCategories, _categories_sizes),
    "srnn": NetworkKind(SRNN, _srnn_sizes),
    "vrnn": NetworkKind(VRNN, _vrnn_sizes),
    "dkf": NetworkKind(DKF, _backward_sizes),
    "storn": NetworkKind(STORN, _storn_sizes),
    "rvae": NetworkKind(RVAE, _backward_sizes),
    "vae": NetworkKind(VAE, _vae_sizes),
    "spectral-srnn": NetworkKind(SpectralSRNN, _spectral_sizes),
    "stationary-noise": NetworkKind(StationaryNoise, _latent_sizes),
}
