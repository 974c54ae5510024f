"""What a check looks at: a model, a scene and a guide in double precision, where inference leaves them."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields
from typing import Any, NamedTuple

import pyro
import torch
from torch import Tensor, nn

from pyro_mixdvae.check.references.slopes import parameters_of
from pyro_mixdvae.engines.registry import only_torch
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides.collapsed import Collapsed
from pyro_mixdvae.guides.contract import Guide, Program
from pyro_mixdvae.inference.algorithms import SVI, Algorithm, Coordinate, is_of_sounds
from pyro_mixdvae.inference.chain_updates import is_updated_in_closed_form
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.process_state import alone

N_UPDATES = 2
N_STEPS = 20


class Case(NamedTuple):
    """A model, a scene and a guide to be checked.

    Attributes:
        model: as it was fitted to the scene (rates), in double precision.
        scene: likewise.
        guide: q, where inference has left it, or as it was given.
        family: what makes it, a family or a program; None where a guide was given that is one already.
        algorithm: that moved it; None where it was given.
        seed: of everything that is drawn.
    """

    model: Any
    scene: Scene
    guide: Any
    family: Any
    algorithm: Algorithm | None
    seed: int

    @property
    def has_updates(self) -> bool:
        """Whether closed-form updates move the guide."""
        return is_updated_in_closed_form(self.family) and isinstance(self.algorithm, Coordinate)


@contextmanager
def double_precision() -> Iterator[None]:
    """Numbers that are made within are of 64 bits; Pyro's parameters are as before, afterwards."""
    with alone:  # the type of new numbers is one for the whole process
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            with pyro.get_param_store().scope():
                yield
        finally:
            torch.set_default_dtype(before)


def in_double(part: Any) -> Any:
    """A copy of a model, guide or scene of 64 bits."""
    if isinstance(part, Scene):
        return Scene(*(_double(getattr(part, field.name)) for field in fields(part)))
    found = deepcopy(part)
    if isinstance(found, nn.Module):
        for module in found.modules():
            for parameter in module._parameters.values():
                if parameter is not None:
                    parameter.data = _double(parameter.data)
            for name, value in module._buffers.items():
                module._buffers[name] = None if value is None else _double(value)
            own = module.__dict__.get("scene")
            if isinstance(own, Scene):
                module.__dict__["scene"] = in_double(own)
    return found


def _double(value: Tensor) -> Tensor:
    if value.is_complex():
        return value.to(torch.complex128)
    return value.double() if value.is_floating_point() else value


def case_of(model: Any, scene: Scene, guide: Any, algorithm: Algorithm | None = None, seed: int = 0) -> Case:
    """Run inference, unless the guide is one already; the engine is PyTorch's, which takes any part.

    Raises:
        InputError: they do not go together, as `infer` says.
    """
    model, scene = in_double(model), in_double(scene)
    if isinstance(guide, Guide):
        return Case(model, scene, in_double(guide), None, None, seed)
    if algorithm is None:
        algorithm = Coordinate(N_UPDATES) if is_updated_in_closed_form(guide) else SVI(N_STEPS)
    found = inferred(model, scene, guide, algorithm, seed)
    return Case(found.model, found.scene, found.guide, guide, algorithm, seed)


def started(model: Any, scene: Scene, guide: Any, seed: int = 0) -> Case:
    """The same before any inference: what the guide is when it has just been made."""
    model, scene = in_double(model), in_double(scene)
    if isinstance(guide, Guide):
        return Case(model, scene, in_double(guide), None, None, seed)
    if isinstance(guide, type) and issubclass(guide, Guide):
        return Case(model, scene, guide(model, scene), guide, None, seed)
    if not callable(guide):
        raise InputError(f"a guide of type {type(guide).__name__}: give a class of guides, or a Pyro program.")
    return Case(model, scene, Program(guide, scene, model.sources.content_dim), guide, None, seed)


def inferred(model: Any, scene: Scene, guide: Any, algorithm: Algorithm, seed: int = 0) -> Posterior:
    """`infer` by the engine in PyTorch."""
    with only_torch():
        return infer(model, scene, guide, algorithm, seed=seed)


@torch.no_grad()
def moved(case: Case) -> Case:
    """The guide somewhere else: where nothing is at its optimum, no two errors cancel.

    A guide that was given stays where it is.
    """
    if case.family is None:
        return case
    guide = deepcopy(case.guide)
    generator = torch.Generator().manual_seed(case.seed + 1)
    widths = {"offset": 0.3, "gain": 0.1, "log_scale": 0.2, "below": 0.2, "logits": 1.0, "log_powers": 0.3}
    for name, one in parameters_of(guide).items():
        width = widths.get(name, 0.2 if isinstance(guide, Collapsed) else 0.05)
        one.add_(width * torch.randn(one.shape, generator=generator, dtype=one.dtype))
    return case._replace(guide=guide)


def is_sound(case: Case) -> bool:
    """Whether observations are spectra."""
    return is_of_sounds(case.model)
