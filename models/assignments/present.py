"""p(w | v) p(v) of sources that leave the picture and come back, or come late: v says who is hidden, and who absent."""

import math

import pyro
import torch
from pyro.distributions import Delta
from torch import Tensor, nn

from pyro_mixdvae.distributions import presence
from pyro_mixdvae.distributions.presence import ABSENT, HIDDEN, VISIBLE
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.assignments.contract import Factor
from pyro_mixdvae.models.assignments.persistent import PersistentAssignment
from pyro_mixdvae.models.assignments.rates import rate_of_events
from pyro_mixdvae.models.scene import Scene

NEVER = 1e-12
"""The chance of a detection of an absent source: there is none, but q(v) is never quite sure."""

EM_STEPS = 20
"""Of EM over v, where sources are followed along known tracks."""

WORTH = 20.0
"""Frames of a source for which the common P_D counts."""


class PresentAssignment(PersistentAssignment):
    """Persistent, with a third state: a source may be absent, and is then not detected, however near a box is.

    `p(absent | not absent) = leave`, `p(visible | absent) = come`, each a frame later; before the first frame a source
    is there with probability `there`. Its presence may be known in some frames or in all: what is known is an
    observation of v. As of `PersistentAssignment` the log weight of an assignment is linear in the pairs of v, of three
    states here. The existence of a target as such a chain is that of IPDA (Musicki, Evans and Stankovic 1994).

    In a filter frames are independent given what is known of presence before any detection: its sources should be
    followed along tracks that are there (`inference.algorithms.AlongTracks`).

    Args:
        n_sources: N.
        known: [B, T, N] whether each source is present (1), absent (-1), or nobody says so (0).
        detection: P_D of a visible source; a number, or one a scene [B].
        clutter: expected number of clutter detections a frame, likewise.
        hide: the inverse of the mean number of frames in view; a number, or one a scene [B].
        reappear: of frames out of view; likewise.
        leave: of frames in the picture; likewise.
        come: of frames of absence; likewise.
        there: whether a source is in the picture before the first frame; likewise.
        ghost: the chance of a detection of a hidden source.

    Raises:
        InputError: as `PersistentAssignment`, or chances to hide, reappear and leave that come to more than one.
    """

    leave: Tensor
    come: Tensor
    there: Tensor
    known: Tensor
    visible: Tensor
    absent: Tensor

    def __init__(
        self,
        n_sources: int,
        known: Tensor,
        detection: float | Tensor = 0.92,
        clutter: float | Tensor = 0.01,
        hide: float | Tensor = 0.01,
        reappear: float | Tensor = 0.1,
        leave: float | Tensor = 0.002,
        come: float | Tensor = 0.005,
        there: float | Tensor = 0.5,
        ghost: float = 0.001,
    ):
        super().__init__(n_sources, detection, clutter, hide, reappear, ghost)
        for name, rate in (("leave", leave), ("come", come), ("there", there)):
            probability = torch.as_tensor(rate, dtype=self.detection.dtype)
            if not bool(((probability >= 0) & (probability <= 1)).all()):
                raise InputError(f"a probability '{name}' of {rate}: give one from 0 to 1.")
            self.register_buffer(name, probability)
        if bool((torch.maximum(self.hide, self.reappear) + self.leave > 1).any()):
            raise InputError("sources hide, or reappear, and leave with more than certainty: give smaller chances.")
        self.register_buffer("known", torch.as_tensor(known, device=self.detection.device))
        # What is known of v before any detection.
        pairs, _ = presence.smooth(self._rates(len(self.known)), presence.log_known(self.known.transpose(1, 2)))
        self.visible, self.absent = self._marginals(pairs)

    def check(self, scene: Scene) -> None:
        """And what is known, and the rates of the chains."""
        super().check(scene)
        self.check_sizes("known", self.known, (*scene.present.shape, self.n_sources))
        for name in ("leave", "come", "there"):
            if getattr(self, name).dim():
                self.check_sizes(name, getattr(self, name), (len(scene.present),))

    @property
    def hides(self) -> bool:
        """Always, if only by leaving."""
        return True

    def log_detected(self) -> Tensor:
        """log p(detected), [B, T, N]."""
        return self._mean(self.detection, self.ghost, NEVER)

    def log_missed(self) -> Tensor:
        """log p(missed)."""
        return self._mean(1 - self.detection, 1 - self.ghost, 1 - NEVER)

    def _mean(self, of_visible: Tensor, of_hidden: float, of_absent: float) -> Tensor:
        """The mean over v of a probability, or of its logarithm: [B, T, N]."""
        seen, hidden = self._each(of_visible), (1 - self.visible - self.absent).clamp(min=0.0)
        if self.averages_logs:
            return self.visible * seen.log() + hidden * math.log(of_hidden) + self.absent * math.log(of_absent)
        return (self.visible * seen + hidden * of_hidden + self.absent * of_absent).log()

    def latent_prior(self, scene: Scene) -> presence.PresenceChain:  # type: ignore[override]
        """p(v, u): batch [B, 1, 1], event (N, T, 3, 3)."""
        rates = presence.Rates(*(rate[:, None, None] for rate in self._rates(len(scene.present))))
        return presence.PresenceChain(rates, self.known.transpose(1, 2)[:, None, None])

    def given(self, value: Tensor) -> "PresentAssignment":
        """p(w | v), v as pairs [*, B, N, T, 3, 3]."""
        visible, absent = self._marginals(value)
        return self.replace(visible=visible, absent=absent, averages_logs=True)

    def factor(self, scene: Scene) -> "Presence":  # type: ignore[override]
        """q(v), at first the prior."""
        return Presence(self._rates(len(scene.present)), self, scene)

    def log_odds(self, responsibilities: Tensor, present: Tensor) -> Tensor:
        """What frames say of v: `E_q(w)[log p(w | v) - log p(w | hidden)]`, eta [B, T, K, C] -> [B, N, T, 3]."""
        visible = super().log_odds(responsibilities, present)
        seen = self.seen(responsibilities)
        found, missed = math.log(NEVER / self.ghost), math.log((1 - NEVER) / (1 - self.ghost))
        absent = seen * found + (1 - seen) * missed
        absent = torch.where(present.unsqueeze(-1), absent, 0.0).transpose(-1, -2)
        return torch.stack([torch.zeros_like(visible), visible, absent], -1)

    def fitted(self, scene: Scene) -> "PresentAssignment":
        """As it is: counts do not tell a source that is absent from one that is missed."""
        return self

    @torch.no_grad()
    def fitted_to_tracks(self, seen: Tensor) -> "PresentAssignment":
        """The rates most probable given in which frames each source is seen, [B, T, N] of 0 and 1: EM over v.

        The rates that it has are what is common: that of an event counts as if one had happened, P_D for `WORTH`
        frames. So a film in which targets leave often, or hide for long, is one.
        """
        n_scenes = len(seen)
        common, found = presence.Rates(*(rate.squeeze(-1) for rate in self._rates(n_scenes))), self
        for _ in range(EM_STEPS):
            eta = torch.zeros(*seen.shape[:2], self.n_sources, self.n_sources).to(seen).diagonal_scatter(seen, 0, 2, 3)
            present = torch.ones_like(seen[..., 0], dtype=torch.bool)
            weights = found.log_odds(eta, present) + presence.log_known(self.known.transpose(1, 2)).to(seen)
            pairs, _ = presence.smooth(found._rates(n_scenes), weights)
            count = pairs.sum((1, 2))  # [B, 3, 3]
            left = count[:, :ABSENT, ABSENT].sum(-1)
            visible = presence.marginals(pairs)[..., VISIBLE].transpose(1, 2)
            missed = (visible * (1 - seen)).sum((1, 2))
            found = found.replace(
                hide=rate_of_events(count[:, VISIBLE, HIDDEN], count[:, VISIBLE].sum(-1), common.hide),
                reappear=rate_of_events(count[:, HIDDEN, VISIBLE], count[:, HIDDEN].sum(-1), common.reappear),
                leave=rate_of_events(left, count[:, :ABSENT].sum((-2, -1)), common.leave),
                come=rate_of_events(count[:, ABSENT, VISIBLE], count[:, ABSENT].sum(-1), common.come),
                there=rate_of_events(pairs[:, :, 0, VISIBLE].sum((-2, -1)), self.n_sources, common.there),
                detection=1 - (missed + WORTH * (1 - self.detection)) / (visible.sum((1, 2)) + WORTH),
            )
        pairs, _ = presence.smooth(found._rates(n_scenes), presence.log_known(self.known.transpose(1, 2)))
        visible, absent = self._marginals(pairs)
        return found.replace(visible=visible, absent=absent)

    def scenes(self, index: Tensor) -> "PresentAssignment":
        """With what is said of these scenes."""
        own = super().scenes(index)
        rates = {name: getattr(self, name) for name in ("leave", "come", "there")}
        changes = {name: rate[index] for name, rate in rates.items() if rate.dim() and len(rate) > 1}
        changes |= {name: getattr(self, name)[index] for name in ("known", "absent") if len(getattr(self, name)) > 1}
        return own.replace(**changes)

    def frames(self, index: slice | Tensor) -> "PresentAssignment":
        """With what is known in these frames."""
        return self.replace(**{name: getattr(self, name)[:, index] for name in ("known", "visible", "absent")})

    def windows(self, scenes: Tensor, frames: Tensor) -> "PresentAssignment":
        """With what is known in these frames."""
        own, row = self.scenes(scenes), torch.arange(len(scenes))[:, None]
        parts = {name: getattr(own, name).expand(len(scenes), -1, -1) for name in ("known", "visible", "absent")}
        return own.replace(**{name: part[row, frames] for name, part in parts.items()})

    def init_filter(self, n_scenes: int) -> None:  # type: ignore[override]
        """Frames are independent given what is known."""

    def state_chain(self) -> tuple[Tensor, Tensor]:
        """p(v_{-1}) [B, 1, 3] and p(v_t | v_{t-1}) [B, 1, 3, 3]."""
        rates = self._rates(len(self.known))
        return rates.before(), rates.matrix()

    def log_known_states(self) -> Tensor:
        """log p(what is known | v), [B, T, N, 3]."""
        return presence.log_known(self.known)

    def in_states(self, states: Tensor) -> "PresentAssignment":
        """p(w | v) given the states [*, B, T, N]."""
        visible, absent = ((states == state).to(self.detection.dtype) for state in (VISIBLE, ABSENT))
        return self.replace(visible=visible, absent=absent, averages_logs=True)

    def filtered(self, responsibilities: Tensor, present: Tensor, state: Tensor | None = None) -> "PresentAssignment":
        """As it is."""
        return self

    def _rates(self, n_scenes: int) -> presence.Rates:
        rates = (self.hide, self.reappear, self.leave, self.come, self.there)
        return presence.Rates(*(rate.unsqueeze(-1).expand(n_scenes, 1) for rate in rates))

    @staticmethod
    def _marginals(pairs: Tensor) -> tuple[Tensor, Tensor]:
        """p(visible) and p(absent), [*, B, T, N] each."""
        found = presence.marginals(pairs).transpose(-3, -2)
        return found[..., VISIBLE], found[..., ABSENT]


