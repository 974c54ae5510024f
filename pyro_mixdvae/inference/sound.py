"""One run of inference on a batch of mixtures of sounds: what `run.infer` is for boxes.

Given the powers v that p(s | z) has, q(s | o) is known in closed form in either model. So an iteration (`coordinate`)
is new powers (E-Z), and q(s | o), or q(s | o) and q(w | o), from these. The first powers are what the networks make of
the mixture; then they hear what they are thought to have said: the expected power `E_q |s|^2 = |m|^2 + V`, in all
frames at once. Where sounds add up, gradients then move the latents to what explains the mixture best
(`latent_ascent`), and log v, the parameter of q(s | o), is the mean over all powers so far (Polyak's average): each of
them errs in its own way.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.inference.latent_ascent import LatentAscent
from pyro_mixdvae.inference.records import Record, evaluate
from pyro_mixdvae.inference.run import Method
from pyro_mixdvae.inference.sound_records import AdditiveJudge
from pyro_mixdvae.inference.svi import svi
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.complex_likelihood import as_content, as_spectrum
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sound_sources import SoundSources

ITERATIONS = 3
STEPS = 8  # of gradient in an iteration
SVI_ITERATIONS = 50


class InferredSound(NamedTuple):
    """What inference gives of B mixtures.

    Attributes:
        guide: q itself.
        mean, variance: m and V of q(s), [B, N, T, F] each, m complex.
        gains: shares of the mixture, [B, N, T, F]: the Wiener gains or the responsibilities q(w_tf = n).
        records: the ELBO and its terms, an iteration each.
    """

    guide: AdditiveGuide | MeanField
    mean: Tensor
    variance: Tensor
    gains: Tensor
    records: list[Record]


def sound_scene(mixture: Tensor, n_sources: int, present: Tensor | None = None) -> Scene:
    """Complex spectra o [B, T, F] as the scene that models of sound observe; `present` [B, T] as in `Scene`."""
    batch, n_frames = mixture.shape[:2]
    nothing = torch.zeros((), dtype=mixture.real.dtype, device=mixture.device)
    if present is None:
        present = torch.ones(batch, n_frames, dtype=torch.bool, device=mixture.device)
    return Scene(
        observations=mixture.unsqueeze(-1),
        mask=present.unsqueeze(-1).expand(mixture.shape),
        start=nothing.expand(batch, n_sources, 1),
        present=present,
        labels=nothing.expand(batch, n_sources, n_frames, 1),
        label_mask=torch.zeros_like(present).unsqueeze(1).expand(batch, n_sources, n_frames),
    )


def infer_sound(
    model: AdditiveModel | MixtureModel,
    mixture: Tensor,
    method: Method = "coordinate",
    n_iterations: int | None = None,
    present: Tensor | None = None,
    fine_tunes_prior: bool = False,
    seed: int = 0,
    n_updates: int = ITERATIONS,
    records_all: bool = True,
) -> InferredSound:
    """Separate complex spectra o [B, T, F]; each mixture ends where its ELBO was greatest.

    Args:
        model: over `SoundSources`.
        mixture: o.
        method, n_iterations, n_updates, fine_tunes_prior, seed: as in `run.infer`.
        present: [B, T], False in the padding after the end of a shorter mixture.
        records_all: False: one record, of the end, and no choice among iterations: the last one it is.
    """
    sources = model.sources
    if not isinstance(sources, SoundSources):
        raise TypeError("infer_sound is for models over SoundSources")
    scene = sound_scene(mixture, len(sources.networks), present)
    steps = n_updates if n_iterations is None or method == "hybrid" else n_iterations
    guide: AdditiveGuide | MeanField
    if isinstance(model, AdditiveModel):
        guide = AdditiveGuide(model, scene)
    else:
        guide = MeanField(sources, model.assignment, scene)
    with torch.no_grad():
        records = _iterate(model, guide, sources, scene, 1 if method == "svi" else steps, records_all)
    if method != "coordinate":
        count = SVI_ITERATIONS if n_iterations is None else n_iterations
        records += svi(model, guide, scene, count, fine_tunes_prior=fine_tunes_prior, seed=seed)
        records.append(evaluate(model, guide, scene))
    with torch.no_grad():
        mean, variance, gains = _moments(guide, scene)
    return InferredSound(guide, mean, variance, gains, records)


def _iterate(
    model: AdditiveModel | MixtureModel,
    guide: AdditiveGuide | MeanField,
    sources: SoundSources,
    scene: Scene,
    n_iterations: int,
    records_all: bool,
) -> list[Record]:
    mixture = scene.observations.squeeze(-1)
    heard = squared_modulus(mixture).unsqueeze(1).expand(-1, scene.n_sources, -1, -1)
    powers = sources.reconstructed(heard, scene.present.unsqueeze(1).expand(heard.shape[:-1]))
    n_looks = 1
    judge = _judge(model, guide, sources, scene)
    records: list[Record] = []
    best: dict[str, Tensor] = {}
    for iteration in range(n_iterations):
        if iteration > 0 and isinstance(guide, AdditiveGuide):
            ascent = LatentAscent(sources, mixture, guide.noise, scene.present, powers)
            listened = ascent.powers()
            ascent.climb(STEPS)
            powers = _mean_of_logs(powers, n_looks, listened, ascent.powers())
            n_looks += 2
        elif iteration > 0:
            mean, variance, _ = _moments(guide, scene)
            heard = squared_modulus(mean) + variance
            powers = sources.reconstructed(heard, scene.present.unsqueeze(1).expand(heard.shape[:-1]))
        if isinstance(guide, AdditiveGuide):
            guide.set_powers(powers)
        else:
            update_assigned(model, guide, scene, powers)
        if records_all or iteration == n_iterations - 1:
            records.append(judge())
            best = _better(best, _state(guide), records)
    for name, value in best.items():
        guide.state_dict()[name].copy_(value)
    return records


def _mean_of_logs(mean: Tensor, count: int, *more: Tensor) -> Tensor:
    """The geometric mean of `count` powers, of which it is given, and of more."""
    total = count * mean.log() + sum(power.log() for power in more)
    return (total / (count + len(more))).exp()


def _judge(
    model: AdditiveModel | MixtureModel, guide: AdditiveGuide | MeanField, sources: SoundSources, scene: Scene
) -> Callable[[], Record]:
    """What gives the record of the guide as it then is."""
    if isinstance(guide, AdditiveGuide) and AdditiveJudge.can_judge(sources, guide):
        judge = AdditiveJudge(sources, guide)
        return lambda: judge.record(guide)
    return lambda: evaluate(model, guide, scene)


def update_assigned(
    model: AdditiveModel | MixtureModel, guide: MeanField, scene: Scene, powers: Tensor, sweeps: int = 3
) -> None:
    """E-S, `V = (eta / v_o + 1 / v)^-1`, `m = V eta o / v_o`, and E-W in turn, for given powers v [B, N, T, F].

    Each raises the mean-field bound; the guide's own responsibilities are the start.
    """
    assert isinstance(model, MixtureModel)
    mixture = scene.observations.squeeze(-1).unsqueeze(1)
    noise = model.likelihood.variances(scene)[..., 0, 0].unsqueeze(1)
    for _ in range(sweeps):
        weight = guide.responsibilities(scene).movedim(-1, 1) / noise
        variance = 1 / (weight + 1 / powers)
        mean = as_content(variance * weight * mixture)
        guide.set_chain(_independent(mean, (variance / 2).repeat_interleave(2, -1)))
        expected = model.likelihood.expected_log_prob(scene, *guide.marginals(), False)
        guide.set_assignments(model.assignment.posterior_logits(expected, scene.mask))


def _moments(guide: AdditiveGuide | MeanField, scene: Scene) -> tuple[Tensor, Tensor, Tensor]:
    """m, V and gains, [B, N, T, F] each."""
    if isinstance(guide, AdditiveGuide):
        posterior = guide.posterior()
        return posterior.mean, posterior.variance, posterior.gains
    mean, variance = guide.marginals()
    return as_spectrum(mean), variance.unflatten(-1, (-1, 2)).sum(-1), guide.responsibilities(scene).movedim(-1, 1)


def _state(guide: AdditiveGuide | MeanField) -> dict[str, Tensor]:
    """What an iteration changes of the guide, copied: its parameters, and the units that they are in."""
    others = ("sources.", "assignment.", "total", "noise", "present")
    return {name: value.clone() for name, value in guide.state_dict().items() if not name.startswith(others)}


def _better(best: dict[str, Tensor], state: dict[str, Tensor], records: list[Record]) -> dict[str, Tensor]:
    """For each mixture the parameters [B, ...] of the iteration with the greatest ELBO so far."""
    if not best:
        return state
    now = records[-1]["elbo"]
    before = torch.stack([record["elbo"] for record in records[:-1]]).amax(0)
    taken = now > before
    return {
        name: torch.where(taken.reshape(-1, *[1] * (value.dim() - 1)), value, best[name])
        for name, value in state.items()
    }


def _independent(mean: Tensor, variance: Tensor) -> Chain:
    """Means and variances [B, N, T, 2F] as a chain whose frames are independent."""
    matrix = variance[..., None, None]
    return Chain(mean.unsqueeze(-1), torch.zeros_like(matrix), matrix, matrix)
