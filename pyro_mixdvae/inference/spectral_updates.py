"""The coordinate updates of models of sound: what those of sources that add up and those of one that wins share.

Given the powers v that p(s | z) has, q(s | o) is known in closed form in either model. So a step is new powers (E-Z),
and q(s | o), or q(s | o) and q(w | o), from these. The first powers are what the networks make of the
mixture, but for what is steady noise in it (`SoundSources.first_heard`); then they are fed the expected power of their
source, `E_q |s|^2 = |m|^2 + V`, in all frames at once.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.engines.protocol import Record
from pyro_mixdvae.engines.registry import spectral_engine
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.inference.records import with_errors
from pyro_mixdvae.inference.spectral_posterior import spectral_posterior
from pyro_mixdvae.models.scene import Scene


class SpectralUpdates(ABC):
    """Moves the guide of B mixtures through one run; it stands where the ELBO of each mixture was greatest so far.

    Args:
        model: its rates, and the constants of its sources, are fitted to the scene first.
        scene: the mixtures.
        guide: the family of q, made as `guide(model, scene)`.
        first: the frame of the start, which sounds have none of.
    """

    def __init__(self, model: Any, scene: Scene, guide: Any, first: int = 0):
        with torch.no_grad():
            self.model, self.scene = self._fitted(model, scene), scene
            self.model = self.model.replace(sources=self.model.sources.begun(scene))
            choice = spectral_engine(self.model, guide, scene)
            self.engine, self.note = choice.engine, choice.sentence
            self.guide = guide(self.model, scene)
        self._best: Tensor | None = None

    def _fitted(self, model: Any, scene: Scene) -> Any:
        return model

    @torch.no_grad()
    def step(self) -> Record:
        """E-Z, E-S (and E-W), and the record of what they come to."""
        before = None if self._best is None else self._state()
        self.move()
        record = self.engine.record(self.guide)
        elbo = record["elbo"]
        if self._best is None or before is None:
            self._best = elbo
            return record
        taken = elbo > self._best
        self._best = torch.where(taken, elbo, self._best)
        for name, value in self._own_tensors().items():
            value.copy_(torch.where(taken.reshape(-1, *[1] * (value.dim() - 1)), value, before[name]))
        return record

    @abstractmethod
    def move(self) -> None:
        """E-Z, E-S (and E-W)."""

    @torch.no_grad()
    def look(self) -> None:
        """The same with latents where the encoders put them, if a `move` has more ways than that."""
        self.move()

    @abstractmethod
    def fit_noise(self) -> None:
        """M: the noise of the mixture, where it is left to the data."""

    def _with_noise(self, statistic: Tensor) -> None:
        likelihood = self.model.likelihood
        likelihood = likelihood.replace(noise=likelihood.noise.fitted(statistic))
        self.model = self.model.replace(likelihood=likelihood)
        self.engine = spectral_engine(self.model, type(self.guide), self.scene).engine

    @abstractmethod
    def _own_tensors(self) -> dict[str, Tensor]:
        """What a step changes of the guide, [B, ...] each."""

    def _state(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self._own_tensors().items()}

    def posterior(self, records: list[Record]) -> Posterior:
        """Of the guide as it is now."""
        if records:
            last = records[-1]["elbo"] if self._best is None else self._best
            records = with_errors(records, last, lambda: self.engine.record(self.guide, seed=1))
        return spectral_posterior(self.model, self.scene, self.guide, records, self.engine.name, self.note)

    def refreshed(self, records: list[Record]) -> Posterior:
        """After something else has moved the guide, with a record of it."""
        own = self.engine.record(self.guide)
        self._best = own["elbo"]
        return self.posterior([*records, own])

    def _first_heard(self) -> Tensor:
        """What networks make the first powers of, [B, N, T, F]."""
        power = squared_modulus(self.scene.observations.squeeze(-1))
        heard: Tensor = self.model.sources.first_heard(power, self.scene.present)
        return heard
