"""What every run writes down: the ELBO of each iteration and its terms."""

import torch
from torch import Tensor

from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.guides.source_guide import SourceGuide
from pyro_mixdvae.inference import compiled
from pyro_mixdvae.inference.elbo import RecordingELBO
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.summed import SummedMixtureModel

Record = dict[str, Tensor]
"""The terms of the ELBO and their sum under "elbo", one number a scene: [B] each."""


def judged(model: MixtureModel, scene: Scene, is_collapsed: bool = False) -> tuple[MixtureModel, SourceGuide]:
    """The model and the guide that TraceEnum_ELBO can judge on this scene.

    w is enumerated in the guide (`MeanField`), or with `is_collapsed` in the model only. Where a frame has too many
    joint events to enumerate, w is summed out (`SummedMixtureModel`), which is a collapsed bound too.
    """
    if not model.assignment.can_enumerate(scene.mask.shape[-1]):
        summed = SummedMixtureModel(model.sources, model.assignment, model.likelihood)
        return summed, SourceGuide(model.sources, scene)
    if is_collapsed:
        return model, SourceGuide(model.sources, scene)
    return model, MeanField(model.sources, model.assignment, scene)


def evaluate(
    model: MixtureModel,
    guide: SourceGuide,
    scene: Scene,
    n_particles: int = 1,
    seed: int = 0,
    arrays: compiled.Arrays | None = None,
) -> Record:
    """The ELBO and its terms; the noise of (s, z) is the same each time, so that records can be compared.

    `arrays` are those of the model and the scene, where there are such already.
    """
    arrays = arrays or compiled.arrays_of(model, scene)
    if arrays is not None and n_particles == 1 and type(guide) in (MeanField, SourceGuide):
        return compiled.record(arrays, guide, scene, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RecordingELBO(n_particles).evaluate(model, guide, scene)
