"""From the start of inference on a batch to detections and tracks of one scene, and back."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pyro_mixdvae.engines.protocol import Filtered
from pyro_mixdvae.inference.association.choice import Drawn, choose_tracks, paired
from pyro_mixdvae.inference.association.linking import Rates
from pyro_mixdvae.inference.association.motion import SPREADS, WEIGHTS, Detections, Floats, Motion, Track, followed
from pyro_mixdvae.inference.association.recovery import Owners, Recovered, Starts, recover, without_sources
from pyro_mixdvae.models.assignments.exclusive import ExclusiveAssignment
from pyro_mixdvae.models.assignments.persistent import PersistentAssignment
from pyro_mixdvae.models.assignments.rates import LEAST_CLUTTER
from pyro_mixdvae.models.clutter import Bystanders
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene

HIDE, REAPPEAR = 0.002, 0.01
"""Of an assignment that does not say how long sources hide."""


def detections_of(model: MixtureModel, scene: Scene, b: int) -> Detections:
    """What scene b shows until it ends; the unit is the scale of the noise of the model's first source.

    A coordinate that a detection lacks is looked at where it is guessed to be (`Scene.observations`).
    """
    assert model.clutter is not None  # who looks for bystanders has looked for that
    one = torch.tensor([b], device=scene.mask.device)
    own = scene.scenes(one)
    noise = model.scenes(one).likelihood.noise
    scale = noise.scale(own)[..., 0, :]
    if not scale.isfinite().all():
        scale = torch.where(scale.isfinite(), scale, noise.at(own.observations))
    density = model.clutter.scenes(one).density(own).log_prob(own.observations)
    end = ending(scene, b)
    content, unit, clutter = (_numpy(part[0, :end]) for part in (own.observations, scale, density))
    mask = scene.mask[b, :end].cpu().numpy()
    return Detections(content, np.where(mask[..., None], unit, 1.0), clutter, mask)


def ending(scene: Scene, b: int) -> int:
    """How many frames scene b has: in a batch there may be others after its end."""
    return int(scene.present[b].sum())


def rates_of(assignment: ExclusiveAssignment, seen: Detections, b: int) -> Rates:
    """Those of p(w) of scene b, but for clutter: of what lasts there is a better explanation."""
    rates = assignment.scenes(torch.tensor([b]))
    hide, reappear = HIDE, REAPPEAR
    if isinstance(rates, PersistentAssignment) and rates.hides:
        hide, reappear = float(rates.hide.flatten()[0]), float(rates.reappear.flatten()[0])
    excess = seen.mask.sum() / len(seen.mask) - assignment.n_sources
    return Rates(float(rates.detection.flatten()[0]), max(float(excess), LEAST_CLUTTER), hide, reappear)


def recovered(model: MixtureModel, scene: Scene, start: Filtered, first: int, b: int) -> Recovered:
    """`recover` of scene b."""
    assignment = model.assignment
    assert isinstance(assignment, ExclusiveAssignment)
    seen = detections_of(model, scene, b)
    content = scene.start[b]
    unit = model.scenes(torch.tensor([b])).likelihood.noise.at(content[None])[0]
    starts = Starts(_numpy(content), _numpy(unit), _numpy(unit), first)
    before, rates = owners_of(start, scene, b), rates_of(assignment, seen, b)
    found = recover(seen, before, starts, rates)
    drawn = drawn_in(scene, b)
    is_changed = not np.array_equal(before, found.owners)
    if drawn.mask.any() and is_changed and not confirmed(before, found.owners, seen, rates, drawn):
        return without_sources(seen, before, found.motion, rates)
    return found


def confirmed(before: Owners, after: Owners, seen: Detections, rates: Rates, drawn: Drawn) -> bool:
    """Whether what was put together anew is better than what the filter made of the labels.

    The filter starts where a person has said; so it is only left where no source has another detection than the nearest
    to its label, in a frame in which it has one, and where sources are seen no less often, or more often as those who
    would be chosen if nobody had said anything: more of the detections of these tracks, as far as labels lie on them
    (likelier than not), are of sources then.
    """
    for n, t in np.argwhere(drawn.mask):
        own = np.flatnonzero(after[t] == n)
        if len(own):
            apart = (((seen.content[t] - drawn.content[n, t]) / seen.unit[t]) ** 2).sum(-1)
            if own[0] != np.where(seen.mask[t], apart, np.inf).argmin():
                return False
    if (after >= 0).sum() >= (before >= 0).sum():
        return True
    chosen = choose_tracks(seen, rates, len(drawn.mask))
    pairs = [] if chosen is None else paired(seen, chosen, rates, drawn)
    labelled = [pair.track for pair in pairs if (pair.odds > 0).all() and not pair.is_rivalled]
    if not labelled:
        return False
    places = tuple(np.concatenate(labelled).T)
    return bool((after[places] >= 0).sum() > (before[places] >= 0).sum())


def drawn_in(scene: Scene, b: int) -> Drawn:
    """The labels of scene b."""
    end = ending(scene, b)
    return Drawn(_numpy(scene.labels[b, :, :end]), scene.label_mask[b, :, :end].cpu().numpy())


def owners_of(start: Filtered, scene: Scene, b: int) -> Owners:
    """The source that each detection most likely belongs to, more likely than not, until the scene ends."""
    end = ending(scene, b)
    likely, source = start.responsibilities[b, :end, :, : scene.n_sources].max(-1)
    found: Owners = torch.where((likely > 0.5) & scene.mask[b, :end], source, -1).cpu().numpy()
    return found


def penalties_of(owners: list[Owners], like: Tensor) -> Tensor:
    """What leaves each detection no other class, like `like` [B, T, K, C]; after a scene's end they are nobody's."""
    classes = torch.full(like.shape[:-1], like.shape[-1] - 1, device=like.device)
    for b, each in enumerate(owners):
        own = torch.as_tensor(each, device=like.device)
        classes[b, : len(each)] = torch.where(own < 0, like.shape[-1] - 1, own)
    return torch.full_like(like, -FORCED).scatter(-1, classes.unsqueeze(-1), 0.0)


FORCED = 1e3
"""Nats that no other class makes up for; with more, sums in single precision would lose the others' last."""


