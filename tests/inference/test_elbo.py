"""The evaluator against sums over all assignments, closed forms and exact marginals."""

import math
from itertools import product

import pytest
import torch
from covering import pairs
from pyro import poutine
from pyro.infer import TraceEnum_ELBO
from steps import even_responsibilities, expected_log_likelihood, smoothed
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from pyro_mixdvae.distributions import visibility
from pyro_mixdvae.distributions.kalman import Chain
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.engines.torch.evaluator import RecordingELBO, terms
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import Collapsed, MeanField
from pyro_mixdvae.inference.chain_updates import expected_responsibilities
from pyro_mixdvae.models import Assignment, MixtureModel, PersistentAssignment, Scene
from pyro_mixdvae.testing.gaussians import fed, joint_of, joint_of_transitions
from pyro_mixdvae.testing.parts import (
    ASSIGNMENTS,
    EVERY_ASSIGNMENT,
    LIKELIHOODS,
    PRIORS,
    gaussian_likelihood,
    relative_noise,
    toy_model,
    vkf,
)
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close, toy_scene

LOG_2_PI = math.log(2 * math.pi)
EACH_ASSIGNMENT = pytest.mark.parametrize("kind", EVERY_ASSIGNMENT)
EACH_LIKELIHOOD = pytest.mark.parametrize("likelihood", LIKELIHOODS)
EACH_SIZE = pairs(kind=list(EVERY_ASSIGNMENT), shape=[(2, 2), (3, 2), (1, 2), (2, 3), (2, 1)], is_hard=[False, True])
"""Detections and sources; padded and labelled, or neither."""


def fitted(model: MixtureModel, scene: Scene) -> tuple[MeanField, Chain]:
    """A mean-field guide: E-S from even responsibilities, a q(w) that is not the optimal one, nor q(v)."""
    eta = even_responsibilities(model, scene)
    chain = smoothed(model, scene, eta)
    guide = MeanField(model, scene)
    with torch.no_grad():
        guide.set_chain(chain)
        guide.set_assignments(model.assignment.posterior_logits(torch.zeros_like(eta), scene.mask))
        free = (guide.logits > -1e20).to(guide.logits.dtype)
        guide.logits.add_(free * torch.randn_like(guide.logits))
        if guide.latent is not None:
            for parameter in guide.latent.parameters():
                parameter.add_(torch.randn_like(parameter))
    return guide, chain


def collapsed(guide: MeanField, model: MixtureModel, scene: Scene) -> Collapsed:
    """The same q(s, z) and q(v) without q(w)."""
    alone = Collapsed(model, scene)
    own = alone.state_dict()
    alone.load_state_dict({name: value for name, value in guide.state_dict().items() if name in own})
    return alone


def log_factors(model: MixtureModel, assignment: Assignment, scene: Scene, s: Tensor) -> tuple[Tensor, Tensor]:
    """log p(w | v) of every value, [B, T, W, V], and log p(o | class, s), [B, T, K, C], at s [B, N, T, D]."""
    return assignment.prior(scene.mask).logits, model.log_likelihood(scene, s)


def sum_over_w(model: MixtureModel, assignment: Assignment, scene: Scene, s: Tensor, log_q: Tensor | None) -> Tensor:
    """[B]: with log q(w), `sum_w q(w) (log p(o|w,s) + log p(w) - log q(w))`; without, `log sum_w p(o|w,s) p(w)`.

    The sum runs over all values of all w of a frame at once, product by product.
    """
    log_prior, likelihood = log_factors(model, assignment, scene, s)
    n_scenes, n_frames, n_detections = scene.mask.shape
    total = torch.zeros(n_scenes)
    for b, t in product(range(n_scenes), range(n_frames)):
        seen = [k for k in range(n_detections) if scene.mask[b, t, k]]
        slots = seen if model.assignment.per_observation else [0]
        own = []
        for values in product(range(log_prior.shape[-1]), repeat=len(slots)):
            if model.assignment.per_observation:
                classes = dict(zip(seen, values, strict=True))
            else:
                row = model.assignment.classes(torch.tensor([values[0]]), n_detections)
                classes = {k: int(row[k]) for k in seen}
            joint = sum((log_prior[b, t, w, v] for w, v in zip(slots, values, strict=True)), torch.tensor(0.0))
            joint = joint + sum((likelihood[b, t, k, c] for k, c in classes.items()), torch.tensor(0.0))
            if log_q is None:
                own.append(joint)
            else:
                q = sum((log_q[b, t, w, v] for w, v in zip(slots, values, strict=True)), torch.tensor(0.0))
                own.append(q.exp() * (joint - q))
        stacked = torch.stack(own)
        total[b] += stacked.logsumexp(0) if log_q is None else stacked.sum()
    return total


