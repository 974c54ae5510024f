"""What the scene itself says of motion and noise, before the updates begin: EM over filtering passes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.engines.protocol import ChainEngine
from pyro_mixdvae.inference.association.recovery import Recovered
from pyro_mixdvae.inference.initialise import filtered
from pyro_mixdvae.models.scene import Scene

ROUNDS = 30
"""Passes, at most."""

SETTLED = 0.02
"""A round that changes no standard deviation by more than this share of it is the last."""


def begun(model: Any, scene: Scene) -> Any:
    """The model with the constants of motion and noise that are left to the scene where their estimate begins."""
    likelihood = model.likelihood
    if not (likelihood.noise.is_estimated or model.sources.is_estimated):
        return model
    return model.replace(
        sources=model.sources.begun(scene), likelihood=likelihood.replace(noise=likelihood.noise.begun(scene))
    )


def fitted(model: Any, engine: ChainEngine, chain: Chain, responsibilities: Tensor) -> Any:
    """M: the constants of the prior and the noise of the detections, where they are left to the data."""
    likelihood, sources = model.likelihood, model.sources
    if not (likelihood.noise.is_estimated or sources.is_estimated):
        return model
    if likelihood.noise.is_estimated:
        statistic = engine.scale_statistic(chain, responsibilities)
        likelihood = likelihood.replace(noise=likelihood.noise.fitted(statistic))
    if sources.is_estimated:
        sources = sources.fitted(chain, engine.scene.present)
    # A part that stays is the same object: an engine need not take it anew.
    return model.replace(sources=sources, likelihood=likelihood)


@torch.no_grad()
def settled(engine: ChainEngine, first: int = 0, tracks: Sequence[Recovered] | None = None) -> ChainEngine:
    """The engine of a model whose constants of motion are those of the scene; the same where none is left to it.

    Each round filters, smooths what was found, and takes M: with what is then known of motion the next filter
    associates anew, as an E-step that only went on from the last one could not; or it goes along `tracks`, where they
    are known. The scene starts at frame `first`.
    """
    if not engine.model.sources.is_estimated:
        return engine
    for _ in range(ROUNDS):
        before = engine.model
        start = filtered(engine, first, tracks)
        own = engine.with_scene(before, engine.scene.starting_at(start.mean[..., 0, :])) if first > 0 else engine
        belief = start.belief
        at = None if belief is None else (belief.mean[..., 0], belief.covariance[..., 0, 0])
        observation = own.observe(start.responsibilities, at)
        chain = own.smooth(own.teacher_forced(observation).transitions, observation)
        engine = engine.with_model(fitted(before, own, chain, start.responsibilities))
        if _change(before, engine.model) < SETTLED:
            break
    return engine


def _change(before: Any, after: Any) -> float:
    """The largest change of a logarithm of what is estimated."""
    pairs = zip(_scales(before), _scales(after), strict=True)
    return max(float((new.log() - old.log()).abs().max()) for old, new in pairs)


def _scales(model: Any) -> list[Tensor]:
    """Standard deviations, of any shapes that broadcast from one round to the next."""
    noise = getattr(model.likelihood.noise, "relative", None)
    return [*(part.sqrt() for part in model.sources.network.constants), *([] if noise is None else [noise])]
