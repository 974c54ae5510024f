"""How the pre-training of a DVAE runs: its KL warm-up, scheduled sampling and learning rate."""

import math

from pydantic import BaseModel, ConfigDict, Field


class Schedule(BaseModel):
    """How a pre-training runs; the same schedule, data and seed give the same weights.

    Attributes:
        epochs: at most so many passes over the training tracks.
        warm_up: the scale of the KL term rises to `kl_weight` over so many epochs.
        kl_weight: its final scale; 1 for the ELBO, less for a latent that carries more of the content (beta-VAE).
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
