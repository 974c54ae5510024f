"""Scenes drawn from a model: what a check looks at where there is no data, and what calibration is measured on."""

from typing import Any, NamedTuple

import torch
from pyro import poutine
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.algorithms import is_of_sounds
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.likelihoods.spectral import sound_scene
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.process_state import drawing, seeded
from pyro_mixdvae.representations.boxes import CentreLogSize


class Drawn(NamedTuple):
    """Scenes, the contents [B, N, T, D] that they were drawn from, and the classes [B, T, K] of the detections.

    Of sounds that add up there are no classes.
    """

    scene: Scene
    contents: Tensor
    classes: Tensor | None


@torch.no_grad()
def drawn_scene(
    model: Any,
    n_sources: int,
    n_frames: int = 3,
    n_detections: int | None = None,
    n_scenes: int = 1,
    seed: int = 0,
    representation: Any = None,
    away: float = 0.0,
) -> Drawn:
    """Scenes of T frames by the model itself, of sources that start side by side.

    Args:
        model: `MixtureModel` or `AdditiveModel`.
        n_sources: N.
        n_frames: T.
        n_detections: room for so many a frame, K; N, and one more where there is clutter, if not given.
        n_scenes: B.
        seed: of the draws.
        away: how much further each source starts to the right than the one before.
        representation: whose `content` says what a box is in the model; `CentreLogSize` if not given.

    Raises:
        InputError: the model cannot draw such scenes.
    """
    with drawing(seeded(seed)):
        room = _room(model, n_sources, n_frames, n_detections, n_scenes, representation or CentreLogSize())
        if away:
            room.start[..., 0] += away * torch.arange(1, n_sources + 1)
        trace = poutine.trace(model).get_trace(room, generate=True)
    nodes = trace.nodes
    contents = nodes["sz"]["value"][..., : room.start.shape[-1]].squeeze(-4).squeeze(-4)
    observed = nodes["o"]["value"]
    if not isinstance(observed, Tensor) or observed.shape != room.observations.shape:
        raise InputError(f"{type(model).__name__} draws no observations: a scene has to be given.")
    returned = nodes["_RETURN"]["value"]
    classes = returned[1].expand(room.mask.shape) if isinstance(returned, tuple) else None
    mask = nodes["mask"]["value"].expand(room.mask.shape) if "mask" in nodes else room.mask
    if is_of_sounds(model):
        return Drawn(sound_scene(observed.squeeze(-1), n_sources), contents, classes)
    observed = torch.where(mask.unsqueeze(-1), observed, torch.nan)
    return Drawn(Scene.of(observed, room.start), contents, classes)


def _room(
    model: Any, n_sources: int, n_frames: int, n_detections: int | None, n_scenes: int, representation: Any
) -> Scene:
    dtype = torch.get_default_dtype()
    if is_of_sounds(model):
        nothing = torch.zeros(n_scenes, n_frames, model.sources.content_dim // 2, dtype=dtype)
        return sound_scene(torch.complex(nothing, nothing), n_sources)
    if model.sources.content_dim != 4:
        raise InputError(
            f"contents of {model.sources.content_dim} numbers are no boxes, and nothing says where they start: give a "
            "scene."
        )
    has_clutter = not isinstance(model, AdditiveModel) and model.assignment.has_clutter
    n_columns = n_detections or n_sources + int(has_clutter)
    side = 0.6 / n_sources
    corner = torch.linspace(0.1, 0.9 - side, n_sources, dtype=dtype)
    boxes = torch.stack([corner, corner, corner + 0.6 * side, corner + side], -1)
    start = representation.content(boxes).repeat(n_scenes, 1, 1)
    return Scene.of(start[:, None, :1].expand(-1, n_frames, n_columns, -1), start)