def drawn(evaluator: RecordingELBO) -> Tensor:
    """The s [B, N, T, D] that the last evaluation drew."""
    sz = evaluator.traces[-1][1].nodes["sz"]["value"]
    return sz[:, 0, 0, ..., :4]


def given(model: MixtureModel, evaluator: RecordingELBO) -> Assignment:
    """p(w | v) at the v that the last evaluation drew, or at q(v)'s probabilities, where v enters linearly."""
    name = model.assignment.latent_name
    if name is None:
        return model.assignment
    value = evaluator.traces[-1][1].nodes[name]["value"]
    return model.assignment.given(value[:, 0, 0])


def rest(record: dict[str, Tensor]) -> Tensor:
    """Everything but the terms of w."""
    of_w = {"log p(o|w,s)", "log p(w) - log q(w)", "log p(o|s)", "elbo"}
    return sum((term for name, term in record.items() if name not in of_w), torch.zeros(()))


@EACH_SIZE
def test_guide_side_enumeration_is_the_sum_over_all_assignments(
    kind: str, shape: tuple[int, int], is_hard: bool
) -> None:
    n_detections, n_sources = shape
    scene = toy_scene(2, 3, n_detections, n_sources, is_padded=is_hard, is_labelled=is_hard)
    model = toy_model(n_sources, assignment=EVERY_ASSIGNMENT[kind](n_sources))
    guide, _ = fitted(model, scene)
    evaluator = RecordingELBO()
    torch.manual_seed(1)
    record = evaluator.evaluate(model, guide, scene)
    log_q = guide.logits.log_softmax(-1).detach()
    expected = sum_over_w(model, given(model, evaluator), scene, drawn(evaluator), log_q)
    found = record["log p(o|w,s)"] + record["log p(w) - log q(w)"]
    torch.testing.assert_close(found, expected, **EXACT)
    torch.testing.assert_close(record["elbo"], expected + rest(record), **EXACT)
    torch.manual_seed(1)
    loss = TraceEnum_ELBO(max_plate_nesting=3).loss(model, guide, scene)
    torch.testing.assert_close(torch.tensor(-loss), record["elbo"].sum(), **EXACT)


@EACH_SIZE
def test_model_side_enumeration_is_the_logarithm_of_the_sum(kind: str, shape: tuple[int, int], is_hard: bool) -> None:
    n_detections, n_sources = shape
    scene = toy_scene(2, 3, n_detections, n_sources, is_padded=is_hard, is_labelled=is_hard)
    model = toy_model(n_sources, assignment=EVERY_ASSIGNMENT[kind](n_sources))
    guide = collapsed(fitted(model, scene)[0], model, scene)
    evaluator = RecordingELBO()
    torch.manual_seed(1)
    record = evaluator.evaluate(model, guide, scene)
    expected = sum_over_w(model, given(model, evaluator), scene, drawn(evaluator), None)
    torch.testing.assert_close(record["log p(o|s)"], expected, **EXACT)
    torch.manual_seed(1)
    loss = evaluator.loss(model, guide, scene)
    torch.testing.assert_close(torch.tensor(-loss), record["elbo"].sum(), **EXACT)
    torch.testing.assert_close(record["elbo"], expected + rest(record), **EXACT)


