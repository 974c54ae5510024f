"""One gradient of TraceEnum_ELBO with the vectorised model and with the frame-by-frame one, on the same scenes.

The guide is the same for both and as plain as can be: a point for (s, z), and w left to the model, where it is
enumerated. Both then have one loss, without noise, and differ only in how model and guide are written.
"""

from collections.abc import Callable

import pyro
import torch
from pyro.distributions import Delta
from pyro.infer import TraceEnum_ELBO
from torch import Tensor

from pyro_mixdvae.models.assignments.independent import IndependentAssignment
from pyro_mixdvae.models.mixture import MAX_PLATE_NESTING, MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.stepwise import StepwiseMixtureModel
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.sequences import Size
from pyro_mixdvae.tracking.presets import Preset
from pyro_mixdvae.tracking.scenes import make_scene, make_sequence


def make_gradients(
    preset: Preset, detections: Array, n_sources: int, size: Size
) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Functions that take one gradient each and give the loss: vectorised, and frame by frame.

    Args:
        preset: its p(s, z), its likelihood and its representation are used, with the paper's p(w).
        detections: ``[B, T, K, 4]`` xyxy in pixels; ``n_sources`` of them in each first frame.
        n_sources: N.
        size: width and height of the image in pixels.
    """
    problems = [make_sequence(scene, n_sources, size) for scene in detections]
    scene, _ = make_scene(problems, preset.representation)
    parts = preset.model.sources, IndependentAssignment(n_sources), preset.model.likelihood
    model, stepwise = MixtureModel(*parts), StepwiseMixtureModel(*parts)
    centre = _standing_still(scene, preset.model.sources.latent_dim).requires_grad_()

    def whole(scene: Scene) -> None:
        with pyro.plate("scenes", len(centre), dim=-3):
            pyro.sample("sz", Delta(centre[:, None, None], event_dim=3))

    def framewise(scene: Scene) -> None:
        scenes = pyro.plate("scenes", len(centre), dim=-3)
        for t in pyro.markov(range(scene.n_frames)):
            with scenes:
                pyro.sample(f"sz_{t}", Delta(centre[:, None, None, :, t], event_dim=2))

    return _gradient(model, whole, scene, centre), _gradient(stepwise, framewise, scene, centre)


def _standing_still(scene: Scene, latent_dim: int) -> Tensor:
    """(s, z) ``[B, N, T, D + L]``: every source where it starts, all z 0."""
    s = scene.start.unsqueeze(2).expand(-1, -1, scene.n_frames, -1)
    return torch.cat([s, s.new_zeros(*s.shape[:-1], latent_dim)], dim=-1)


def _gradient(
    model: MixtureModel, guide: Callable[[Scene], None], scene: Scene, centre: Tensor
) -> Callable[[], Tensor]:
    elbo = TraceEnum_ELBO(max_plate_nesting=MAX_PLATE_NESTING)

    def gradient() -> Tensor:
        centre.grad = None
        loss: Tensor = elbo.differentiable_loss(model, guide, scene)
        loss.backward()
        return loss.detach()

    return gradient
