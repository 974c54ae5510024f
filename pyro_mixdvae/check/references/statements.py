"""The terms of the ELBO at given (s, z): read off the statements of model and guide, one by one.

Nothing of the evaluator that inference records with is used here: this is what it is held against.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pyro
import torch
from pyro import poutine
from pyro.infer import config_enumerate
from pyro.poutine import Trace
from torch import Tensor

from pyro_mixdvae.check.references.noise import GivenNoise, NotVectorised
from pyro_mixdvae.engines.torch.closed_forms import ASSIGNED, COLLAPSED, ENTROPY, LABELS, OBSERVED, PRIOR
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.mixture import MAX_PLATE_NESTING
from pyro_mixdvae.models.scene import Scene

DRAWS = "draws given by a check"
OWN_SITES = ("sz", "w", "o")

Terms = dict[str, Tensor]
"""Each factor's part of the ELBO: [P, B], P points and B scenes."""


class Traces(NamedTuple):
    """What model and guide said at P points: log densities [*, P, B, T or 1, K or 1] by site."""

    model: dict[str, Tensor]
    guide: dict[str, Tensor]
    model_trace: Trace
    guide_trace: Trace


def count_noise(guide: Any, scene: Scene) -> int:
    """How many standard normal numbers the guide draws a scene by."""
    with GivenNoise(None, len(scene.present), is_vectorised=False) as noise, torch.no_grad(), poutine.block():
        guide(scene)
    return noise.used


def traces_at(model: Any, guide: Any, scene: Scene, noise: Tensor, leaves_w: bool = False) -> Traces:
    """Run both programs at the draws that `noise` [P, k] makes; w is enumerated, whoever has it.

    With `leaves_w` the guide's q(w) is not looked at: w is the model's, value by value.

    Raises:
        InputError: a program draws another latent than w that would have to be enumerated.
    """
    n_scenes = len(scene.present)
    try:
        return _run(model, guide, scene, noise, n_scenes, leaves_w)
    except (NotVectorised, RuntimeError, ValueError, IndexError):
        if len(noise) == 1:
            raise
    each = [_run(model, guide, scene, row.unsqueeze(0), n_scenes, leaves_w) for row in noise]
    return Traces(_stacked([one.model for one in each]), _stacked([one.guide for one in each]), *each[-1][2:])


def _run(model: Any, guide: Any, scene: Scene, noise: Tensor, n_scenes: int, leaves_w: bool) -> Traces:
    n_draws = len(noise)
    first = -2 - MAX_PLATE_NESTING

    def many(program: Any) -> Callable[[Scene], Any]:
        def run(scene: Scene) -> Any:
            with pyro.plate(DRAWS, n_draws, dim=-1 - MAX_PLATE_NESTING):
                return program(scene)

        return run

    own = poutine.block(many(guide), hide=["w"]) if leaves_w else many(guide)
    with GivenNoise(noise, n_scenes):
        enumerated = poutine.enum(config_enumerate(own, default="parallel"), first_available_dim=first)
        guide_trace = poutine.trace(enumerated).get_trace(scene)
    enumerated = poutine.enum(config_enumerate(many(model), default="parallel"), first_available_dim=first)
    model_trace = poutine.trace(poutine.replay(enumerated, trace=guide_trace)).get_trace(scene)
    found = []
    for trace in (model_trace, guide_trace):
        trace.compute_log_prob()
        found.append(
            {
                name: node["log_prob"].expand(torch.broadcast_shapes(node["log_prob"].shape, (n_draws, n_scenes, 1, 1)))
                for name, node in trace.nodes.items()
                if "log_prob" in node and is_statement(node)
            }
        )
    for name, log_prob in found[0].items():
        if log_prob.dim() > 2 + MAX_PLATE_NESTING or (log_prob.dim() > 1 + MAX_PLATE_NESTING and name not in OWN_SITES):
            raise InputError(f"the site {name!r} depends on a discrete latent besides w: no term can be read off it.")
    return Traces(found[0], found[1], model_trace, guide_trace)


def is_statement(node: dict[str, Any]) -> bool:
    """Whether a site of a trace is a density, and no plate and no deterministic value."""
    is_density = node["type"] == "sample" and type(node["fn"]).__name__ != "_Subsample"
    return is_density and not node["infer"].get("_deterministic")


