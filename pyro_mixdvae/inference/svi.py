"""Stochastic variational inference: Adam on TraceEnum_ELBO, for the guide and, if wanted, the prior."""

import torch

from pyro_mixdvae.guides.source_guide import SourceGuide
from pyro_mixdvae.inference.elbo import RecordingELBO, terms
from pyro_mixdvae.inference.records import Record
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene


def svi(
    model: MixtureModel,
    guide: SourceGuide,
    scene: Scene,
    n_iterations: int = 100,
    learning_rate: float = 0.02,
    n_particles: int = 1,
    fine_tunes_prior: bool = False,
    seed: int = 0,
) -> list[Record]:
    """Refine the guide from where it is.

    Args:
        model, guide: as `records.judged` gives them.
        learning_rate: in posterior standard deviations (see `SourceGuide`) and logits.
        n_particles: draws of (s, z) a step.
        fine_tunes_prior: also move the weights of p(s, z), at a tenth of the learning rate, as the paper's
            fine-tuning does; the model's own weights change.

    Returns:
        a record a step, of the step's own draws.
    """
    own = [parameter for name, parameter in guide.named_parameters() if not name.startswith("sources.")]
    groups = [{"params": own, "lr": learning_rate}]
    prior = list(model.sources.parameters())
    if fine_tunes_prior and prior:
        groups.append({"params": prior, "lr": learning_rate / 10})
    frozen = [] if fine_tunes_prior else [parameter for parameter in prior if parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    optimiser = torch.optim.Adam(groups)
    elbo = RecordingELBO(n_particles)
    records = []
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for _ in range(n_iterations):
                elbo.traces.clear()
                optimiser.zero_grad()
                loss = elbo.differentiable_loss(model, guide, scene)
                loss.backward()
                optimiser.step()
                records.append(_mean_record(elbo))
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
    return records


@torch.no_grad()
def _mean_record(elbo: RecordingELBO) -> Record:
    particles = [terms(*traces) for traces in elbo.traces]
    return {name: torch.stack([particle[name] for particle in particles]).mean(0).detach() for name in particles[0]}
