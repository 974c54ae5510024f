"""The one loop of every training: epoch after epoch, each kept in a checkpoint and reported."""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import pyro
import torch
from torch import Tensor, nn

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.process_state import drawing
from pyro_mixdvae.training.checkpoint import fits, read_checkpoint, write_checkpoint


class Epoch(NamedTuple):
    """A point of the learning curve: epoch (from 1), and the score of what it learns from and of what is held out.

    Of an ELBO, the training value is that of the epoch's own KL scale and scheduled sampling; the validation value
    always has the final KL scale and the final probability of scheduled sampling, so that epochs can be compared.
    """

    number: int
    training: float
    validation: float


class Score(NamedTuple):
    """By what epochs are compared, the more the better: what it is called, and its unit."""

    name: str
    unit: str


ELBO = Score("ELBO", "nats a frame")
LOG_LIKELIHOOD = Score("log likelihood", "nats a frame")
GAIN = Score("gain", "dB")


class Pretrained(NamedTuple):
    """The curve, and the epoch (from 1) whose weights the network has now, with its score of what was held out."""

    curve: list[Epoch]
    best_epoch: int
    best_score: float


class Checkpoint(NamedTuple):
    """Where an interrupted training is kept.

    Attributes:
        path: is written at the end of every epoch, so that a kill loses at most the running one; None: nowhere.
        resume: go on from it; the final weights are those of a run without interruption.
        settings: what the run depends on beside the training's own; resuming with others is refused.
    """

    path: str | Path | None = None
    resume: bool = False
    settings: dict[str, Any] = {}  # noqa: RUF012 - read only


NO_CHECKPOINT = Checkpoint()
Network = TypeVar("Network", bound=nn.Module)


class Training(ABC, Generic[Network]):
    """A network in training: one epoch after the other, and all that the next one depends on.

    Attributes:
        network: changes in place.
        schedule: how it is trained, for the card: the same schedule, data and seed give the same weights.
        seed: of all that is drawn.
        curve: of the epochs so far.
    """

    def __init__(self, network: Network, schedule: dict[str, Any], seed: int = 0):
        self.network, self.schedule, self.seed = network, schedule, seed
        self.curve: list[Epoch] = []

    @property
    def settings(self) -> dict[str, Any]:
        """What a checkpoint must agree in."""
        return {"schedule": self.schedule, "seed": self.seed}

    @property
    @abstractmethod
    def is_finished(self) -> bool:
        """Whether there is no further epoch."""

    @abstractmethod
    def begin(self) -> None:
        """Make ready for the first epoch; after it, `restore` may put an interrupted training in its place."""

    @abstractmethod
    def epoch(self) -> Epoch:
        """Train for one epoch: the next point of the curve."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """For a checkpoint: all but the curve."""

    def state_after_epochs(self) -> dict[str, Any]:
        """What `state` gives once there has been an epoch, as far as kinds and shapes go."""
        return self.state()

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""

    def finish(self) -> int:
        """Give the network its final weights; the epoch (from 1) that they are of: the last, unless overridden."""
        return len(self.curve)


def descend(network: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor, clip: float) -> None:
    """A step of the optimiser down a loss, the norm of whose gradient is clipped."""
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimiser.step()


def train(
    training: Training[Any],
    checkpoint: Checkpoint = NO_CHECKPOINT,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> Pretrained:
    """Train a network in place, from its initial weights or from a checkpoint, to the end.

    Args:
        training: the network's initial weights are part of what makes a run repeatable; so is torch's default dtype.
        checkpoint: where an interrupted run is kept.
        report: is called after each epoch.

    Raises:
        InputError: the checkpoint cannot be used, or the objective is no longer a finite number.
    """
    settings = training.settings | checkpoint.settings
    training.begin()
    if checkpoint.resume and checkpoint.path is not None:
        _resume(training, read_checkpoint(checkpoint.path, settings), checkpoint.path)
    while not training.is_finished:
        training.curve.append(training.epoch())
        if not math.isfinite(training.curve[-1].training + training.curve[-1].validation):
            raise not_finite(len(training.curve))
        if checkpoint.path is not None:
            state = training.state() | {"curve": [tuple(point) for point in training.curve]}
            write_checkpoint(checkpoint.path, state, settings)
        report(training.curve[-1])
    best = training.finish()
    return Pretrained(training.curve, best, training.curve[best - 1].validation)


def _resume(training: Training[Any], state: dict[str, Any], path: str | Path) -> None:
    """Put the state of a checkpoint in the place of one that has just begun.

    Raises:
        InputError: it is of another network, or its epochs are not those of a training.
    """
    curve = state.pop("curve", None)
    fitting = _is_curve(curve) and fits(state, training.state_after_epochs())
    if not (fitting and 0 <= state.get("best_epoch", 0) <= len(curve)):
        raise InputError(
            f"{path} is a checkpoint of something else: its network, its epochs or its numbers are none of this "
            "training; start without --resume."
        )
    training.curve = [Epoch(*point) for point in curve]
    try:
        training.restore(state)
    except (RuntimeError, ValueError) as error:  # what a generator or an optimiser refuses
        raise InputError(f"{path} is a checkpoint of something else ({error}); start without --resume.") from error


def _is_curve(curve: Any) -> bool:
    """Points of epochs 1, 2, ..."""
    if not isinstance(curve, list) or not curve:
        return False
    return all(fits(point, (0, 0.0, 0.0)) and point[0] == number for number, point in enumerate(curve, 1))


def not_finite(epoch: int) -> InputError:
    """The exception that says that a training has left the finite numbers."""
    return InputError(
        f"the objective is no longer a finite number in epoch {epoch}: lower the learning rate, or look for extreme "
        "values in what it learns from."
    )


def of_adam(optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """The state of Adam that has taken a step, in its shapes."""
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    of_each = [{"step": torch.zeros(()), "exp_avg": p, "exp_avg_sq": p} for p in parameters]
    return {**optimiser.state_dict(), "state": dict(enumerate(of_each))}


@contextmanager
def programs_run(generator: torch.Generator) -> Iterator[None]:
    """Run Pyro programs that draw from a generator; its parameter store and its settings stay as they were.

    Parameters stay in the modules. Arguments of densities are not validated at every draw: that what comes out is
    finite is checked once a step.
    """
    with (
        drawing(generator),
        pyro.settings.context(module_local_params=True),
        pyro.validation_enabled(False),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", "Encountered NaN")
        yield
