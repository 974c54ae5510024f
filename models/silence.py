"""p(v) of sounds that come and go: v says which sources are silent, and what is silent is no part of the mixture."""

import pyro
import torch
from torch import Tensor, nn

from pyro_mixdvae.distributions import silence
from pyro_mixdvae.distributions.silence import SilenceChain, SilencePaths
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.assignments.rates import rate_of_events
from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene

MOST_SOURCES = 5
"""Inference goes through all `2^N` joint states of a frame."""

EM_STEPS = 10
"""Of EM over v, at the first powers that are found."""


class Silence(Part):
    """Each source sounds or is silent, a Markov chain v_n: `o_t | s, v ~ p(o | sum_n v_tn s_tn)` in `AdditiveModel`.

    `p(v_t = 0 | v_{t-1} = 1) = stop`, `p(v_t = 1 | v_{t-1} = 0) = begin`, a frame later; in the first frame a source
    sounds with probability `first`. What a silent source would have been is not heard, and p(s, z) does not know of v.
    Whether a source sounds may be known in some frames or in all: what is known is an observation of v.

    The rates are what is common. Those of a recording are fitted to it (`fitted`).

    Args:
        stop: the inverse of the mean number of frames that a source sounds for; a number, or one a source and scene,
            [B, N].
        begin: of frames of silence; likewise.
        first: likewise.
        known: [B, T, N] whether each source sounds (1), is silent (-1), or nobody says so (0); None: nobody does.

    Raises:
        InputError: a number that is no probability.
    """

    latent_name = "v"
    stop: Tensor
    begin: Tensor
    first: Tensor
    known: Tensor | None

    def __init__(
        self,
        stop: float | Tensor = 0.002,
        begin: float | Tensor = 0.01,
        first: float | Tensor = 0.5,
        known: Tensor | None = None,
    ):
        super().__init__()
        for name, rate in (("stop", stop), ("begin", begin), ("first", first)):
            probability = torch.as_tensor(rate, dtype=torch.get_default_dtype())
            if not bool(((probability >= 0) & (probability <= 1)).all()):
                raise InputError(f"a probability '{name}' of {rate}: give one from 0 to 1.")
            self.register_buffer(name, probability)
        self.register_buffer("known", known)

    def check(self, scene: Scene) -> None:
        """How many sources there are, and of how many scenes what is known, and the rates, are.

        Raises:
            InputError: too many sources, or other sizes.
        """
        if scene.n_sources > MOST_SOURCES:
            raise InputError(
                f"{scene.n_sources} sources that may be silent are {2**scene.n_sources} ways to sound together, each "
                f"weighed in each frame: give {MOST_SOURCES} sources or fewer, or a model without silence."
            )
        if self.known is not None:
            self.check_sizes("known", self.known, (*scene.present.shape, scene.n_sources))
        for name in ("stop", "begin", "first"):
            if getattr(self, name).dim():
                self.check_sizes(name, getattr(self, name), (len(scene.present), scene.n_sources))

    def scenes(self, index: Tensor) -> "Silence":
        """With what is said of these scenes; what is said of one is for all."""
        own = {name: getattr(self, name) for name in ("stop", "begin", "first", "known")}
        own = {name: value for name, value in own.items() if value is not None and value.dim() and len(value) > 1}
        return self.replace(**{name: value[index] for name, value in own.items()})

    def prior(self, scene: Scene) -> SilenceChain:
        """p(v, u): batch [B], event (N, T)."""
        return SilenceChain(self._rates(scene), self.known_of(scene))

    def known_of(self, scene: Scene) -> Tensor:
        """What is known, [B, T, N]."""
        shape = (*scene.present.shape, scene.n_sources)
        if self.known is None:
            return torch.zeros(shape, dtype=torch.long, device=scene.start.device)
        return self.known.expand(shape)

    def factor(self, scene: Scene) -> "Sounding":
        """q(v), at first the prior."""
        return Sounding(self, scene)

    @torch.no_grad()
    def fitted(self, log_evidence: Tensor, scene: Scene) -> "Silence":
        """With the rates most probable given `log p(o_t | v_t)` of the joint states, [B, T, 2^N]: EM over v.

        The rates that it has are what is common: that of an event counts as if one had happened. Each source of each
        scene has rates of its own. As it is where all is known.
        """
        if self.known is not None and bool((self.known != 0).all()):
            return self
        common, found = self._rates(scene), self
        pairs_count = scene.present[:, 1:, None, None]
        states = silence.joint_states(scene.n_sources).to(log_evidence)
        for _ in range(EM_STEPS):
            chain = found.prior(scene).given(log_evidence)
            pairs = (chain.pairs * pairs_count).sum(-3)  # [B, 2^N, 2^N]
            each = torch.stack([1 - states, states], -1)  # [2^N, N, 2]
            count = torch.einsum("bij,inx,jny->bnxy", pairs, each, each)
            found = found.replace(
                stop=rate_of_events(count[..., 1, 0], count[..., 1, :].sum(-1), common.stop),
                begin=rate_of_events(count[..., 0, 1], count[..., 0, :].sum(-1), common.begin),
                first=(chain.first @ states + common.first) / 2,
            )
        return found

    def _rates(self, scene: Scene) -> silence.Rates:
        shape = (len(scene.present), scene.n_sources)
        return silence.Rates(*(rate.expand(shape).to(scene.start) for rate in (self.stop, self.begin, self.first)))


class Sounding(nn.Module):
    """`q(v) ∝ p(v, u) prod_t exp(a_t(v_t))`: one chain of `2^N` joint states; a, [B, T, 2^N], are the parameters.

    With `a_t(v_t) = log p(o_t | v_t)`, s being summed out, and q(s | o, v) of the same powers, it is the posterior.
    The sources are no longer independent given the mixture: what one does not explain another has to.
    """

    def __init__(self, part: Silence, scene: Scene):
        super().__init__()
        self.part, self.scene, self.name = part, scene, part.latent_name
        shape = (*scene.present.shape, 2**scene.n_sources)
        self.log_odds = nn.Parameter(torch.zeros(shape, dtype=scene.start.dtype, device=scene.start.device))

    def forward(self) -> Tensor:
        """The sample statement, within the plate of scenes: a path [*, B, 1, 1, N, T] of 0 and 1."""
        chain = self.part.prior(self.scene).given(self.log_odds)
        placed = silence.Smoothed(*(part[:, None, None] for part in chain))
        path: Tensor = pyro.sample(self.name, SilencePaths(placed, self.scene.n_sources))
        return path

    def update(self, log_evidence: Tensor) -> None:
        """E-V: the messages of all frames, [B, T, 2^N]."""
        with torch.no_grad():
            self.log_odds.copy_(log_evidence)

    @torch.no_grad()
    def chances(self) -> Tensor:
        """q(v_t) of the joint states, [B, T, 2^N]."""
        return self.part.prior(self.scene).given(self.log_odds).marginals

    @torch.no_grad()
    def presence(self) -> Tensor:
        """q(v_tn = 1), [B, N, T]."""
        return silence.sounding(self.chances(), self.scene.n_sources)

    def all_that_may(self) -> Tensor:
        """The joint state in which each source sounds that is not known to be silent, 1 at it, [B, T, 2^N]."""
        states = silence.index_of(self.may_sound())
        return nn.functional.one_hot(states, 2**self.scene.n_sources).to(self.log_odds)

    def may_sound(self) -> Tensor:
        """Where it is not known that a source is silent, [B, N, T]."""
        return (self.part.known_of(self.scene) >= 0).mT
