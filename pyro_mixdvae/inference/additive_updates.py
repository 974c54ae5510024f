"""The coordinate updates of sounds that add up.

Gradients move the latents to what explains the mixture best (`latent_ascent`), and log v, the parameter of q(s | o), is
the mean over all passes so far (Polyak's average): each of them errs in its own way. Where sources may be silent, E-V
follows: `q(v) ∝ p(v) prod_t p(o_t | v_t)` at these powers. That is the posterior of v as far as they are those of
p(s | z), and an approximation elsewhere.
"""

from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.distributions.silent_sum import log_evidence
from pyro_mixdvae.engines.registry import spectral_engine
from pyro_mixdvae.engines.spectral_protocol import NoisySum
from pyro_mixdvae.inference.latent_ascent import LatentAscent
from pyro_mixdvae.inference.spectral_sites import damped, site_of
from pyro_mixdvae.inference.spectral_updates import SpectralUpdates
from pyro_mixdvae.models.likelihoods.contract import Site
from pyro_mixdvae.models.likelihoods.spectral import shared_scale
from pyro_mixdvae.models.scene import Scene

GRADIENT_STEPS = 8
"""Of the latents in a step."""

SITE_STEPS = 6
"""Damped steps of an E-S whose sites depend on q(s)."""


class AdditiveUpdates(SpectralUpdates):
    """Of `AdditiveModel` with `AdditiveGuide`."""

    def __init__(self, model: Any, scene: Scene, guide: Any, first: int = 0):
        super().__init__(model, scene, guide, first)
        self.seen = NoisySum(self.guide.total, self.guide.noise)
        self.powers: Tensor | None = None
        self._n_passes = 0

    def move(self) -> None:
        """Two passes more: where the encoders put the latents, and where gradients have moved these."""
        if self.powers is None:
            self.look()
            return
        ascent = LatentAscent(self.engine, self.seen, self.powers)
        encoded = ascent.powers()
        ascent.step(GRADIENT_STEPS)
        self._take(encoded, ascent.powers())

    @torch.no_grad()
    def look(self) -> None:
        """One pass more, where the encoders put the latents: at first given the mixture, then the expected powers."""
        if self.powers is None:
            heard = self._first_heard()
            if self.guide.latent is not None:  # who is known to be silent is not in the mixture
                heard = heard * self.guide.latent.may_sound().unsqueeze(-1)
            self._take(self.engine.reconstructed(heard))
        else:
            self._take(self.engine.reconstructed(self.seen.given(self.powers).power))

    def _take(self, *passes: Tensor) -> None:
        """The mean over the passes so far and these, and q(s | o) of it."""
        self.powers = _mean_of_logs(self.powers, self._n_passes, *passes)
        self._n_passes += len(passes)
        self.guide.set_powers(self.powers)
        if self.guide.latent is not None:
            self._find_silence()
        if not self.model.likelihood.conjugate():
            self._move_sites()

    def _find_silence(self) -> None:
        """The rates of silence, at the first powers; then E-V.

        Powers and latents are found with all sources sounding that are not known to be silent: moved by q(v), a source
        that was once thought to be silent would be explained away for good by the others.
        """
        evidence = log_evidence(self.guide.all_sounding())
        if self._n_passes == 1:
            self.model = self.model.replace(silence=self.model.silence.fitted(evidence, self.scene))
            self.engine = spectral_engine(self.model, type(self.guide), self.scene).engine
            self.guide.latent.part = self.model.silence
        self.guide.latent.update(evidence)
        self.seen = self.seen._replace(chances=self.guide.latent.all_that_may())

    def _own_tensors(self) -> dict[str, Tensor]:
        """The powers, what frames say of silence, and the sites where there are any but the mixture itself."""
        names = ["log_powers"] if self.model.likelihood.conjugate() else ["log_powers", "total", "noise"]
        found = {name: getattr(self.guide, name).detach() for name in names}
        return found if self.guide.latent is None else {**found, "log_odds": self.guide.latent.log_odds.detach()}

    def _move_sites(self) -> None:
        """The Gaussian that stands for the likelihood of the sum, and q(s) given it, in turn."""
        for number in range(SITE_STEPS):
            self.guide.set_site(self.seen.value, self.seen.noise)
            site = site_of(self.model.likelihood, self.scene, *self._sum_moments())
            new = Site(*(part.squeeze(-1) for part in site))
            old = new if self._n_passes == 1 and number == 0 else Site(self.seen.value, 1 / self.seen.noise)
            value, precision = damped(old, new)
            self.seen = self.seen._replace(value=value, noise=1 / precision)
        self._show_site()

    def _sum_moments(self) -> tuple[Tensor, Tensor]:
        """Of what is heard of all sources together under q, [B, T, F, 1] each."""
        return tuple(part.unsqueeze(-1) for part in self.guide.posterior().total_moments)  # type: ignore[return-value]

    @torch.no_grad()
    def fit_noise(self) -> None:
        """By `Likelihood.scale_statistic` of the sum; the guide is then of that noise."""
        if not self.model.likelihood.noise.is_estimated:
            return
        scale = shared_scale(self.model.likelihood, self.scene)
        statistic = self.model.likelihood.scale_statistic(self.scene.observations, *self._sum_moments(), scale)
        mask = self.scene.mask
        self._with_noise((statistic * mask).sum((-2, -1)) / mask.sum((-2, -1)).clamp(min=1))
        noise = shared_scale(self.model.likelihood, self.scene).squeeze(-1).square()
        self.seen = self.seen._replace(value=self.scene.observations.squeeze(-1), noise=noise)
        self._show_site()

    def _show_site(self) -> None:
        """A copy to the guide, whose a step may put back to the best so far."""
        self.guide.set_site(self.seen.value.clone(), self.seen.noise.clone())


def _mean_of_logs(mean: Tensor | None, count: int, *more: Tensor) -> Tensor:
    """The geometric mean of `count` powers, of which it is given, and of more."""
    if mean is None:
        (only,) = more
        return only
    total = count * mean.log() + sum(power.log() for power in more)
    return (total / (count + len(more))).exp()
