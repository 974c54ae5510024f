"""One run of inference on a batch of scenes: any model, guide and algorithm that go together."""

from typing import Any

import torch

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.inference.algorithms import Algorithm, Coordinate
from pyro_mixdvae.inference.chain_updates import is_updated_in_closed_form
from pyro_mixdvae.inference.check import check, check_updates
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.models.scene import Scene

NOT_FINITE = (
    "Inference has left the finite numbers: a number of the model, of its weights or of what is to be explained is too "
    "large or too small; leave out what was set, or take other weights."
)


def infer(
    model: Any,
    scene: Scene,
    guide: Any = MeanField,
    algorithm: Algorithm | None = None,
    first: int = 0,
    seed: int = 0,
) -> Posterior:
    """The posterior of a model's latents given what a batch of scenes shows.

    Args:
        model: p(o, w, s, z): `MixtureModel` or `AdditiveModel`, of any parts that keep their contracts. It stays as it
            is: what is fitted to the scenes stands in the result's model.
        scene: where `start` says where the sources are at frame `first`.
        guide: a family (`MeanField`, `Collapsed`, `Factorised`, `AdditiveGuide`, or a class of your own that derives
            from `Guide`), made as `guide(model, scene)`; or a Pyro program of your own, called with the scene, for SVI.
        algorithm: `Coordinate()` if not given, `SVI()`, `Hybrid()`, `Published()`.
        first: the frame of the start, counted from 0.
        seed: of the draws of SVI.

    Raises:
        InputError: the parts do not go together; says which. Or a number of the model is so large or so small that what
            is found is not finite.
    """
    algorithm = algorithm or Coordinate()
    if not callable(guide):
        raise InputError(f"a guide of type {type(guide).__name__}: give a class of guides, or a Pyro program.")
    if not 0 <= first < scene.n_frames:
        raise InputError(f"the start is at frame {first}, and the scene has frames 0 to {scene.n_frames - 1}.")
    check(model, scene)
    if is_updated_in_closed_form(guide):
        check_updates(model)
    try:
        found = algorithm.run(model, scene, guide, first, seed)
    except (ValueError, OverflowError, torch.linalg.LinAlgError) as error:  # type: ignore[attr-defined]
        if isinstance(error, ValueError) and "to satisfy the constraint" not in str(error):
            raise
        raise InputError(NOT_FINITE) from error
    numbers = [found.mean, found.variance, found.responsibilities, *(record["elbo"] for record in found.records)]
    if not all(bool(part.isfinite().all()) for part in numbers):
        raise InputError(NOT_FINITE)
    return found
