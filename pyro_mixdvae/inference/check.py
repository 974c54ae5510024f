"""Whether model, scene, guide and algorithm go together: looked at before anything runs."""

from itertools import chain
from typing import Any

import torch

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.labels import Labels
from pyro_mixdvae.models.likelihoods.contract import Likelihood
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene

STATEMENTS = (
    "forward",
    "sample_latent",
    "observe_labels",
    "expected_log_likelihood",
    "log_likelihood",
    "with_clutter",
)
"""Methods of `MixtureModel` that the closed-form updates are derived from."""


def check(model: Any, scene: Scene) -> None:
    """Sizes, classes and devices.

    Raises:
        InputError: two parts do not fit; says which, and the two numbers.
    """
    content_dim = scene.start.shape[-1]
    named = type(model.sources).__name__
    if model.sources.n_sources is None and model.sources.content_dim != content_dim:
        raise InputError(
            f"{named} has contents of {model.sources.content_dim} numbers, and the scene of {content_dim}."
        )
    is_mixture = isinstance(model, MixtureModel)
    if is_mixture and scene.label_mask.any() and model.labels is None:
        raise InputError("the scene has labels, and the model does not say what labels are like: give `labels`.")
    parts = [model.sources, model.likelihood, model.likelihood.noise]
    parts += [getattr(model, name, None) for name in ("assignment", "clutter", "silence")]
    for part in parts:
        if part is not None:
            part.check(scene)
    if is_mixture:
        check_missing(model, scene)
    device, dtype = scene.start.device, scene.start.dtype
    for part in model.modules():
        for name, tensor in chain(part._parameters.items(), part._buffers.items()):
            if tensor is not None and tensor.device != device:
                whose = f"{type(part).__name__}.{name}"
                raise InputError(
                    f"the model's {whose} is on {tensor.device}, and the scene on {device}: move one of them."
                )
    for part in model.sources.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None and parameter.dtype != dtype:
                whose = f"{type(part).__name__}.{name}"
                raise InputError(f"the model's {whose} is of {parameter.dtype}, and the scene of {dtype}.")


def check_missing(model: MixtureModel, scene: Scene) -> None:
    """Whether noise and clutter know that some observations lack a coordinate, where some do.

    Raises:
        InputError: one does not; it would take what stands in its place for data.
    """
    is_missing = scene.mask.unsqueeze(-1) & ~scene.given
    if not is_missing.any():
        return
    noise = model.likelihood.noise
    if noise.scale(scene)[is_missing.unsqueeze(-2).expand(*scene.mask.shape, scene.n_sources, -1)].isfinite().any():
        raise InputError(
            f"some observations lack a coordinate, and {type(noise).__name__} does not say that they do: its scale has "
            "to be infinite there (`Scene.given`)."
        )
    if model.clutter is None or not model.assignment.has_clutter:
        return
    moved = torch.where(is_missing, scene.observations + 1.0, scene.observations)
    density = model.clutter.density(scene)
    if not torch.equal(density.log_prob(moved), density.log_prob(scene.observations)):
        raise InputError(
            f"some observations lack a coordinate, and {type(model.clutter).__name__} has a density of what stands "
            'there: take the clutter "posed", or one that reads `Scene.given`.'
        )


def check_updates(model: Any) -> None:
    """Whether the closed-form updates are those of this model's program.

    Raises:
        InputError: the program, or how observations see the content, is another; SVI can take it.
    """
    if not isinstance(model, MixtureModel):
        return
    name = type(model).__name__
    for method in STATEMENTS:
        if getattr(type(model), method) is not getattr(MixtureModel, method):
            raise InputError(
                f"{name} has a `{method}` of its own, and the closed-form updates are those of MixtureModel's: "
                "infer with a guide of your own and the algorithm SVI."
            )
    if model.labels is not None and type(model.labels).observe is not Labels.observe:
        raise InputError(
            f"{type(model.labels).__name__} has an `observe` of its own, and the closed-form updates take labels as "
            "Gaussian: infer with a guide of your own and the algorithm SVI."
        )
    if model.sources.n_sources is None and type(model.likelihood).locate is not Likelihood.locate:
        raise InputError(
            f"{type(model.likelihood).__name__} sees contents through a `locate` of its own, which the closed-form "
            "updates of boxes do not know: infer with a guide of your own and the algorithm SVI."
        )
