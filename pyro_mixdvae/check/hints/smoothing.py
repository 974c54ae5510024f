"""What a wrong E-S looks like: the right one with another weight of the observations, or blind to the future."""

from collections.abc import Iterator
from typing import Any

import torch
from scipy.optimize import brentq
from torch import Tensor
from torch.nn.functional import one_hot

from pyro_mixdvae.check.cases import Case
from pyro_mixdvae.check.updates import powers_of, responsibilities_of
from pyro_mixdvae.distributions import kalman
from pyro_mixdvae.distributions.kalman import Chain, Transition
from pyro_mixdvae.engines.protocol import PseudoObservation
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.engines.torch.closed_forms import chain_of
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.guides.collapsed import Collapsed
from pyro_mixdvae.models.sources.sound import SoundSources

CLOSE = 1e-6


@torch.no_grad()
def smoothing_hint(case: Case, after: Any) -> str:
    """In words, which known mistake the chain after an E-S is; empty where it is none."""
    if isinstance(after.guide, AdditiveGuide):
        ratio = after.guide.log_powers.exp() / powers_of(after.transitions)
        first = float(ratio.flatten()[0])
        same = float((ratio - first).abs().max()) < CLOSE
        return f"powers are {first:.6g} times those of the prior" if same and abs(first - 1) > CLOSE else ""
    if not isinstance(after.guide, Collapsed):
        return ""
    own = chain_of(after.guide.chain())
    if not case.model.likelihood.conjugate():
        return ""
    if isinstance(case.model.sources, SoundSources):
        return _of_sounds(case, after, own)
    engine = TorchChainEngine(case.model, case.scene)
    eta = responsibilities_of(case.model, case.scene, after.before)
    observation = engine.observe(eta, after.before.marginals())
    linked = case.scene.present[:, None, :, None, None]
    for words, chain in _alternatives(case, after, own, engine, eta, observation):
        off = (chain.mean - own.mean) * linked
        wide = (chain.conditional - own.conditional) * linked.unsqueeze(-1)
        scale = own.covariance.abs().amax()
        if float(off.abs().max()) < CLOSE and float(wide.abs().max()) < CLOSE * float(scale.clamp(min=CLOSE)):
            return words
    filtered = kalman.filter_sequence(after.transitions, *observation)[0]
    if float(((filtered.mean - own.mean) * linked).abs().max()) < CLOSE:
        return "the means are those of a filter: no frame sees the future"
    return ""


def _of_sounds(case: Case, after: Any, own: Chain) -> str:
    """`1 / V - 1 / v` against `eta / v_o`, each frequency by itself."""
    scene, powers = case.scene, powers_of(after.transitions)
    variance = 2 * own.covariance[..., 0, 0].unflatten(-1, (-1, 2))[..., 0]
    weight = 1 / variance - 1 / powers
    eta = responsibilities_of(case.model, scene, after.before)
    noise = case.model.likelihood.noise.scale(scene).squeeze(-1).square()
    hard = one_hot(eta.argmax(-1), eta.shape[-1]).to(eta.dtype)
    seen = scene.present[:, None, :, None]
    named = {"observations count {} times": eta, "responsibilities are hard, and count {} times": hard}
    for words, shares in named.items():
        right = (shares[..., : scene.n_sources] / noise).movedim(-1, 1) * seen
        factor = float((weight * right).sum() / right.square().sum())
        if float(((weight - factor * right) * seen).abs().max()) < CLOSE * float(right.max()):
            return words.format(f"{factor:.6g}")
    return ""


def _alternatives(
    case: Case, after: Any, own: Chain, engine: TorchChainEngine, eta: Tensor, observation: PseudoObservation
) -> Iterator[tuple[str, Chain]]:
    transitions: Transition = after.transitions

    def chain(seen: PseudoObservation) -> Chain:
        found = kalman.posterior(transitions, *seen)
        projected: Chain = after.guide.project(found, transitions, seen.precision)
        return projected

    factor = _weight(own, chain, observation)
    if factor is not None:
        seen = PseudoObservation(observation.value, factor * observation.precision)
        yield f"observations count {factor:.6g} times", chain(seen)
    right = chain(observation)
    yield "marginal covariances stand in the place of conditional ones", right._replace(conditional=right.covariance)
    hard = one_hot(eta.argmax(-1), eta.shape[-1]).to(eta.dtype) * case.scene.mask.unsqueeze(-1)
    yield "responsibilities are hard: the most likely assignment in the place of all", chain(engine.observe(hard, None))
    even = case.scene.mask.unsqueeze(-1).to(eta.dtype).expand_as(eta)
    yield "responsibilities are left out: all detections count fully for all sources", chain(engine.observe(even, None))
    nothing = PseudoObservation(observation.value, 0 * observation.precision)
    yield "detections are left out", chain(nothing)


def _weight(own: Chain, chain: Any, observation: PseudoObservation) -> float | None:
    """The factor of the observations' precision that gives the chain's width, where it is most seen."""
    place = int((observation.precision * own.covariance[..., 0, 0]).argmax())
    wanted = float(own.covariance[..., 0, 0].flatten()[place])

    def off(log_factor: float) -> float:
        seen = PseudoObservation(observation.value, 10**log_factor * observation.precision)
        return float(chain(seen).covariance[..., 0, 0].flatten()[place]) - wanted

    if off(-3.0) * off(3.0) > 0:
        return None
    return float(10 ** brentq(off, -3.0, 3.0, xtol=1e-13))