@EACH_ASSIGNMENT
def test_summing_w_out_in_the_model_is_the_same_as_enumerating_it_there(kind: str) -> None:
    """As where the events are too many to list; the sum then holds the number of detections."""
    scene = toy_scene(2, 3, 3, 2, is_padded=True, is_labelled=True)
    model = toy_model(2, assignment=EVERY_ASSIGNMENT[kind](2))
    guide = collapsed(fitted(model, scene)[0], model, scene)
    family = type(model.assignment)
    many = type("Many", (family,), {"can_enumerate": lambda self, n_detections: False})
    assignment = model.assignment.replace()
    assignment.__class__ = many
    records = []
    for each in (model, model.replace(assignment=assignment)):
        torch.manual_seed(1)
        evaluator = RecordingELBO()
        records.append(evaluator.evaluate(each, guide, scene))
        torch.manual_seed(1)
        loss = evaluator.loss(each, guide, scene)
        torch.testing.assert_close(torch.tensor(-loss), records[-1]["elbo"].sum(), **EXACT)
    listed, summed = records
    if "log p(count)" in listed:
        listed["log p(o|s)"] = listed["log p(o|s)"] + listed.pop("log p(count)")
    assert listed.keys() == summed.keys()
    for name in listed:
        torch.testing.assert_close(listed[name], summed[name], **EXACT)
    with pytest.raises(InputError, match="joint events"):
        each(scene, generate=True)


@EACH_ASSIGNMENT
def test_collapsed_bound_is_never_below_the_mean_field_one(kind: str) -> None:
    """At the same draws of (s, z); equal where q(w) is the posterior given that very s."""
    scene = toy_scene(2, 3, 3, 2)
    model = toy_model(2, assignment=EVERY_ASSIGNMENT[kind](2))
    guide, chain = fitted(model, scene)
    alone = collapsed(guide, model, scene)
    evaluator = RecordingELBO()
    for is_optimal in (False, True):
        if is_optimal:
            own = given(model, evaluator)
            guide.set_assignments(own.posterior_logits(expected_log_likelihood(model, scene, chain), scene.mask))
        torch.manual_seed(1)
        bound = evaluator.evaluate(model, guide, scene)["elbo"]
        s = drawn(evaluator)
        torch.manual_seed(1)
        tighter = evaluator.evaluate(model, alone, scene)["elbo"]
        assert (tighter > bound).all()
    own = given(model, evaluator)
    guide.set_assignments(own.posterior_logits(log_factors(model, own, scene, s)[1], scene.mask))
    torch.manual_seed(1)
    torch.testing.assert_close(evaluator.evaluate(model, guide, scene)["elbo"], tighter, **EXACT)


@pytest.mark.parametrize("kind", ASSIGNMENTS)
def test_responsibilities_of_a_collapsed_guide_are_the_marginals_that_pyro_computes(kind: str) -> None:
    """For one draw of s: with a q(s) that has next to no width, all draws are one."""
    scene = toy_scene(2, 3, 3, 2)
    model = toy_model(2, assignment=ASSIGNMENTS[kind](2))
    guide, chain = fitted(model, scene)
    narrow = 1e-14 * torch.eye(2).expand_as(chain.covariance)
    alone = collapsed(guide, model, scene)
    alone.set_chain(Chain(chain.mean, torch.zeros_like(chain.gain), narrow, narrow))
    marginals = TraceEnum_ELBO(max_plate_nesting=3).compute_marginals(model, alone, scene)["w"]
    probability = marginals.probs
    if not model.assignment.per_observation:
        values = torch.arange(probability.shape[-1])[:, None]
        member = torch.nn.functional.one_hot(model.assignment.classes(values, 3), 3).double()
        probability = torch.einsum("bte,ekc->btkc", probability.squeeze(-2), member)
    found = expected_responsibilities(model, scene, alone, n_draws=2)
    torch.testing.assert_close(found[scene.mask], probability[scene.mask], rtol=1e-4, atol=1e-5)
    assert not found[~scene.mask].any()