def _stacked(each: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Along the axis of the draws."""
    return {name: torch.cat([one[name] for one in each], -1 - MAX_PLATE_NESTING) for name in each[0]}


def terms_of(traces: Traces) -> Terms:
    """Each factor's part, exact in w: under q(w) or, where the guide has none, summed over w (the collapsed bound)."""
    model, guide = traces.model, traces.guide
    found: Terms = {}
    for name, log_prob in model.items():
        if name in OWN_SITES:
            continue
        if name in guide:
            found[f"log p({name}) - log q({name})"] = _per_scene(log_prob) - _per_scene(guide[name])
        else:
            found[LABELS if name == "labels" else f"log p({name})"] = _per_scene(log_prob)
    if "w" in guide:
        weight = guide["w"].exp()
        gap = torch.where(weight > 0, weight * (model["w"] - guide["w"]), 0.0)
        found[ASSIGNED] = _summed(gap)
        found[OBSERVED] = _summed(torch.where(weight > 0, weight * model["o"], 0.0))
    elif "w" in model:
        found[COLLAPSED] = collapsed(traces)
    elif "o" in model:
        found[COLLAPSED] = _per_scene(model["o"])
    if "sz" in model:
        found[PRIOR] = _per_scene(model["sz"])
    others = [name for name in guide if name != "w" and (name not in model or name == "sz")]
    found[ENTROPY] = -torch.stack([_per_scene(guide[name]) for name in others]).sum(0)
    found["elbo"] = torch.stack(list(found.values())).sum(0)
    return found


def joint_of_values(traces: Traces) -> Tensor:
    """`log p(w) + log p(o | w, s)` of each value of w, [C, P, B, T, K], or [E, P, B, T, 1] where w is one a frame."""
    prior, observed = traces.model["w"], traces.model["o"]
    is_shared = prior.shape[-1] < observed.shape[-1]
    joint = prior + (observed.sum(-1, keepdim=True) if is_shared else observed)
    return joint.flatten(0, -2 - MAX_PLATE_NESTING) if joint.dim() > 1 + MAX_PLATE_NESTING else joint.unsqueeze(0)


def collapsed(traces: Traces) -> Tensor:
    """`log sum_w p(w) p(o | w, s)`, [P, B]."""
    joint = joint_of_values(traces)
    total = torch.logsumexp(joint, 0)
    mask = traces.model_trace.nodes["w"]["mask"]
    if isinstance(mask, Tensor):
        total = torch.where(mask, total, 0.0)  # where there is no detection, there is no w to sum over
    return _per_scene(total)


def terms_at(model: Any, guide: Any, scene: Scene, noise: Tensor) -> Terms:
    """The terms at the draws that `noise` [P, k] makes, [P, B] each, and their sum under "elbo"."""
    return terms_of(traces_at(model, guide, scene, noise))


def terms_given(model: Any, guide: Any, scene: Scene, sz: Tensor) -> Terms:
    """The terms of the model at given (s, z) [P, B, N, T, D + L]: of its own density and, under q(w), of w and o."""

    def given(scene: Scene) -> None:
        with pyro.plate("scenes of a point", len(scene.present), dim=-MAX_PLATE_NESTING):
            pyro.sample("sz", pyro.distributions.Delta(sz[:, :, None, None], event_dim=3))
        with poutine.block(hide=["sz", "q_sz", "q_s", "q_z"]):
            guide(scene)

    noise = torch.zeros(len(sz), count_noise(guide, scene), dtype=torch.float64)
    found = terms_at(model, given, scene, noise)
    return {name: term for name, term in found.items() if name not in (ENTROPY, "elbo")}


def _per_scene(log_prob: Tensor) -> Tensor:
    """[P, B, T or 1, K or 1] -> [P, B]."""
    return log_prob.sum((-2, -1))


def _summed(weighted: Tensor) -> Tensor:
    """Over the values of w too: [*, P, B, T, K] -> [P, B]."""
    summed = weighted.sum((-2, -1))
    return summed.flatten(0, -3).sum(0) if summed.dim() > 2 else summed
