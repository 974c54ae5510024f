"""A model frame by frame, and what both ways to write it say at a given (s, z)."""

import pyro
from pyro.infer import TraceEnum_ELBO
from torch import Tensor

from pyro_mixdvae.models import MixtureModel, Scene
from pyro_mixdvae.models.stepwise import StepwiseMixtureModel


def stepwise(model: MixtureModel) -> StepwiseMixtureModel:
    """Of the same parts."""
    parts = ("sources", "assignment", "likelihood", "clutter", "labels", "systematic")
    return StepwiseMixtureModel(*(getattr(model, name) for name in parts))


def losses_at(model: MixtureModel, scene: Scene, sz: Tensor) -> tuple[float, float]:
    """What TraceEnum_ELBO loses at (s, z) [B, N, T, D + L], w summed out: at once, and frame by frame."""
    n_scenes, sz = len(sz), sz[:, None, None]

    def given_at_once(scene: Scene) -> None:
        with pyro.plate("scenes", n_scenes, dim=-3):
            pyro.sample("sz", pyro.distributions.Delta(sz, event_dim=3))

    def given_frame_by_frame(scene: Scene) -> None:
        with pyro.plate("scenes", n_scenes, dim=-3):
            for t in range(scene.n_frames):
                pyro.sample(f"sz_{t}", pyro.distributions.Delta(sz[..., t, :], event_dim=2))

    elbo = TraceEnum_ELBO(max_plate_nesting=3)
    return elbo.loss(model, given_at_once, scene), elbo.loss(stepwise(model), given_frame_by_frame, scene)
