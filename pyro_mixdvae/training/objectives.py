"""What a pre-training maximises, batch by batch."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from pyro.infer import Trace_ELBO
from torch import Tensor, nn

from pyro_mixdvae.guides.single_source import SingleSourceGuide
from pyro_mixdvae.models.single_source import SingleSource
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.recurrent import RecurrentDVAE
from pyro_mixdvae.process_state import seeded
from pyro_mixdvae.training.data import Example, Tracks
from pyro_mixdvae.training.loop import programs_run


class Value(NamedTuple):
    """Of a batch: what is descended, and the score by which epochs are compared: numbers, each a mean."""

    loss: Tensor
    score: Tensor


class Objective(Protocol):
    """What a pre-training maximises."""

    @property
    def module(self) -> nn.Module:
        """All that moves."""

    def __call__(
        self, example: Tensor | Example, own_output_probability: float, kl_scale: float, generator: torch.Generator
    ) -> Value:
        """Of content [B, T, D], or of examples; `Schedule` says what the numbers are."""


class SourceElbo:
    """The ELBO of single sources, in nats a frame, which is its score too.

    Args:
        network: of the source.
    """

    def __init__(self, network: DVAE):
        self.module, self.loss = network, objective_of(network)

    def __call__(
        self, example: Tensor | Example, own_output_probability: float, kl_scale: float, generator: torch.Generator
    ) -> Value:
        """See `Objective`."""
        y, observed = example if isinstance(example, Example) else (example, example)
        seen = self.module.seen_input(y, observed, generator)
        inputs = self.module.mixed_inputs(seen, own_output_probability, generator)
        loss = self.loss(y, inputs, kl_scale, seen) / y.shape[:-1].numel()
        return Value(loss, -loss)


def objective_of(network: DVAE) -> Callable[..., Tensor]:
    """Minus the ELBO of content, inputs, KL scale and what is seen."""
    if isinstance(network, RecurrentDVAE) and network.latent_dim and network.has_elbo():
        return lambda *given: -network.elbo(*given)
    with programs_run(seeded(0)):  # a module is made with its parameters to itself, too
        loss: Callable[..., Tensor] = Trace_ELBO()(SingleSource(network), SingleSourceGuide(network))
    return loss


def score(
    objective: Objective,
    tracks: Tracks,
    own_output_probability: float = 0.0,
    seed: int = 0,
    kl_scale: float = 1.0,
    batch_size: int = 256,
) -> float:
    """The mean score of tracks of one length, in the unit of the objective.

    Args:
        objective: is not descended.
        tracks: contents [count, T, D], or examples.
        own_output_probability, kl_scale: as in `Schedule`.
        seed: of all that is drawn.
        batch_size: tracks at once.
    """
    generator, draws = seeded(seed), seeded(seed)
    total = 0.0
    for indices in torch.arange(len(tracks)).split(batch_size):
        with programs_run(draws), torch.no_grad():
            found = objective(tracks[indices], own_output_probability, kl_scale, generator).score
        total += float(found) * len(indices)
    return total / len(tracks)