@EACH_LIKELIHOOD
@pytest.mark.parametrize("prior", PRIORS)
def test_terms_of_every_prior_and_likelihood_sum_to_the_elbo(prior: str, likelihood: str) -> None:
    """The record is minus the loss on the same draws."""
    scene = toy_scene(2, 4, 3, 2, is_padded=True)
    model = toy_model(2, PRIORS[prior](), likelihood=LIKELIHOODS[likelihood](relative_noise()))
    guide, _ = fitted(model, scene)
    evaluator = RecordingELBO(num_particles=3)
    torch.manual_seed(1)
    record = evaluator.evaluate(model, guide, scene)
    assert len(evaluator.traces) == 3
    torch.manual_seed(1)
    torch.testing.assert_close(torch.tensor(-evaluator.loss(model, guide, scene)), record["elbo"].sum(), **EXACT)
    names = [name for name in record if name != "elbo"]
    torch.testing.assert_close(sum(record[name] for name in names), record["elbo"])


def test_scenes_of_a_batch_do_not_touch_each_other() -> None:
    """The terms of one scene, drawn in a batch, are those of the scene alone at the same s and z."""
    scene = toy_scene(3, 4, 3, 2, is_padded=True)
    model = toy_model(2)
    guide, _ = fitted(model, scene)
    evaluator = RecordingELBO()
    together = evaluator.evaluate(model, guide, scene)
    s_and_z = evaluator.traces[-1][1].nodes["sz"]["value"]
    for b in range(3):
        own = slice(b, b + 1)
        alone = Scene(*(getattr(scene, name)[own] for name in scene.__dataclass_fields__))
        trace = poutine.trace(poutine.condition(model, {"sz": s_and_z[own]})).get_trace(alone)
        trace.compute_log_prob()
        torch.testing.assert_close(trace.nodes["sz"]["log_prob"].sum(), together["log p(s,z)"][b], **EXACT)


class TestClosedForms:
    """With a linear-Gaussian prior every expectation of the bound has a closed form."""

    def example(self) -> tuple[MixtureModel, Scene, MeanField, Chain]:
        scene = toy_scene(2, 4, 3, 2, is_padded=True, is_labelled=True)
        model = toy_model(2, vkf())
        guide, chain = fitted(model, scene)
        return model, scene, guide, chain

    @pytest.mark.slow
    def test_sample_means_of_the_terms_are_within_four_standard_errors(self) -> None:
        model, scene, guide, chain = self.example()
        records = []
        evaluator = RecordingELBO()
        for _ in range(600):
            records.append(evaluator.evaluate(model, guide, scene))
        draws = {name: torch.stack([record[name] for record in records]) for name in records[0]}
        for name, expected in self.closed_forms(model, scene, guide, chain).items():
            if float(draws[name].std(0).max()) < 1e-9:
                torch.testing.assert_close(draws[name].mean(0), expected, **EXACT)
            else:
                assert_mean_close(draws[name], expected)

    def closed_forms(self, model: MixtureModel, scene: Scene, guide: MeanField, chain: Chain) -> dict[str, Tensor]:
        log_q = guide.logits.log_softmax(-1).detach()
        seen = scene.mask.unsqueeze(-1)
        variance = chain.covariance[..., 0, 0]
        expected = model.expected_log_likelihood(scene, chain.mean[..., 0], variance)
        log_prior = model.assignment.prior(scene.mask).logits
        divergence, entropy = [], []
        for b in range(len(scene.mask)):
            n = int(scene.present[b].sum())
            own = slice(0, 2 * n)
            mean, covariance = (part[b] for part in joint_of(chain))
            q = MultivariateNormal(mean[..., own], covariance[..., own, own])
            p = prior_of(model, scene, b, n)
            divergence.append(kl_divergence(q, p).sum())
            entropy.append(q.entropy().sum())
        entropies, kl = torch.stack(entropy), torch.stack(divergence)
        noise = model.labels.scale(scene).square()
        labels = -0.5 * ((scene.labels - chain.mean[..., 0]).square() + variance) / noise
        labels = (labels - 0.5 * (2 * torch.pi * noise).log()) * scene.label_mask.unsqueeze(-1)
        found = {
            "log p(o|w,s)": (log_q.exp() * expected * seen).sum((-3, -2, -1)),
            "log p(w) - log q(w)": (log_q.exp() * (log_prior - log_q) * seen).sum((-3, -2, -1)),
            "- log q(s,z)": entropies,
            "log p(s,z)": -kl - entropies,
            "log p(labels|s)": labels.sum((-3, -2, -1)),
        }
        return {**found, "elbo": sum(found.values())}


