"""Group 5, Masks and sites: what must not matter. Junk behind the mask, padding, order of detections, and batch."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.check.cases import Case, inferred, is_sound
from pyro_mixdvae.check.references.statements import count_noise, terms_at
from pyro_mixdvae.check.report import SITES, Row
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.chain_updates import SITE_TOLERANCE
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.process_state import drawing, seeded

TOLERANCE = 1e-6


class Read(NamedTuple):
    """What inference reads of a scene: means and variances [B, N, T, *], responsibilities [B, T, K, C]."""

    mean: Tensor
    variance: Tensor
    responsibilities: Tensor


def invariance_rows(case: Case) -> list[Row]:
    """Of the ELBO at the guide, and of inference where that draws nothing at random."""
    rows = [_junk_in_programs(case)]
    if not case.has_updates:
        return rows
    try:
        plain = _read(case, case.scene)
    except InputError:
        return rows
    checks: tuple[Callable[[Case, Read], Row], ...] = (_junk, _padding, _order, _batch)
    for check in checks:
        if check is _order and is_sound(case):
            continue  # frequencies are no detections that might come in another order
        try:
            rows.append(check(case, plain))
        except InputError as error:
            name = (check.__doc__ or "").split(":")[0].split(".")[0]
            rows.append(Row(SITES, name, "", "", str(error), None, None, "not checked"))
    return rows


def with_junk(scene: Scene, seed: int) -> Scene:
    """The same scene with other numbers behind the masks, of a likely size."""
    generator = torch.Generator().manual_seed(seed)

    def junk(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=like.dtype)

    return replace(
        scene,
        observations=torch.where(scene.given, scene.observations, junk(scene.observations)),
        labels=torch.where(scene.label_given, scene.labels, junk(scene.labels)),
    )


def padded(scene: Scene, n_columns: int) -> Scene:
    """With one frame more, which is not there, and `n_columns` more detections a frame, which are not there either."""

    def more(part: Tensor, axis: int, count: int = 1) -> Tensor:
        shape = list(part.shape)
        shape[axis] = count
        return torch.cat([part, torch.zeros(shape, dtype=part.dtype)], axis)

    detected = [more(part, 1) for part in (scene.observations, scene.mask, scene.given)]
    if n_columns:
        detected = [more(part, 2, n_columns) for part in detected]
    observations, mask, given = detected
    labels, label_mask, label_given = (more(part, 2) for part in (scene.labels, scene.label_mask, scene.label_given))
    return Scene(observations, mask, scene.start, more(scene.present, 1), labels, label_mask, given, label_given)


def _read(case: Case, scene: Scene) -> Read:
    """By inference from the start, with the rates of the case's model."""
    # Sounds end where the ELBO of one draw was greatest, and the draw of another batch is another: one step is taken.
    algorithm = Coordinate(1) if is_sound(case) else case.algorithm
    found = inferred(case.model, scene, case.family, algorithm, case.seed)  # type: ignore[arg-type]
    return Read(found.mean, found.variance, found.responsibilities)


@torch.no_grad()
def _junk_in_programs(case: Case) -> Row:
    """The terms at the same draws, the masked numbers being others."""
    scene = case.scene
    name = "junk behind the mask: terms"
    if bool(scene.mask.all()) and bool(scene.label_mask.all()):
        return Row(SITES, name, "", "", "nothing is masked", None, None, "not checked")
    generator = torch.Generator().manual_seed(case.seed)
    noise = torch.randn(2, count_noise(case.guide, scene), generator=generator, dtype=torch.float64)
    found = []
    for each in (scene, with_junk(scene, case.seed)):
        with drawing(seeded(case.seed)):
            found.append(terms_at(case.model, case.guide, each, noise))
    off = {term: float((found[1][term] - value).abs().max()) for term, value in found[0].items()}
    worst = max(off, key=lambda term: off[term])
    hint = f"{worst} looks behind the mask"
    return _row(name, off[worst], hint, TOLERANCE)


def _junk(case: Case, plain: Read) -> Row:
    """junk behind the mask: inference."""
    other = _read(case, with_junk(case.scene, case.seed))
    return _compared(case, "junk behind the mask: inference", plain, other, "an update looks behind the mask")


def _padding(case: Case, plain: Read) -> Row:
    """padding: a frame that is not there, and detections."""
    assignment = getattr(case.model, "assignment", None)
    n_detections = case.scene.mask.shape[-1]
    n_columns = 0
    if assignment is not None and not is_sound(case):
        both = [assignment.can_enumerate(count) for count in (n_detections, n_detections + 1)]
        n_columns = int(both[0] == both[1])  # else the guide would be another
    longer = with_junk(padded(case.scene, n_columns), case.seed)
    found = _read(case, longer)
    t, k = case.scene.n_frames, n_detections
    cut = Read(found.mean[:, :, :t], found.variance[:, :, :t], found.responsibilities[:, :t, :k])
    return _compared(case, "padding: a frame and a detection that are not there", plain, cut, "padding counts")


