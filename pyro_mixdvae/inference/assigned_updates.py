"""The coordinate updates of sounds of which one wins each frequency."""

from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import as_content, squared_modulus
from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.inference.spectral_sites import damped, site_of, some_frames
from pyro_mixdvae.inference.spectral_updates import SpectralUpdates
from pyro_mixdvae.models.assignments.contract import Assignment
from pyro_mixdvae.models.likelihoods.contract import Site
from pyro_mixdvae.models.scene import Scene

SWEEPS = 3
"""Of E-S and E-W in a step."""

SITE_STEPS = 4
"""Damped steps of an E-S whose sites depend on q(s); a sweep goes on where the last one ended."""


class AssignedUpdates(SpectralUpdates):
    """Of `MixtureModel` with `MeanField`, or with `Collapsed`, which leaves w to the model."""

    def __init__(self, model: Any, scene: Scene, guide: Any, first: int = 0):
        super().__init__(model, scene, guide, first)
        with torch.no_grad():
            assignment, mask = self.model.assignment, scene.mask
            self.responsibilities: Tensor = assignment.marginals(assignment.prior_logits(mask), mask)
        self.moments: tuple[Tensor, Tensor] | None = None
        self.site: Site | None = None

    def _fitted(self, model: Any, scene: Scene) -> Any:
        return model.replace(assignment=model.assignment.fitted(scene))

    def _own_tensors(self) -> dict[str, Tensor]:
        """Parameters, and the units that they are in."""
        others = ("sources.", "assignment.", "present")
        return {name: value for name, value in self.guide.state_dict().items() if not name.startswith(others)}

    def move(self) -> None:
        """New powers, then E-S and E-W in turn."""
        power = self._first_heard()
        if self.moments is not None:
            power = squared_modulus(self.moments[0]) + self.moments[1]
        powers = self.engine.reconstructed(power)
        for _ in range(SWEEPS):
            self.sweep(powers)

    def sweep(self, powers: Tensor) -> None:
        """E-S, `V = (eta / v_o + 1 / v)^-1`, `m = V eta o / v_o`, and E-W, for given powers v [B, N, T, F].

        Each raises the mean-field bound. Where the likelihood is not Gaussian, value and precision of its sites stand
        for o and 1 / v_o; they are moved a damped step at a time.
        """
        is_conjugate = self.model.likelihood.conjugate()
        for _ in range(1 if is_conjugate else SITE_STEPS):
            if self.site is None or not is_conjugate:
                self._move_site(powers)
            self.moments = self._updated(powers)
        mean, variance = self._contents()
        self.guide.set_chain(independent_frames(mean, variance))
        self._assign(mean, variance)

    def _move_site(self, powers: Tensor) -> None:
        mean, variance = self.moments or (torch.zeros_like(powers, dtype=self.scene.observations.dtype), powers)
        mean, variance = (part.movedim(1, -1).unsqueeze(-1) for part in (mean, variance))
        site = site_of(self.model.likelihood, self.scene, mean, variance, is_shared=False)
        new = Site(*(part.squeeze(-1).movedim(-1, 1) for part in site))  # [B, N, T, F]
        self.site = new if self.site is None else damped(self.site, new)

    def _updated(self, powers: Tensor) -> tuple[Tensor, Tensor]:
        assert self.site is not None  # `sweep` has found it
        eta = self.responsibilities[..., : self.scene.n_sources].movedim(-1, 1)
        weight = eta * self.site.precision
        variance = 1 / (weight + 1 / powers)
        return variance * weight * self.site.value, variance

    def _contents(self) -> tuple[Tensor, Tensor]:
        """m and V as contents, [B, N, T, 2F] each; half of a variance is the real part's."""
        assert self.moments is not None  # `sweep` has found them
        mean, variance = self.moments
        return as_content(mean), (variance / 2).repeat_interleave(2, -1)

    def _assign(self, mean: Tensor, variance: Tensor) -> None:
        """E-V, where the assignment brings a latent, and E-W."""
        expected = self._expected_log_likelihood(mean, variance)
        assignment, mask = self._assignment(), self.scene.mask
        logits = assignment.posterior_logits(expected, mask)
        if isinstance(self.guide, MeanField):
            self.guide.set_assignments(logits)
        self.responsibilities = assignment.marginals(logits, mask)

    def _assignment(self) -> Assignment:
        latent = getattr(self.guide, "latent", None)
        assignment: Assignment = self.model.assignment
        if latent is None:
            return assignment
        latent.update(self.responsibilities, assignment, self.scene.present)
        found: Assignment = latent.expected(assignment)
        return found

    def _expected_log_likelihood(self, mean: Tensor, variance: Tensor) -> Tensor:
        """`MixtureModel.expected_log_likelihood`, some frames at a time where that is a quadrature."""
        if self.model.likelihood.conjugate():
            found: Tensor = self.model.expected_log_likelihood(self.scene, mean, variance)
            return found
        parts = [
            self.model.expected_log_likelihood(self.scene.frames(some), mean[:, :, some], variance[:, :, some])
            for some in some_frames(self.scene, self.scene.n_sources)
        ]
        return torch.cat(parts, 1)

    @torch.no_grad()
    def fit_noise(self) -> None:
        """By `Likelihood.scale_statistic`, weighed by the responsibilities."""
        likelihood = self.model.likelihood
        if not likelihood.noise.is_estimated or self.moments is None:
            return
        mean, variance = (part.movedim(1, -1).unsqueeze(-1) for part in self.moments)
        scale = likelihood.noise.scale(self.scene)
        statistic = likelihood.scale_statistic(self.scene.observations.unsqueeze(-2), mean, variance, scale)
        eta = self.responsibilities[..., : self.scene.n_sources]
        self._with_noise((eta * statistic).sum((-3, -2, -1)) / eta.sum((-3, -2, -1)).clamp(min=1.0))
        self.site = None


def independent_frames(mean: Tensor, variance: Tensor) -> Chain:
    """Means and variances [B, N, T, 2F] as a chain whose frames are independent."""
    matrix = variance[..., None, None]
    return Chain(mean.unsqueeze(-1), torch.zeros_like(matrix), matrix, matrix)
