"""The evaluator: TraceEnum_ELBO, and what each factor of model and guide adds to it.

    ELBO = E_q[log p(o|w,s)] + E_q[log p(w|v) - log q(w)] + E_q[log p(v) - log q(v)] + E_q[log p(s,z) - log q(s,z)]

With q(w) in the guide the expectation over w is exact (guide-side enumeration). Without it, model-side enumeration
gives the tighter collapsed bound, whose first two terms are one: `E_q[log p(o|s)]`. The expectation over (s, z) is a
sample mean. Every other site of the traces adds a term of its own name: boxes that a person has drawn
`E_q[log p(labels|s)]`, the numbers of detections `log p(count)`, a latent x of a user's part `log p(x) - log q(x)`.
"""

from typing import Any

import torch
from pyro.infer import TraceEnum_ELBO
from pyro.poutine import Trace
from torch import Tensor

from pyro_mixdvae.models.mixture import MAX_PLATE_NESTING
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.process_state import alone

SOURCES = ("sz", "q_sz", "q_s", "q_z")
"""Sites of the sources: that of the model, and those of the guide's factors."""


class RecordingELBO(TraceEnum_ELBO):
    """TraceEnum_ELBO that keeps the traces of its last evaluation, to split its value into terms."""

    def __init__(self, num_particles: int = 1):
        # A model with w summed out has nothing left to enumerate, which is no mistake.
        super().__init__(
            max_plate_nesting=MAX_PLATE_NESTING, num_particles=num_particles, strict_enumeration_warning=False
        )
        self.traces: list[tuple[Trace, Trace]] = []

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> tuple[Trace, Trace]:
        traces = super()._get_trace(model, guide, args, kwargs)
        self.traces.append(traces)
        return traces

    def evaluate(self, model: Any, guide: Any, scene: Scene) -> dict[str, Tensor]:
        """The terms of the ELBO of each scene, [B] each, and their sum under "elbo"; no gradients."""
        self.traces.clear()
        with torch.no_grad(), alone:
            # The loss is minus the sum of the terms of these traces (held to it in a test): no need for it as well.
            particles = [terms(*traces) for traces in self._get_traces(model, guide, (scene,), {})]
        return mean_of(particles)

    def record(self) -> dict[str, Tensor]:
        """The terms of the last evaluation, with gradients or without."""
        return {name: term.detach() for name, term in mean_of([terms(*traces) for traces in self.traces]).items()}


def mean_of(particles: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several draws' terms."""
    return {name: torch.stack([particle[name] for particle in particles]).mean(0) for name in particles[0]}


def terms(model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
    """What each factor adds to the ELBO of each scene, [B] each, from the traces of TraceEnum_ELBO."""
    model, guide = _log_probs(model_trace), _log_probs(guide_trace)
    found: dict[str, Tensor] = {"log p(s,z)": _per_scene(model["sz"])}
    for name, log_prob in model.items():
        if name in ("sz", "w", "o"):
            continue
        if name in guide:
            found[f"log p({name}) - log q({name})"] = _per_scene(log_prob) - _per_scene(guide[name])
        else:
            found["log p(labels|s)" if name == "labels" else f"log p({name})"] = _per_scene(log_prob)
    if "w" in guide:
        q = guide["w"]
        found["log p(w) - log q(w)"] = _per_scene(q.exp() * (model["w"] - q))
        found["log p(o|w,s)"] = _per_scene(q.exp() * model["o"])
    elif "w" in model:
        if model["w"].shape[-1] < model["o"].shape[-1]:  # one w a frame, which its detections share
            frames = _sum_out_w(model["w"] + model["o"].sum(-1, keepdim=True))
        else:  # where there is no detection, there is no w to sum over
            detections = _sum_out_w(model["w"] + model["o"])
            frames = torch.where(model_trace.nodes["o"]["mask"], detections, 0.0)
        found["log p(o|s)"] = _per_scene(frames)
    else:
        found["log p(o|s)"] = _per_scene(model["o"])
    drawn = [guide[name] for name in SOURCES if name in guide]
    found["- log q(s,z)"] = -torch.stack([_per_scene(log_prob) for log_prob in drawn]).sum(0)
    found["elbo"] = torch.stack(list(found.values())).sum(0)
    return found


def _log_probs(trace: Trace) -> dict[str, Tensor]:
    """Of all sample sites; deterministic ones and plates have none."""
    return {
        name: node["log_prob"]
        for name, node in trace.nodes.items()
        if "log_prob" in node and not node["infer"].get("_deterministic")
    }


def _sum_out_w(log_prob: Tensor) -> Tensor:
    """Sum over w, whose values stand in the dimension left of the plates."""
    return torch.logsumexp(log_prob.flatten(0, -MAX_PLATE_NESTING - 1), 0)


def _per_scene(log_prob: Tensor) -> Tensor:
    """Sum over everything but the plate of scenes: [*, B, T or 1, K or 1] -> [B]."""
    summed = log_prob.sum((-2, -1))
    return summed.flatten(0, -2).sum(0) if summed.dim() > 1 else summed