def of_sources(found: Sequence[Recovered]) -> Tensor:
    """How many detections a frame of each scene are of sources, [B]."""
    return torch.tensor([float((each.owners >= 0).sum() / len(each.owners)) for each in found])


def with_bystanders(
    model: MixtureModel, scene: Scene, found: dict[int, Recovered], of_sources: Tensor | None = None
) -> MixtureModel:
    """The model whose clutter knows the bystanders of each scene, and of none that were found before.

    Of the detections of a frame N are taken to be of sources, or as many as is said for each scene, [B].
    """
    tracks = {b: recovered.bystanders for b, recovered in found.items()}
    most = max(map(len, tracks.values()), default=0)
    if most == 0:
        return model
    n_scenes, n_frames = scene.present.shape
    mean = scene.start.new_zeros(n_scenes, n_frames, most, scene.start.shape[-1])
    variance, there = torch.ones_like(mean), torch.zeros_like(mean[..., 0], dtype=torch.bool)
    own = scene.n_sources if of_sources is None else of_sources.to(mean)
    lone = scene.mask.sum((1, 2)).to(mean) / scene.present.sum(1) - own
    for b, each in tracks.items():
        seen = detections_of(model, scene, b)
        for m, track in enumerate(each):
            _write(seen, found[b].motion, track, mean[b, :, m], variance[b, :, m], there[b, :, m])
    rate = (lone - there.sum((1, 2)) / scene.present.sum(1)).clamp(min=LEAST_CLUTTER)
    spreads, weights = (torch.as_tensor(part).to(mean) for part in (SPREADS, WEIGHTS))
    assert model.clutter is not None
    clutter = model.clutter.without_bystanders()
    return model.replace(clutter=Bystanders(clutter, rate, mean, variance, there, spreads, weights))


def _write(seen: Detections, motion: Motion, track: Track, mean: Tensor, variance: Tensor, there: Tensor) -> None:
    """What is predicted of each detection of a bystander but the first: [T, D], [T, D] and [T]."""
    frames = [t for t, _ in track[1:]]
    (found,) = followed(motion, seen, [track])
    mean[frames], variance[frames] = (torch.as_tensor(part).to(mean) for part in (found.mean, found.variance))
    there[frames] = True


def _numpy(tensor: Tensor) -> Floats:
    found: Floats = tensor.detach().double().cpu().numpy()
    return found
