"""The judge: TraceEnum_ELBO, and what each factor of model and guide adds to it.

    ELBO = E_q[log p(o|w,s)] + E_q[log p(w) - log q(w)] + E_q[log p(s,z) - log q(s,z)]

With q(w) in the guide the expectation over w is exact (guide-side enumeration). Without it, model-side enumeration
gives the tighter collapsed bound, whose first two terms are one: `E_q[log p(o|s)]`. The expectation over (s, z) is a
sample mean. Boxes that a person has drawn add `E_q[log p(labels|s)]`.
"""

from typing import Any

import torch
from pyro.infer import TraceEnum_ELBO
from pyro.poutine import Trace
from torch import Tensor

from pyro_mixdvae.models.mixture import MAX_PLATE_NESTING
from pyro_mixdvae.models.part import Part
from pyro_mixdvae.models.scene import Scene


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

    def evaluate(self, model: Part, guide: Part, scene: Scene) -> dict[str, Tensor]:
        """The terms of the ELBO of each scene, [B] each, and their sum under "elbo"; no gradients."""
        self.traces.clear()
        with torch.no_grad():
            # The loss is minus the sum of the terms of these traces (held to it in a test): no need for it as well.
            particles = [terms(*traces) for traces in self._get_traces(model, guide, (scene,), {})]
        return {name: torch.stack([particle[name] for particle in particles]).mean(0) for name in particles[0]}


def terms(model_trace: Trace, guide_trace: Trace) -> dict[str, Tensor]:
    """What each factor adds to the ELBO of each scene, [B] each, from the traces of TraceEnum_ELBO."""
    log_prob = {name: node["log_prob"] for name, node in model_trace.nodes.items() if "log_prob" in node}
    guide_log_prob = {name: node["log_prob"] for name, node in guide_trace.nodes.items() if "log_prob" in node}
    found: dict[str, Tensor] = {}
    if "w" in guide_log_prob:
        q = guide_log_prob["w"]
        found["log p(o|w,s)"] = _per_scene(q.exp() * log_prob["o"])
        found["log p(w) - log q(w)"] = _per_scene(q.exp() * (log_prob["w"] - q))
    elif "w" in log_prob:
        if log_prob["w"].shape[-1] < log_prob["o"].shape[-1]:  # one w a frame, which its detections share
            frames = _sum_out_w(log_prob["w"] + log_prob["o"].sum(-1, keepdim=True))
        else:  # where there is no detection, there is no w to sum over
            detections = _sum_out_w(log_prob["w"] + log_prob["o"])
            frames = torch.where(model_trace.nodes["o"]["mask"], detections, 0.0)
        found["log p(o|s)"] = _per_scene(frames)
    else:
        found["log p(o|s)"] = _per_scene(log_prob["o"])
    found["log p(s,z)"] = _per_scene(log_prob["sz"])
    drawn = [name for name in ("q_sz", "q_s", "q_z") if name in guide_log_prob]
    found["- log q(s,z)"] = -torch.stack([_per_scene(guide_log_prob[name]) for name in drawn]).sum(0)
    if "labels" in log_prob:
        found["log p(labels|s)"] = _per_scene(log_prob["labels"])
    found["elbo"] = torch.stack(list(found.values())).sum(0)
    return found


def _sum_out_w(log_prob: Tensor) -> Tensor:
    """Sum over w, whose values stand in the dimension left of the plates."""
    return torch.logsumexp(log_prob.flatten(0, -MAX_PLATE_NESTING - 1), 0)


def _per_scene(log_prob: Tensor) -> Tensor:
    """Sum over everything but the plate of scenes: [*, B, T or 1, K or 1] -> [B]."""
    summed = log_prob.sum((-2, -1))
    return summed.flatten(0, -2).sum(0) if summed.dim() > 1 else summed
