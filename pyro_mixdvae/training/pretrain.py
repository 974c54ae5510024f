"""Pre-training of a DVAE on single sources: stochastic variational inference on its own ELBO.

`ELBO = E_q[log p(y | h, z)] - KL(q(z | y) || p(z | h))`, summed over the frames, where h is fed the true past at
first and, as scheduled sampling sets in, more and more of the model's own output.
"""

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyro
import torch
from pydantic import BaseModel, ConfigDict, Field
from pyro.infer import Trace_ELBO
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides.single_source import SingleSourceGuide
from pyro_mixdvae.models.single_source import SingleSource
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.training.checkpoint import read_checkpoint, write_checkpoint


class Schedule(BaseModel):
    """How a pre-training runs; the same schedule, data and seed give the same weights.

    Attributes:
        epochs: at most so many passes over the training tracks.
        warm_up: the scale of the KL term rises to `kl_weight` over so many epochs.
        kl_weight: its final scale; 1 for the ELBO, less for a latent that says more of the content (beta-VAE).
        sampling_start, sampling_end: scheduled sampling rises from nothing to its final probability between
            these epochs.
        own_output_probability: final probability that the history is fed the model's own output for a frame.
        batch_size: tracks a step.
        learning_rate: of Adam, at the start.
        final_learning_rate: it falls to this fraction along a cosine; 1 for a constant rate.
        clip: largest norm of the gradient of a step (of the ELBO per frame).
        patience: stop after so many epochs without a better validation ELBO, once the schedule has finished.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(ge=1)
    warm_up: int = Field(ge=0)
    kl_weight: float = Field(default=1.0, gt=0, le=1)
    sampling_start: int = Field(ge=0)
    sampling_end: int = Field(ge=0)
    own_output_probability: float = Field(ge=0, le=1)
    batch_size: int = Field(default=256, ge=1)
    learning_rate: float = Field(gt=0)
    final_learning_rate: float = Field(default=1.0, gt=0, le=1)
    clip: float = Field(default=10.0, gt=0)
    patience: int = Field(default=30, ge=1)

    @property
    def finished_at(self) -> int:
        """The first epoch (from 0) that is trained on the objective proper; best weights count from here."""
        return max(self.warm_up, self.sampling_end)

    def kl_scale(self, epoch: int) -> float:
        """Scale of the KL term in an epoch (from 0); never 0, which Pyro does not take."""
        return self.kl_weight * min(1.0, (epoch + 1) / (self.warm_up + 1))

    def probability(self, epoch: int) -> float:
        """Probability of the own output in an epoch (from 0)."""
        if epoch >= self.sampling_end:
            return self.own_output_probability
        risen = (epoch - self.sampling_start) / max(1, self.sampling_end - self.sampling_start)
        return self.own_output_probability * max(0.0, risen)

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch (from 0)."""
        cosine = (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        return self.learning_rate * (self.final_learning_rate + (1 - self.final_learning_rate) * cosine)


class Example(NamedTuple):
    """Content to be explained, and what is seen of it: the same where a source is seen by itself; [B, T, D] each."""

    content: Tensor
    observed: Tensor


class Tracks(Protocol):
    """Examples by their numbers; a tensor of contents [count, T, D] is one too."""

    def __len__(self) -> int:
        """Number of examples."""

    def __getitem__(self, indices: Tensor, /) -> Tensor | Example:
        """Those with the given numbers [B]; a tensor is content that is seen as it is."""


class Epoch(NamedTuple):
    """A point of the learning curve: epoch (from 1), and the ELBO per frame in nats.

    The training ELBO is that of the epoch's own KL scale and scheduled sampling; the validation ELBO always has
    the final KL scale and the final probability of scheduled sampling, so that epochs can be compared.
    """

    number: int
    training: float
    validation: float


class Pretrained(NamedTuple):
    """The curve, and the epoch (from 1) whose weights the network has now, with its validation ELBO per frame."""

    curve: list[Epoch]
    best_epoch: int
    best_elbo: float


def pretrain(
    network: DVAE,
    tracks: Callable[[int], Tracks],
    validation: Tracks,
    schedule: Schedule,
    seed: int = 0,
    *,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    settings: dict[str, Any] | None = None,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> Pretrained:
    """Train a network in place; it ends with the weights of the best epoch.

    Args:
        network: its initial weights are part of what makes a run repeatable; so is torch's default dtype.
        tracks: gives the training tracks of an epoch (from 0): contents [count, T, D], or `Tracks`.
        validation: held-out tracks.
        schedule: see `Schedule`.
        seed: of the order of tracks, the scheduled sampling, and the draws of the guide.
        checkpoint: written at the end of every epoch if given, so that a kill loses at most the running one.
        resume: go on from the checkpoint; the final weights are those of a run without interruption.
        settings: anything else that the run depends on; resuming with other settings is refused.
        report: called after each epoch.

    Raises:
        InputError: the checkpoint cannot be used, or the ELBO is no longer a finite number.
    """
    settings = {"schedule": schedule.model_dump(), "seed": seed, **(settings or {})}
    with _isolated():
        run = _Run(network, schedule, seed)
        if resume and checkpoint is not None:
            run.restore(read_checkpoint(checkpoint, settings))
        while not run.finished:
            point = run.epoch(tracks(len(run.curve)), validation)
            if checkpoint is not None:
                write_checkpoint(checkpoint, run.state(), settings)
            report(point)
    network.load_state_dict(run.best_weights)
    best = run.curve[run.best_epoch - 1]
    return Pretrained(run.curve, best.number, best.validation)


def elbo_per_frame(
    network: DVAE,
    tracks: Tracks,
    own_output_probability: float = 0.0,
    seed: int = 0,
    batch_size: int = 256,
    kl_scale: float = 1.0,
) -> float:
    """ELBO of tracks in nats a frame, with noise of a fixed seed."""
    generator = torch.Generator().manual_seed(seed)
    total, n_frames = 0.0, 0
    with _isolated(), torch.no_grad():
        torch.manual_seed(seed)
        loss = Trace_ELBO()(SingleSource(network), SingleSourceGuide(network))
        for indices in torch.arange(len(tracks)).split(batch_size):
            y, evidence = _given(network, tracks[indices], generator)
            inputs = network.mixed_inputs(evidence, own_output_probability, generator)
            total -= float(loss(y, inputs, kl_scale, evidence))
            n_frames += y.shape[:-1].numel()
    return total / n_frames


def _given(network: DVAE, example: Tensor | Example, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Content, and the evidence of it that the network is given."""
    y, observed = example if isinstance(example, Example) else (example, example)
    return y, network.evidence(y, observed, generator)


@contextmanager
def _isolated() -> Iterator[None]:
    """Leave Pyro's parameter store and settings, and torch's generator, as they were.

    Parameters stay in the modules. Arguments of densities are not validated at every draw: that what comes out is
    finite is checked once a step.
    """
    with (
        pyro.settings.context(module_local_params=True),
        pyro.validation_enabled(False),
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Encountered NaN")
        yield


class _Run:
    """The state of a pre-training: everything that the next epoch depends on."""

    def __init__(self, network: DVAE, schedule: Schedule, seed: int):
        self.network, self.schedule, self.seed = network, schedule, seed
        self.loss = Trace_ELBO()(SingleSource(network), SingleSourceGuide(network))
        self.optimiser = torch.optim.Adam(network.parameters(), lr=schedule.learning_rate)
        self.generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        self.curve: list[Epoch] = []
        self.best_epoch = 0
        self.best_weights: dict[str, Tensor] = {}

    @property
    def finished(self) -> bool:
        """All epochs are done, or the validation ELBO has not risen for as long as patience lasts."""
        done = len(self.curve)
        waited = done - max(self.best_epoch, self.schedule.finished_at)
        return done >= self.schedule.epochs or waited >= self.schedule.patience

    def epoch(self, tracks: Tracks, validation: Tracks) -> Epoch:
        """One pass over the tracks, and the validation after it."""
        number = len(self.curve)
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate(number)
        training = self._train(tracks, number)
        probability = self.schedule.own_output_probability
        found = elbo_per_frame(self.network, validation, probability, self.seed, kl_scale=self.schedule.kl_weight)
        point = Epoch(number + 1, training, found)
        if not math.isfinite(point.training + point.validation):
            raise _not_finite(number)
        self.curve.append(point)
        self._keep_the_best(point)
        return point

    def _train(self, tracks: Tracks, number: int) -> float:
        kl_scale, probability = self.schedule.kl_scale(number), self.schedule.probability(number)
        order = torch.randperm(len(tracks), generator=self.generator)
        total = 0.0
        for indices in order.split(self.schedule.batch_size):
            y, evidence = _given(self.network, tracks[indices], self.generator)
            inputs = self.network.mixed_inputs(evidence, probability, self.generator)
            loss = self.loss(y, inputs, kl_scale, evidence) / y.shape[:-1].numel()
            if not torch.isfinite(loss):
                raise _not_finite(number)
            self.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip)
            self.optimiser.step()
            total -= float(loss.detach()) * len(y)
        return total / len(tracks)

    def _keep_the_best(self, point: Epoch) -> None:
        # While the schedule still changes the objective, the last weights are the best that there are.
        settled = self.best_epoch > self.schedule.finished_at
        if not settled or point.validation > self.curve[self.best_epoch - 1].validation:
            self.best_epoch = point.number
            self.best_weights = copy.deepcopy(self.network.state_dict())

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "global_generator": torch.random.get_rng_state(),
            "curve": [tuple(point) for point in self.curve],
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        torch.random.set_rng_state(state["global_generator"])
        self.curve = [Epoch(*point) for point in state["curve"]]
        self.best_epoch, self.best_weights = state["best_epoch"], state["best_weights"]


def _not_finite(epoch: int) -> InputError:
    return InputError(
        f"the ELBO is no longer a finite number in epoch {epoch + 1}: lower the learning rate, "
        "or look for extreme values in what it learns from."
    )
