"""p(w | v) p(v) of sources that hide for a while: who was missed a moment ago is likely to be missed again."""

import pyro
import torch
from pyro.distributions import Delta
from torch import Tensor, nn

from pyro_mixdvae.distributions import visibility
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.assignments.contract import Factor
from pyro_mixdvae.models.assignments.exclusive import ExclusiveAssignment
from pyro_mixdvae.models.scene import Scene


class PersistentAssignment(ExclusiveAssignment):
    """Exclusive, and each source is visible (v = 1) or hidden: a Markov chain that clutter has to argue against.

    `p(v_t = 0 | v_{t-1} = 1) = hide`, `p(v_t = 1 | v_{t-1} = 0) = reappear`, all are visible before the first frame;
    P_D is the chance of a visible source to be detected, that of a hidden one is `ghost`. A false box in the place
    where a source that is long hidden may be is then no reason to believe that it was seen for one frame: it would have
    to come into view and hide again. After the chain of a target's existence in IPDA (Musicki, Evans and Stankovic
    1994).

    The log weight of an assignment is linear in v, so that its expectation under q(v) is its value at the mean of v:
    the site "v" holds pairs (v_{t-1}, v_t) as indicators, and the guide hands on their probabilities (`Visibility`).

    Args:
        n_sources: N.
        detection: P_D of a visible source; a number, or one a scene [B].
        clutter: expected number of clutter detections a frame, likewise; None: `fitted` estimates both, and where no
            frame of a scene has more detections than sources, nobody hides: there is no false box to take, and at a
            crossing it may change at any moment who hides whom.
        hide: the inverse of the mean number of frames in view; a number, or one a scene [B].
        reappear: the inverse of the mean number of frames out of view; likewise.
        ghost: the chance of a detection of a hidden source.

    Raises:
        InputError: as `ExclusiveAssignment`, or a probability outside [0, 1].
    """

    latent_name = "v"
    hide: Tensor
    reappear: Tensor
    visible: Tensor | None

    def __init__(
        self,
        n_sources: int,
        detection: float | Tensor = 0.92,
        clutter: float | Tensor | None = None,
        hide: float | Tensor = 0.002,
        reappear: float | Tensor = 0.01,
        ghost: float = 0.001,
    ):
        super().__init__(n_sources, detection, clutter)
        if self.detection.dim() == 3:
            raise InputError("persistent sources have one detection probability a scene, not one a frame.")
        for name, rate in (("hide", hide), ("reappear", reappear)):
            probability = torch.as_tensor(rate, dtype=self.detection.dtype)
            if not bool(((probability >= 0) & (probability <= 1)).all()):
                raise InputError(f"a probability to {name} of {rate}: give one from 0 to 1.")
            self.register_buffer(name, probability)
        if not 0 < ghost < 1:
            raise InputError(f"hidden sources are detected with probability {ghost}: give one between 0 and 1.")
        self.ghost = ghost
        self.visible = None
        self.averages_logs = False

    def check(self, scene: Scene) -> None:
        """And those of the chains of v."""
        super().check(scene)
        for name, rate in (("hide", self.hide), ("reappear", self.reappear)):
            if rate.dim():
                self.check_sizes(name, rate, (len(scene.present),))

    @property
    def hides(self) -> bool:
        """Whether any source may be hidden; asked for often, so that it is looked at once for each rate."""
        known = self.__dict__.get("_hides")
        if known is None or known[0] is not self.hide:
            known = self.__dict__["_hides"] = self.hide, bool((self.hide > 0).any())
        found: bool = known[1]
        return found

    def log_detected(self) -> Tensor:
        """log p(detected), of visible sources where nothing is known of v."""
        return self._mixed(self.detection, self.ghost)

    def log_missed(self) -> Tensor:
        """log p(missed)."""
        return self._mixed(1 - self.detection, 1 - self.ghost)

    def _mixed(self, of_visible: Tensor, of_hidden: float) -> Tensor:
        """The mean over v of a probability, or of its logarithm: [B, T, N]."""
        seen = self._each(of_visible)
        if self.visible is None:
            return seen.log()
        if self.averages_logs:
            return self.visible * seen.log() + (1 - self.visible) * visibility.log(of_hidden)
        return (self.visible * seen + (1 - self.visible) * of_hidden).log()

    def transition_rates(self) -> visibility.Rates:
        """Of the chains of v, [B, 1] each, or [1]."""
        return visibility.Rates(*(rate.unsqueeze(-1) for rate in (self.hide, self.reappear)))

    def latent_prior(self, scene: Scene) -> visibility.VisibilityChain:
        """p(v): batch [B, 1, 1], event (N, T, 2, 2)."""
        rates = visibility.Rates(*(rate[:, None, None] for rate in self._rates_of(scene)))
        return visibility.VisibilityChain(rates, self.n_sources, scene.n_frames)

    def given(self, value: Tensor) -> "PersistentAssignment":
        """p(w | v), v as pairs [*, B, N, T, 2, 2]."""
        return self.replace(visible=visibility.marginal(value).transpose(-1, -2), averages_logs=True)

    def factor(self, scene: Scene) -> "Visibility":
        """q(v), at first the prior."""
        return Visibility(self._rates_of(scene), self, scene)

    def log_odds(self, responsibilities: Tensor, present: Tensor) -> Tensor:
        """What frames say of v: `E_q(w)[log p(w | v = 1) - log p(w | v = 0)]`, eta [B, T, K, C] -> [B, N, T]."""
        seen = self.seen(responsibilities)
        found = self._each(self.detection).log() - visibility.log(self.ghost)
        missed = torch.log1p(-self._each(self.detection)) - visibility.log(1 - self.ghost)
        return torch.where(present.unsqueeze(-1), seen * found + (1 - seen) * missed, 0.0).transpose(-1, -2)

    def fitted_to_count(self, per_frame: Tensor, is_crowded: Tensor) -> "PersistentAssignment":
        """Rates as those of `ExclusiveAssignment`; nobody hides where no frame is crowded."""
        fitted = super().fitted_to_count(per_frame, is_crowded)
        if not self.is_estimated:
            return self
        return fitted.replace(
            hide=torch.where(is_crowded, self.hide, 0.0), reappear=torch.where(is_crowded, self.reappear, 1.0)
        )

    def scenes(self, index: Tensor) -> "PersistentAssignment":
        """With the rates of these scenes."""
        rates = {name: getattr(self, name) for name in ("detection", "clutter", "hide", "reappear")}
        changes = {name: rate[index] for name, rate in rates.items() if rate.dim() and len(rate) > 1}
        if self.visible is not None and len(self.visible) > 1:
            changes["visible"] = self.visible[index]
        return self.replace(**changes)

    def frames(self, index: slice | Tensor) -> "PersistentAssignment":
        """With what is known of v in these frames."""
        return self if self.visible is None else self.replace(visible=self.visible[:, index])

    def init_filter(self, n_scenes: int) -> Tensor:
        """p(v_1 = 1) [B, N]."""
        visible = self.hide.new_ones(n_scenes, self.n_sources)
        return visibility.predict(self.transition_rates(), visible)

    def predictive(self, state: Tensor | None) -> "PersistentAssignment":
        """p(w_t | w_<t), given p(v_t = 1 | w_<t) [B, N]."""
        return self if state is None else self.replace(visible=state.unsqueeze(1), averages_logs=False)

    def update_filter(self, state: Tensor | None, responsibilities: Tensor) -> Tensor | None:
        """p(v_{t+1} = 1 | w_<=t) [B, N]."""
        if state is None:
            return None
        updated = visibility.update(state, self.seen(responsibilities), self.detection.unsqueeze(-1), self.ghost)
        return visibility.predict(self.transition_rates(), updated)

    def windows(self, scenes: Tensor, frames: Tensor) -> "PersistentAssignment":
        """With what is known of v in these frames."""
        own = self.scenes(scenes)
        if own.visible is None:
            return own
        visible = own.visible.expand(len(scenes), -1, -1)
        return own.replace(visible=visible[torch.arange(len(scenes))[:, None], frames])

    def filtered(
        self, responsibilities: Tensor, present: Tensor, state: Tensor | None = None
    ) -> "PersistentAssignment":
        """p(w_t | w_<t) of all frames."""
        state, predicted = self.init_filter(len(present)) if state is None else state, []
        for eta, is_there in zip(responsibilities.unbind(1), present.unbind(1), strict=True):
            predicted.append(state)
            moved = self.update_filter(state, eta)
            assert moved is not None
            state = torch.where(is_there.unsqueeze(-1), moved, visibility.predict(self.transition_rates(), state))
        return self.replace(visible=torch.stack(predicted, 1), averages_logs=False)

    def state_chain(self) -> tuple[Tensor, Tensor]:
        """p(v_{-1}) [B, 1, S] and p(v_t | v_{t-1}) [B, 1, S, S] (B may be 1); state 1 is visible."""
        matrix = self.transition_rates().matrix().view(-1, 1, 2, 2)
        return torch.stack([torch.zeros_like(self.hide), torch.ones_like(self.hide)], -1).view(-1, 1, 2), matrix

    def log_known_states(self) -> Tensor | None:
        """What is known of v, as log weights of the states [B, T, N, S]; None: nothing."""
        return None

    def in_states(self, states: Tensor) -> "PersistentAssignment":
        """p(w | v) given the states [*, B, T, N]."""
        return self.replace(visible=(states == 1).to(self.detection.dtype), averages_logs=True)

    def seen(self, responsibilities: Tensor) -> Tensor:
        """The probability that a frame has a detection of each source: [*, K, C] -> [*, N]."""
        return responsibilities[..., : self.n_sources].sum(-2).clamp(max=1.0)

    def _rates_of(self, scene: Scene) -> visibility.Rates:
        return visibility.Rates(*(rate.expand(len(scene.present), 1) for rate in self.transition_rates()))


