"""E-W, E-S and E-V as functions, which an update of a user's own may take the place of."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import as_content, as_spectrum, squared_modulus
from pyro_mixdvae.distributions.kalman import Chain, Gaussian, Transition
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.guides.collapsed import Collapsed
from pyro_mixdvae.inference.assigned_updates import independent_frames
from pyro_mixdvae.inference.chain_updates import expected_responsibilities, update_sources
from pyro_mixdvae.inference.spectral_sites import site_of
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.sound import SoundSources
from pyro_mixdvae.process_state import seeded

Update = Callable[[Any, Scene, Any], Any]
"""`update(model, scene, guide)` looks at the guide and returns what one of its factors becomes: logits of q(w), or the
powers of sounds that add up (a tensor), or a `Chain` of q(s, z); a dictionary of {"w": logits, "s": chain}; or None,
where it has changed the guide itself."""


@torch.no_grad()
def e_w(model: Any, scene: Scene, guide: Any) -> Tensor:
    """`q(w) ∝ exp(E_q(v)[log p(w | v)] + E_q(s)[log p(o | w, s)])`: logits [B, T, K, C], or [B, T, 1, E]."""
    latent = getattr(guide, "latent", None)
    assignment = model.assignment if latent is None else latent.expected(model.assignment)
    found: Tensor = assignment.posterior_logits(model.expected_log_likelihood(scene, *guide.marginals()), scene.mask)
    return found


@torch.no_grad()
def e_s(model: Any, scene: Scene, guide: Any) -> Chain | Tensor:
    """q(s, z) given q(w): a Kalman smoother given what the memory of the prior is fed; of sounds that add up powers."""
    transitions = transitions_of(model, scene, guide)
    if isinstance(guide, AdditiveGuide):
        return powers_of(transitions)
    eta, at = responsibilities_of(model, scene, guide), guide.marginals()
    if isinstance(model.sources, SoundSources):
        return _of_sounds(model, scene, eta, at, powers_of(transitions))
    engine = TorchChainEngine(model, scene)
    return update_sources(engine, guide, eta, engine.observe(eta, at), transitions).chain


@torch.no_grad()
def transitions_of(model: Any, scene: Scene, guide: Any) -> Transition:
    """How the prior enters each frame, its memory fed with what E-S feeds it: a running mean; of sounds the power."""
    if isinstance(model.sources, SoundSources) or isinstance(guide, AdditiveGuide):
        mean, variance = guide.marginals()
        power = squared_modulus(as_spectrum(mean)) + variance.unflatten(-1, (-1, 2)).sum(-1)
        if not isinstance(model.sources, SoundSources):
            return model.sources.transitions(Gaussian(mean.unsqueeze(-1), variance[..., None, None]), scene.start)
        powers = model.sources.reconstructed(power, scene.present.unsqueeze(1).expand(power.shape[:-1]))
        spread = (powers / 2).repeat_interleave(2, -1)
        matrix = torch.zeros_like(spread)[..., None, None]
        return Transition(matrix, torch.zeros_like(spread).unsqueeze(-1), spread[..., None, None])
    engine = TorchChainEngine(model, scene)
    seen = engine.observe(responsibilities_of(model, scene, guide), guide.marginals())
    return engine.teacher_forced(seen).transitions


@torch.no_grad()
def is_fed(model: Any, scene: Scene, guide: Any) -> bool:
    """Whether the transitions that E-S is given depend on what the prior's memory is fed."""
    if isinstance(model.sources, SoundSources) or isinstance(guide, AdditiveGuide):
        return True
    engine = TorchChainEngine(model, scene)
    seen = engine.observe(responsibilities_of(model, scene, guide), guide.marginals())
    elsewhere = seen._replace(
        value=seen.value + 0.1 * torch.randn(seen.value.shape, generator=seeded(0)).to(seen.value)
    )
    pairs = zip(engine.teacher_forced(seen).transitions, engine.teacher_forced(elsewhere).transitions, strict=True)
    return any(not torch.equal(one, other) for one, other in pairs)


def powers_of(transitions: Transition) -> Tensor:
    """v [B, N, T, F] of a prior of sounds, whose steps keep nothing: half of a power is the real part's."""
    return transitions.noise[..., 0, 0].unflatten(-1, (-1, 2)).sum(-1)


def responsibilities_of(model: Any, scene: Scene, guide: Any) -> Tensor:
    """Those of q(w), or where the guide leaves w to the model, of the model at draws of q(s)."""
    own: Tensor | None = guide.responsibilities()
    return expected_responsibilities(model, scene, guide) if own is None else own


def _of_sounds(model: Any, scene: Scene, eta: Tensor, moments: tuple[Tensor, Tensor], powers: Tensor) -> Chain:
    """`V = (eta / v_o + 1 / v)^-1`, `m = V eta o / v_o`."""
    at = as_spectrum(moments[0]).movedim(1, -1).unsqueeze(-1)
    spread = moments[1].unflatten(-1, (-1, 2)).sum(-1).movedim(1, -1).unsqueeze(-1)
    site = site_of(model.likelihood, scene, at, spread, is_shared=False)
    value, precision = (part.squeeze(-1).movedim(-1, 1) for part in site)
    weight = eta[..., : scene.n_sources].movedim(-1, 1) * precision
    updated = 1 / (weight + 1 / powers)
    return independent_frames(as_content(updated * weight * value), (updated / 2).repeat_interleave(2, -1))


@torch.no_grad()
def e_v(model: Any, scene: Scene, guide: Any) -> None:
    """The optimal q of what the assignment brings, given q(w): by its own `update`."""
    guide.latent.update(guide.responsibilities(), model.assignment, scene.present)


def updated(guide: Any, model: Any, scene: Scene, update: Update) -> Any:
    """A copy of the guide after an update.

    Raises:
        InputError: the update returns what is no factor of this guide.
    """
    other = deepcopy(guide)
    with torch.no_grad():
        _take(other, update(model, scene, other))
    return other


def _take(guide: Any, found: Any) -> None:
    if found is None:
        return
    if isinstance(found, Mapping):
        for part in found.values():
            _take(guide, part)
    elif isinstance(found, Chain) and isinstance(guide, Collapsed):
        guide.set_chain(found)
    elif isinstance(found, Tensor) and isinstance(guide, AdditiveGuide):
        _fits(found, guide.log_powers)
        guide.set_powers(found)
    elif isinstance(found, Tensor) and getattr(guide, "logits", None) is not None:
        _fits(found, guide.logits)
        guide.set_assignments(found)
    else:
        raise InputError(
            f"an update gave {type(found).__name__}, which {type(guide).__name__} does not take: give logits of q(w), "
            "a Chain, powers, or None after changing the guide itself."
        )


def _fits(found: Tensor, wanted: Tensor) -> None:
    if found.shape != wanted.shape:
        shapes = tuple(found.shape), tuple(wanted.shape)
        raise InputError(f"an update gave a tensor of shape {shapes[0]}, and the factor is {shapes[1]}.")
