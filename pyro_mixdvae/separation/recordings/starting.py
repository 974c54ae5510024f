"""What a training goes on from: a model that ships, or another one."""

import copy
from typing import NamedTuple

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.recordings.examples import ClipExamples
from pyro_mixdvae.training.objectives import SourceElbo, score
from pyro_mixdvae.weights.store import load_network, shipped_names


class Start(NamedTuple):
    """The name or file of a model, and a copy of its network that can be trained."""

    name: str
    network: SpectralSRNN


def loaded(name: str, stft: STFT) -> Start:
    """A model of sound by its shipped name or its file.

    Raises:
        InputError: it is none, or of another transform.
    """
    found = _trainable(name, stft)
    if found is None:
        raise InputError(
            f"{name} is no model of sound of the transform {stft.name}: give weights that `mixdvae train audio` made."
        )
    return found


def _trainable(name: str, stft: STFT) -> Start | None:
    """None: it is of another kind than what is trained, or of another transform."""
    found = load_network(name)
    if not isinstance(found.network, SpectralSRNN) or found.coordinates != stft:
        return None
    return Start(name, copy.deepcopy(found.network).float().train().requires_grad_(True))


def nearest(pieces: ClipExamples, stft: STFT, seed: int) -> Start:
    """The shipped model that explains pieces best: of the greatest ELBO.

    A training that goes on from it takes less time than one from nothing: it knows how to find a source among others.
    """
    models = [model for name in shipped_names("sounds") if (model := _trainable(name, stft)) is not None]
    return max(models, key=lambda model: score(SourceElbo(model.network), pieces, seed=seed))