class Presence(Factor):
    """`q(v) ∝ p(v, u) prod_t exp(a_t(v_t))`: a chain of three states for each source, a [B, N, T, 3] the parameters.

    The optimum for a given q(w) is of this form, a being what each frame says (E-V by forward and backward messages).
    """

    def __init__(self, rates: presence.Rates, assignment: PresentAssignment, scene: Scene):
        super().__init__()
        self.prior_rates, self.known, self.name = rates, assignment.known.transpose(1, 2), assignment.latent_name
        shape = (len(scene.present), assignment.n_sources, scene.n_frames, presence.N_STATES)
        self.log_odds = nn.Parameter(torch.zeros(shape, dtype=scene.start.dtype, device=scene.start.device))

    def chain(self) -> tuple[Tensor, Tensor]:
        """Pairs [B, N, T, 3, 3], and `E_q[log q(v)]` [B]."""
        weights = self.log_odds + presence.log_known(self.known)
        pairs, log_sums = presence.smooth(self.prior_rates, weights)
        prior = presence.PresenceChain(self.prior_rates, self.known).log_prob(pairs)
        told = (self.log_odds * presence.marginals(pairs)).sum((-3, -2, -1))
        return pairs, prior + told - log_sums.sum(-1)

    def forward(self) -> Tensor:
        """Hand on the probabilities of pairs, [B, N, T, 3, 3], with E_q[log q(v)] as density."""
        pairs, density = self.chain()
        return pyro.sample(self.name, Delta(pairs[:, None, None], log_density=density[:, None, None], event_dim=4))

    def update(self, responsibilities: Tensor, assignment: PresentAssignment, present: Tensor) -> None:
        """E-V: the messages of all frames, given eta [B, T, K, C]."""
        with torch.no_grad():
            self.log_odds.copy_(assignment.log_odds(responsibilities, present))

    def expected(self, assignment: PresentAssignment) -> PresentAssignment:
        """`exp E_q(v)[log p(w | v)]`."""
        with torch.no_grad():
            return assignment.given(self.chain()[0])

    @torch.no_grad()
    def gap(self) -> Tensor:
        """`E_q[log p(v, u) - log q(v)]`, [B]."""
        pairs, density = self.chain()
        return presence.PresenceChain(self.prior_rates, self.known).log_prob(pairs) - density

    @torch.no_grad()
    def presence(self) -> Tensor:
        """q(v_t is not absent), [B, N, T]."""
        found = presence.marginals(self.chain()[0])
        return found[..., HIDDEN] + found[..., VISIBLE]