def _order(case: Case, plain: Read) -> Row:
    """order of the detections."""
    scene = case.scene
    generator = torch.Generator().manual_seed(case.seed)
    order = torch.rand(scene.mask.shape, generator=generator).argsort(-1)
    observations, given = (
        torch.take_along_dim(part, order.unsqueeze(-1), -2) for part in (scene.observations, scene.given)
    )
    shuffled = replace(scene, observations=observations, mask=torch.take_along_dim(scene.mask, order, -1), given=given)
    name = "order of the detections"
    noise = case.model.likelihood.noise
    by_order = torch.take_along_dim(noise.scale(scene), order[..., None, None], 2)
    same = torch.allclose(
        torch.where(shuffled.mask[..., None, None], by_order, 1.0),
        torch.where(shuffled.mask[..., None, None], noise.scale(shuffled), 1.0),
    )
    if not same and getattr(noise, "relative_to", None) == "column":
        words = "by design: the noise is relative to the first detection of a column"
        return Row(SITES, name, "matters", "must not matter", "inference", None, None, "approximate", words)
    found = _read(case, shuffled)
    eta = torch.zeros_like(plain.responsibilities).scatter(
        2, order.unsqueeze(-1).expand_as(plain.responsibilities), found.responsibilities
    )
    hint = "the scale of the noise depends on the order" if not same else "an update depends on the order"
    is_crowded = bool((scene.mask.sum(-1) > scene.n_sources).any())
    if same and is_crowded and case.model.assignment.per_observation:
        words = "by design: where a source may give several detections, a soft start takes them in one after the other"
        return Row(SITES, name, "may matter", "must not matter", "inference", None, None, "approximate", words)
    return _compared(case, name, plain, found._replace(responsibilities=eta), hint)


def _batch(case: Case, plain: Read) -> Row:
    """batch: scenes of one do not touch."""
    scene = case.scene
    if len(scene.present) > 1:
        alone = case._replace(model=_of_scene(case.model, 0))
        found = _read(alone, scene.scenes(torch.tensor([0])))
        first = Read(*(part[:1] for part in plain))
        return _compared(case, "batch: the first scene by itself", first, found, "scenes of a batch touch")
    index = torch.tensor([0, 0])
    both = scene.scenes(index)
    both.observations[0] += 0.01 * both.mask[0].unsqueeze(-1)
    model = case.model
    found = _read(case._replace(model=model.scenes(index)), both)
    second = Read(*(part[1:] for part in found))
    return _compared(case, "batch: with another scene beside it", plain, second, "scenes of a batch touch")


def _of_scene(model: Any, number: int) -> Any:
    """With the rates and the noise of one scene."""
    noise = model.likelihood.noise
    relative = getattr(noise, "relative", None)
    if isinstance(relative, Tensor) and relative.dim() == 2 and len(relative) > 1:
        noise = noise.replace(relative=relative[number : number + 1])
        model = model.replace(likelihood=model.likelihood.replace(noise=noise))
    return model.scenes(torch.tensor([number]))


def _compared(case: Case, name: str, plain: Read, other: Read, hint: str) -> Row:
    """Means in standard deviations, variances relative to themselves, probabilities as they are."""
    same = (plain.mean == other.mean) & (plain.variance == other.variance)  # also nothing at all, of what is silent
    off = [
        torch.where(same, 0.0, (plain.mean - other.mean).abs() / plain.variance.sqrt()),
        torch.where(same, 0.0, (plain.variance / other.variance).log().abs()),
        (plain.responsibilities - other.responsibilities).abs(),
    ]
    worst = max(float(part.nan_to_num(nan=torch.inf).max()) for part in off)
    # Where sites are found step by step, rounding may decide whether there is another, of a thousandth at most.
    return _row(name, worst, hint, TOLERANCE if case.model.likelihood.conjugate() else 20 * SITE_TOLERANCE)


def _row(name: str, worst: float, hint: str, tolerance: float) -> Row:
    is_right = worst <= tolerance
    return Row(
        SITES,
        name,
        "changes nothing",
        f"changes {worst:.2g}",
        "the same noise" if "terms" in name else "inference",
        worst,
        None,
        "right" if is_right else "wrong",
        "" if is_right else hint,
    )
