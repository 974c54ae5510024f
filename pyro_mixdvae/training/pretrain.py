"""Pre-training of a DVAE on single sources: stochastic variational inference on its own ELBO, unless told otherwise.

`ELBO = E_q[log p(y | h, z)] - KL(q(z | y) || p(z | h))`, summed over the frames, where h is fed the true past at
first and, as scheduled sampling sets in, more and more of the model's own output.
"""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.process_state import seeded
from pyro_mixdvae.training.data import Tracks
from pyro_mixdvae.training.loop import Epoch, Training, descend, not_finite, of_adam, programs_run
from pyro_mixdvae.training.objectives import Objective, SourceElbo, score
from pyro_mixdvae.training.schedule import Schedule

Network = TypeVar("Network", bound=DVAE)


class Pretraining(Training[Network]):
    """Pre-training of a DVAE by a schedule; the network ends with the weights of the best epoch.

    Args:
        network: untrained.
        tracks: gives the training tracks of an epoch (from 0): contents [count, T, D], or `Tracks`.
        validation: held-out tracks.
        schedule: see `Schedule`.
        seed: of the order of tracks, the scheduled sampling, and the draws of the guide.
        objective: what is maximised; None: the network's own ELBO.
    """

    def __init__(
        self,
        network: Network,
        tracks: Callable[[int], Tracks],
        validation: Tracks,
        schedule: Schedule,
        seed: int = 0,
        objective: Objective | None = None,
    ):
        super().__init__(network, schedule.model_dump(), seed)
        self.tracks, self.validation, self.plan = tracks, validation, schedule
        self.objective = SourceElbo(network) if objective is None else objective
        self.module = self.objective.module
        self.best_epoch = 0
        self.best_weights: dict[str, Tensor] = {}

    def begin(self) -> None:
        """The optimiser and the generators, from the seed."""
        self.draws = seeded(self.seed)
        self.optimiser = torch.optim.Adam(self.module.parameters(), lr=self.plan.learning_rate)
        self.generator = seeded(self.seed)

    @property
    def is_finished(self) -> bool:
        """All epochs are done, or the score of validation has not risen for as long as patience lasts."""
        done = len(self.curve)
        waited = done - max(self.best_epoch, self.plan.finished_at)
        return done >= self.plan.epochs or waited >= self.plan.patience

    def epoch(self) -> Epoch:
        """One pass over the tracks, and the validation after it."""
        number = len(self.curve)
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate(number)
        training = self._pass(self.tracks(number), number)
        probability = self.plan.own_output_probability
        found = score(self.objective, self.validation, probability, self.seed, self.plan.kl_weight)
        point = Epoch(number + 1, training, found)
        self._keep_the_best(point)
        return point

    def _pass(self, tracks: Tracks, number: int) -> float:
        kl_scale, probability = self.plan.kl_scale(number), self.plan.probability(number)
        order = torch.randperm(len(tracks), generator=self.generator)
        total = 0.0
        for indices in order.split(self.plan.batch_size):
            with programs_run(self.draws):
                value = self.objective(tracks[indices], probability, kl_scale, self.generator)
            if not torch.isfinite(value.loss):
                raise not_finite(number + 1)
            descend(self.module, self.optimiser, value.loss, self.plan.clip)
            total += float(value.score.detach()) * len(indices)
        return total / len(tracks)

    def _keep_the_best(self, point: Epoch) -> None:
        # While the schedule still changes the objective, the last weights are the best that there are.
        settled = self.best_epoch > self.plan.finished_at
        if not settled or point.validation > self.curve[self.best_epoch - 1].validation:
            self.best_epoch = point.number
            self.best_weights = copy.deepcopy(self.module.state_dict())

    def finish(self) -> int:
        """The weights of the best epoch."""
        self.module.load_state_dict(self.best_weights)
        return self.best_epoch

    def state(self) -> dict[str, Any]:
        """Weights, those of the best epoch, the optimiser and the generators."""
        return {
            "network": self.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "draws": self.draws.get_state(),
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
        }

    def state_after_epochs(self) -> dict[str, Any]:
        """Adam has moments, and there are best weights."""
        state = self.state()
        return state | {"optimiser": of_adam(self.optimiser), "best_weights": state["network"]}

    def restore(self, state: dict[str, Any]) -> None:
        """The same, put back."""
        self.module.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.draws.set_state(state["draws"])
        self.best_epoch, self.best_weights = state["best_epoch"], state["best_weights"]