def prior_of(model: MixtureModel, scene: Scene, b: int, n_frames: int) -> MultivariateNormal:
    """p(s, z) of the sources of scene b as one Gaussian: the prior is linear, with the same transitions at any s."""
    start = scene.start[b]
    steps = model.sources.transitions(fed(start.unsqueeze(-2).expand(-1, n_frames, -1), 2), start)
    return MultivariateNormal(*joint_of_transitions(steps))


def test_value_and_gradient_in_s_are_those_of_the_formula_written_by_hand() -> None:
    """Path-wise: s = mean + noise; the formula in s is differentiated by autograd, the ELBO by TraceEnum_ELBO."""
    scene = toy_scene(1, 3, 2, 2)
    model = toy_model(2, vkf(), likelihood=gaussian_likelihood(0.5))
    guide, _ = fitted(model, scene)
    guide.requires_grad_(False)
    guide.offset.requires_grad_(True)
    torch.manual_seed(3)
    loss = TraceEnum_ELBO(max_plate_nesting=3).differentiable_loss(model, guide, scene)
    (gradient,) = torch.autograd.grad(loss, guide.offset)

    torch.manual_seed(3)
    chain = guide.chain()
    noise = (chain.rsample() - chain.mean).detach()
    offset = guide.offset.detach().clone().requires_grad_()
    state = guide.centre + guide.spread * offset + noise
    s, z = state[..., 0], state[..., 1]
    network = model.sources.network
    total = torch.zeros(())
    for n, d in product(range(2), range(4)):
        for t in range(3):
            if t == 0:
                v_mean, v_spread = torch.tensor(0.0), network.first_velocity[d].sqrt()
                x_mean, x_spread = scene.start[0, n, d], torch.tensor(model.sources.start_spread)
            else:
                v_mean, v_spread = 0.9 * z[0, n, t - 1, d], torch.tensor(0.05)
                x_mean, x_spread = s[0, n, t - 1, d] + z[0, n, t, d], torch.tensor(0.1)
            for value, mean, spread in ((z[0, n, t, d], v_mean, v_spread), (s[0, n, t, d], x_mean, x_spread)):
                total = total - 0.5 * ((value - mean) / spread) ** 2 - spread.log() - 0.5 * LOG_2_PI
    q = guide.logits.softmax(-1)
    phi = model.likelihood.noise.scale(scene).square()
    for t, k in product(range(3), range(2)):
        if not scene.mask[0, t, k]:
            continue
        for n in range(2):
            square = (scene.observations[0, t, k] - s[0, n, t]).square() / phi[0, t, k, n]
            density = -0.5 * (square + phi[0, t, k, n].log() + LOG_2_PI).sum()
            total = total + q[0, t, k, n] * (density + torch.tensor(0.5).log() - q[0, t, k, n].log())
    total = total - chain.log_prob(chain.mean + noise).sum()  # the density of a draw does not depend on the offset
    torch.testing.assert_close(-loss, total.detach(), **EXACT)
    torch.testing.assert_close(-gradient, torch.autograd.grad(total, offset)[0], rtol=1e-8, atol=1e-8)


def test_records_leave_no_gradients_behind() -> None:
    scene = toy_scene()
    model = toy_model(2, PRIORS["kinematic"]())
    record = RecordingELBO().evaluate(model, fitted(model, scene)[0], scene)
    assert not any(value.requires_grad for value in record.values())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_terms_without_q_of_w_have_names_of_their_own() -> None:
    scene = toy_scene()
    model = toy_model(2)
    guide = collapsed(fitted(model, scene)[0], model, scene)
    evaluator = RecordingELBO()
    evaluator.evaluate(model, guide, scene)
    assert set(terms(*evaluator.traces[-1])) == {"log p(o|s)", "log p(s,z)", "- log q(s,z)", "elbo"}


