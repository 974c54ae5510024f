"""Single steps of inference, and what tests hold them to."""

import pytest
import torch
from torch import Tensor

from pyro_mixdvae.distributions import kalman
from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.engines.protocol import ChainEngine, Filtered
from pyro_mixdvae.engines.registry import chain_engine
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.guides import Collapsed, MeanField
from pyro_mixdvae.inference import chain_updates
from pyro_mixdvae.inference.chain_updates import ChainUpdates
from pyro_mixdvae.inference.initialise import Start
from pyro_mixdvae.models import MixtureModel, Scene
from pyro_mixdvae.testing.gaussians import fed
from pyro_mixdvae.testing.scenes import EXACT


def assert_same(found: object, expected: object) -> None:
    """Of tensors, and of tuples and dictionaries of them."""
    if isinstance(expected, Tensor):
        torch.testing.assert_close(found, expected, **EXACT)
    elif isinstance(expected, dict):
        assert isinstance(found, dict)
        assert list(found) == list(expected)
        assert_same(tuple(found.values()), tuple(expected.values()))
    else:
        assert isinstance(found, tuple)
        assert isinstance(expected, tuple)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)


def engine_of(model: MixtureModel, scene: Scene) -> ChainEngine:
    """The one that a run would take."""
    return chain_engine(model, MeanField, scene).engine


def even_responsibilities(model: MixtureModel, scene: Scene) -> Tensor:
    """Every detection belongs to all classes alike, [B, T, K, C]."""
    n_classes = model.assignment.n_classes
    return scene.mask.unsqueeze(-1) / torch.full((n_classes,), float(n_classes))


def constant(scene: Scene) -> Tensor:
    """Every source stays where it starts, [B, N, T, D]."""
    return scene.start.unsqueeze(-2).expand(-1, -1, scene.n_frames, -1)


@torch.no_grad()
def poor_updates(
    model: MixtureModel,
    scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
    guide: type[Collapsed] = MeanField,
) -> ChainUpdates:
    """Updates from a poor start, in place of a filter's: sources that stay, detections of all alike."""
    memory = constant(scene)
    transitions = model.sources.transitions(fed(memory, model.sources.state_size), scene.start)
    eta = even_responsibilities(model, scene)
    belief = fed(memory, model.sources.state_size)
    start = Filtered(
        memory, eta, torch.zeros_like(eta), transitions, belief._replace(covariance=1e7 * belief.covariance)
    )
    with monkeypatch.context() as patch:
        patch.setattr(chain_updates, "initialise", lambda engine, first: Start(start, engine.model))
        return ChainUpdates(model, scene, guide)


@torch.no_grad()
def smoothed(model: MixtureModel, scene: Scene, responsibilities: Tensor, memory: Tensor | None = None) -> Chain:
    """E-S, the memory being fed a path [B, N, T, D]: by default that of sources that stay."""
    path = constant(scene) if memory is None else memory
    transitions = model.sources.transitions(fed(path, model.sources.state_size), scene.start)
    at = constant(scene), torch.full_like(path, 0.01)  # where sites are found that depend on it
    return kalman.posterior(transitions, *TorchChainEngine(model, scene).observe(responsibilities, at))


@torch.no_grad()
def chain_of(guide: Collapsed) -> Chain:
    """The guide's chain as the updates know it, with its marginals."""
    chain = guide.chain()
    conditional = chain.scale_tril @ chain.scale_tril.mT
    covariance = [conditional[..., -1, :, :, :]]
    for t in reversed(range(conditional.shape[-4] - 1)):
        gain = chain.gain[..., t, :, :, :]
        covariance.append(conditional[..., t, :, :, :] + gain @ covariance[-1] @ gain.mT)
    return Chain(chain.mean, chain.gain, conditional, torch.stack(covariance[::-1], -4))


def expected_log_likelihood(model: MixtureModel, scene: Scene, chain: Chain) -> Tensor:
    """Of a chain's marginals, [B, T, K, C]."""
    return model.expected_log_likelihood(scene, chain.mean[..., 0], chain.covariance[..., 0, 0])