class Visibility(Factor):
    """`q(v) ∝ p(v) prod_t exp(a_t v_t)`: a chain for each source, a [B, N, T] the parameters.

    The optimum for a given q(w) is of this form, a being what each frame says (E-V by forward and backward messages).
    """

    def __init__(self, rates: visibility.Rates, assignment: PersistentAssignment, scene: Scene):
        super().__init__()
        self.prior_rates, self.name = rates, assignment.latent_name
        shape = (len(scene.present), assignment.n_sources, scene.n_frames)
        self.log_odds = nn.Parameter(torch.zeros(shape, dtype=scene.start.dtype, device=scene.start.device))

    def forward(self) -> Tensor:
        """Hand on the probabilities of pairs, [B, N, T, 2, 2], with E_q[log q(v)] as density."""
        pairs, log_normaliser = visibility.smooth(self.prior_rates, self.log_odds)
        prior = visibility.expected_log_prior(self.prior_rates, pairs)
        density = prior + (self.log_odds * visibility.marginal(pairs)).sum((-2, -1)) - log_normaliser.sum(-1)
        pairs, density = pairs[:, None, None], density[:, None, None]
        return pyro.sample(self.name, Delta(pairs, log_density=density, event_dim=4))

    def update(self, responsibilities: Tensor, assignment: PersistentAssignment, present: Tensor) -> None:
        """E-V: the messages of all frames, given eta [B, T, K, C]."""
        with torch.no_grad():
            self.log_odds.copy_(assignment.log_odds(responsibilities, present))

    def expected(self, assignment: PersistentAssignment) -> PersistentAssignment:
        """`exp E_q(v)[log p(w | v)]`."""
        with torch.no_grad():
            return assignment.given(visibility.smooth(self.prior_rates, self.log_odds)[0])
