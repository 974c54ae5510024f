"""Stochastic variational inference: Adam on TraceEnum_ELBO, for all that is free in model and guide."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from pyro_mixdvae.engines.protocol import Record
from pyro_mixdvae.engines.torch.evaluator import RecordingELBO
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.process_state import drawing, seeded


def optimise(
    model: Any,
    guide: Any,
    scene: Scene,
    n_steps: int,
    learning_rate: float = 0.02,
    n_particles: int = 1,
    fine_tunes_prior: bool = False,
    seed: int = 0,
) -> list[Record]:
    """Refine guide and model in place, from where they are.

    Args:
        model: its parameters move, those of p(s, z) only with `fine_tunes_prior`; give a copy.
        guide: all of its own parameters move.
        learning_rate: in posterior standard deviations (see `Collapsed`) and logits; a tenth of it for the prior, as
            the paper's fine-tuning does.
        n_particles: draws of (s, z) a step.
        seed: of the draws.

    Returns:
        a record a step, of the step's own draws.

    Raises:
        InputError: the ELBO is no longer a finite number.
    """
    prior = {id(parameter): parameter for parameter in model.sources.parameters()}
    modules = [part for part in (guide, model) if isinstance(part, nn.Module)]
    own = {id(parameter): parameter for module in modules for parameter in module.parameters()}
    free = [parameter for key, parameter in own.items() if key not in prior]
    frozen = [] if fine_tunes_prior else [parameter for parameter in prior.values() if parameter.requires_grad]
    elbo = RecordingELBO(n_particles)
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        groups: list[dict[str, Any]] = [{"params": free, "lr": learning_rate}]
        if fine_tunes_prior and prior:
            groups.append({"params": list(prior.values()), "lr": learning_rate / 10})
        optimiser, generator = torch.optim.Adam(groups), seeded(seed)
        return [_step(elbo, optimiser, model, guide, scene, generator, number) for number in range(1, n_steps + 1)]
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def _step(
    elbo: RecordingELBO,
    optimiser: torch.optim.Optimizer,
    model: Any,
    guide: Any,
    scene: Scene,
    generator: torch.Generator,
    number: int,
) -> Record:
    elbo.traces.clear()
    optimiser.zero_grad()
    with drawing(generator, scene.start.device), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Encountered NaN")  # of Pyro: it is said below
        loss = _loss(elbo, model, guide, scene)
    if loss is None or not loss.isfinite():
        raise InputError(
            f"SVI has left the finite numbers at step {number}, as it may in a scene with a gap of hundreds of frames: "
            "take fewer steps or a smaller learning rate, or the algorithm coordinate."
        )
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return elbo.record()


def _loss(elbo: RecordingELBO, model: Any, guide: Any, scene: Scene) -> Tensor | None:
    """Minus the ELBO; None where a density refuses what it is given: not a number, or a scale of nothing."""
    try:
        found: Tensor = elbo.differentiable_loss(model, guide, scene)
    except ValueError as error:
        if "to satisfy the constraint" in str(error):
            return None
        raise
    return found