@pytest.mark.parametrize("is_collapsed", [False, True], ids=["mean field", "collapsed"])
def test_the_bound_of_sources_that_may_hide_is_the_sum_over_all_that_are_visible(is_collapsed: bool) -> None:
    """Path by path of v: the probabilities of q(v) stand for a draw, which is exact with q(w) in the guide.

    Without it, log sum_w p(o, w | v) is convex in the log weights, and their means stand for a bound below the sum.
    """
    scene = toy_scene(1, 3, 2, 2)
    assignment = PersistentAssignment(2, 0.8, 0.1, hide=0.2, reappear=0.3)
    model = toy_model(2, assignment=assignment)
    guide, _ = fitted(model, scene)
    own = collapsed(guide, model, scene) if is_collapsed else guide
    evaluator = RecordingELBO()
    record = evaluator.evaluate(model, own, scene)
    s = drawn(evaluator)
    rates = visibility.Rates(*(rate.expand(1, 1) for rate in assignment.transition_rates()))
    total, mass = torch.zeros(1), 0.0
    for path in product((0, 1), repeat=6):
        v = torch.tensor(path, dtype=s.dtype).reshape(1, 2, 3)
        before = torch.cat([torch.ones(1, 2, 1), v[..., :-1]], -1)
        pairs = torch.stack([1 - before, before], -1)[..., :, None] * torch.stack([1 - v, v], -1)[..., None, :]
        log_prior = visibility.expected_log_prior(rates, pairs)
        # q(v) by its own statement: p(v) exp(a v), normalised.
        log_q = (
            log_prior
            + (own.latent.log_odds * v).sum((-2, -1))
            - visibility.smooth(rates, own.latent.log_odds)[1].sum(-1)
        )
        mass += float(log_q.detach().exp())
        at = assignment.given(pairs)
        log_weights = None if is_collapsed else own.logits.log_softmax(-1).detach()
        of_w = sum_over_w(model, at, scene, s, log_weights) + at.log_count(scene.mask).sum(-1)
        total = total + log_q.exp() * (log_prior - log_q + of_w)
    assert mass == pytest.approx(1.0)
    found = record["elbo"] - record["log p(s,z)"] - record["- log q(s,z)"]
    if is_collapsed:
        assert (found <= total.detach() + 1e-9).all()
    else:
        torch.testing.assert_close(found, total.detach(), **EXACT)


@EACH_ASSIGNMENT
@EACH_LIKELIHOOD
def test_after_e_w_the_enumerated_bound_is_stationary_in_q_of_w(kind: str, likelihood: str) -> None:
    """With every likelihood: its expectation under q(s) by whatever it is derived from."""
    scene = toy_scene(2, 3, 3, 2, is_padded=True)
    model = toy_model(2, assignment=EVERY_ASSIGNMENT[kind](2), likelihood=LIKELIHOODS[likelihood](relative_noise()))
    guide, chain = fitted(model, scene)
    before = gradient_in_q_of_w(model, guide, scene, chain)
    TorchChainEngine(model, scene).assign(
        guide, chain, model.assignment if guide.latent is None else guide.latent.expected(model.assignment)
    )
    after = gradient_in_q_of_w(model, guide, scene, chain)
    torch.testing.assert_close(after, torch.zeros_like(after), **EXACT)
    assert float(before.abs().max()) > 1e-3


def gradient_in_q_of_w(model: MixtureModel, guide: MeanField, scene: Scene, chain: Chain) -> Tensor:
    """Of `E_q[log p(o | w, s)] + E_q[log p(w | v) - log q(w)]`, w being enumerated by hand."""
    logits = guide.logits.detach().clone().requires_grad_()
    log_q = logits.log_softmax(-1)
    assignment = model.assignment if guide.latent is None else guide.latent.expected(model.assignment)
    log_prior = assignment.prior_logits(scene.mask)
    eta = assignment.marginals(logits, scene.mask)
    gap = torch.where(log_q > -1e20, log_q.exp() * (log_prior - log_q), 0.0)
    if assignment.per_observation:
        gap = gap * scene.mask.unsqueeze(-1)
    bound = (eta * expected_log_likelihood(model, scene, chain)).sum() + gap.sum()
    (gradient,) = torch.autograd.grad(bound, logits)
    return gradient
