"""Sources that hide, against sums over all ways for them to be visible and hidden."""

from itertools import product

import pyro
import pytest
import torch
from pyro.infer import Predictive
from torch import Tensor
from torch.nn.functional import one_hot
from toys import latent_divergence

from pyro_mixdvae.distributions import visibility
from pyro_mixdvae.distributions.exclusive import event_table
from pyro_mixdvae.models import ExclusiveAssignment, PersistentAssignment, Scene, StepwiseMixtureModel
from pyro_mixdvae.testing.parts import gaussian_likelihood, toy_model, vkf
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close, toy_scene

T, K, N = 3, 2, 2
DETECTED, CLUTTER, HIDE, REAPPEAR, GHOST = 0.8, 0.3, 0.15, 0.4, 0.03
EVENTS = event_table(K, N)
WHOLE = torch.cartesian_prod(*[torch.arange(len(EVENTS))] * T)
"""All ways to choose a joint event for each frame, [7^3, T]."""


def make() -> PersistentAssignment:
    return PersistentAssignment(N, DETECTED, CLUTTER, HIDE, REAPPEAR, GHOST)


def eta() -> Tensor:
    """`WHOLE` as responsibilities [7^3, T, K, C]."""
    return one_hot(EVENTS[WHOLE], N + 1).double()


def paths(n_frames: int) -> tuple[Tensor, Tensor]:
    """All ways for N sources to be visible [2^(N T), N, T], and log p(v) of each."""
    visible = torch.tensor(list(product((0.0, 1.0), repeat=N * n_frames))).view(-1, N, n_frames)
    before = torch.cat([torch.ones(len(visible), N, 1), visible[..., :-1]], -1)
    to_visible = before * (1 - HIDE) + (1 - before) * REAPPEAR
    return visible, torch.where(visible > 0, to_visible, 1 - to_visible).log().sum((-2, -1))


def as_pairs(visible: Tensor) -> Tensor:
    """A path [*, N, T] of zeros and ones as pairs [*, N, T, 2, 2]."""
    before = torch.cat([torch.ones_like(visible[..., :1]), visible[..., :-1]], -1)
    return torch.einsum("...i,...j->...ij", *(torch.stack([1 - part, part], -1) for part in (before, visible)))


def log_given(responsibilities: Tensor, visible: Tensor) -> Tensor:
    """`log p(w, K | v)` of hard w [M, T, K, C] and paths [V, N, T]: [M, V]."""
    is_detected = (responsibilities[..., :N] > 0).any(-2).transpose(-1, -2)[:, None]  # [M, 1, N, T]
    chance = visible * DETECTED + (1 - visible) * GHOST
    each = torch.where(is_detected, chance, 1 - chance).log().sum((-2, -1))
    n_clutter = responsibilities[..., N].sum(-1)
    count = torch.full_like(n_clutter, CLUTTER).log() * n_clutter - CLUTTER - torch.lgamma(torch.tensor(K + 1.0))
    return each + count.sum(-1, keepdim=True)


def log_joint(n_frames: int) -> Tensor:
    """`log sum_v p(w, K, v)` of each of `WHOLE` in its first frames: v one by one."""
    visible, prior = paths(n_frames)
    return (log_given(eta()[:, :n_frames], visible) + prior).logsumexp(-1)


def whole(n_scenes: int = 1, n_frames: int = T) -> Scene:
    """Scenes in which every detection is there."""
    return toy_scene(n_scenes, n_frames, K, N, missing=0.0)


@pytest.mark.parametrize("n_frames", [1, 2, 3])
def test_the_frames_one_after_the_other_make_up_the_sum_over_all_ways_to_hide(n_frames: int) -> None:
    """`p(w) = prod_t p(w_t | w_<t)`, in scenes that end after so many frames."""
    present = (torch.arange(T) < n_frames).expand(len(WHOLE), -1)
    responsibilities = eta() * present[..., None, None]
    filtered = make().filtered(responsibilities, present)
    mask = present.unsqueeze(-1).expand(-1, -1, K)
    paired = torch.where(responsibilities[..., :N] > 0, filtered.pair_scores(None, mask), 0.0).sum((-2, -1))
    factors = paired + filtered.log_none(mask)
    torch.testing.assert_close((factors * present).sum(-1), log_joint(n_frames), **EXACT)


def test_the_path_in_pairs_has_the_density_of_the_chain() -> None:
    visible, prior = paths(T)
    chain = make().latent_prior(whole())
    assert chain.batch_shape == (1, 1, 1)
    assert chain.event_shape == (N, T, 2, 2)
    torch.testing.assert_close(chain.log_prob(as_pairs(visible)[:, None, None, None]).flatten(), prior, **EXACT)
    torch.testing.assert_close(prior.logsumexp(0), torch.tensor(0.0), **EXACT)


def test_given_v_each_source_has_its_own_chance_of_a_detection() -> None:
    visible, _ = paths(T)
    given = make().given(as_pairs(visible))
    mask = torch.ones(len(visible), T, K, dtype=torch.bool)
    events = event_table(K, N)
    log_prior = given.prior_logits(mask).log_softmax(-1).squeeze(-2) + given.log_count(mask).unsqueeze(-1)
    expected = log_given(one_hot(events, N + 1).double().unsqueeze(1), visible[..., :1])  # [E, V] of the first frame
    torch.testing.assert_close(log_prior[:, 0].T, expected, **EXACT)


def test_with_a_hard_w_the_update_of_v_is_its_exact_posterior_and_the_bound_is_tight() -> None:
    """`log p(w, K) = E_q(v)[log p(w, K | v)] - KL(q(v) || p(v))` at the optimal q(v), found by forward and backward."""
    assignment, scene = make(), whole(len(WHOLE))
    factor = assignment.factor(scene)
    factor.update(eta(), assignment, scene.present)
    found, _ = visibility.smooth(factor.prior_rates, factor.log_odds)
    visible, prior = paths(T)
    joint = log_given(eta(), visible) + prior
    weights = joint.softmax(-1)
    expected = torch.einsum("mv,vntij->mntij", weights, as_pairs(visible))
    torch.testing.assert_close(found, expected, **EXACT)
    likelihood = factor.expected(assignment)
    mask = torch.ones(len(WHOLE), T, K, dtype=torch.bool)
    paired = torch.where(eta()[..., :N] > 0, likelihood.pair_scores(None, mask), 0.0).sum((-2, -1))
    bound = (paired + likelihood.log_none(mask)).sum(-1) - latent_divergence(assignment, factor, scene)
    torch.testing.assert_close(bound, joint.logsumexp(-1), **EXACT)


def test_with_an_uncertain_w_the_update_of_v_is_its_optimum() -> None:
    """`q(v) ∝ p(v) exp E_q(w)[log p(w, K | v)]`, w independent over frames: by brute force over v and events."""
    assignment, scene = make(), whole(4)
    q = torch.randn(4, T, len(EVENTS)).softmax(-1)
    responsibilities = torch.einsum("bte,ekc->btkc", q, one_hot(EVENTS, N + 1).double())
    factor = assignment.factor(scene)
    factor.update(responsibilities, assignment, scene.present)
    found = visibility.marginal(visibility.smooth(factor.prior_rates, factor.log_odds)[0])
    visible, prior = paths(T)
    each = one_hot(EVENTS, N + 1).double().unsqueeze(1)
    log_given_frame = torch.stack([log_given(each, visible[..., t : t + 1]) for t in range(T)])  # [T, E, V]
    weights = (torch.einsum("bte,tev->bv", q, log_given_frame) + prior).softmax(-1)
    torch.testing.assert_close(found, torch.einsum("bv,vnt->bnt", weights, visible), **EXACT)


def test_frames_after_the_end_say_nothing_of_v() -> None:
    assignment, scene = make(), toy_scene(2, 6, K, N, is_padded=True)
    responsibilities = torch.randn(2, 6, K, N + 1).softmax(-1) * scene.mask.unsqueeze(-1)
    evidence = assignment.log_odds(responsibilities, scene.present)
    assert evidence.shape == (2, N, 6)
    assert not evidence[1, :, 3:].any()
    assert evidence[1, :, :3].all()


@pytest.mark.parametrize("is_one_for_all", [True, False])
def test_a_filter_that_remembers_is_told_what_all_frames_are_told_at_once(is_one_for_all: bool) -> None:
    rates = torch.tensor([[0.8, 0.6], [0.3, 1.0], [0.1, 0.3], [0.2, 0.5]])
    assignment = PersistentAssignment(3, *(rates[:, 0] if is_one_for_all else rates))
    responsibilities = torch.randn(2, 6, 4, 4).softmax(-1) * (torch.rand(2, 6, 4, 1) < 0.4)
    at_once = assignment.filtered(responsibilities, torch.ones(2, 6, dtype=torch.bool))
    log_likelihood, mask = torch.randn(2, 6, 4, 4), torch.rand(2, 6, 4) < 0.8
    expected = at_once.responsibilities(log_likelihood, mask)
    state = assignment.init_filter(2)
    for t in range(6):
        here = slice(None), slice(t, t + 1)
        step = assignment.predictive(state)
        torch.testing.assert_close(step.log_detected(), at_once.log_detected()[here], **EXACT)
        torch.testing.assert_close(step.responsibilities(log_likelihood[here], mask[here]), expected[here], **EXACT)
        picked = at_once.frames(slice(t, t + 1))
        torch.testing.assert_close(picked.responsibilities(log_likelihood[here], mask[here]), expected[here], **EXACT)
        state = assignment.update_filter(state, responsibilities[:, t])


def test_a_filter_that_remembers_nothing_takes_all_to_be_visible() -> None:
    assignment = make()
    assert assignment.predictive(None) is assignment
    assert assignment.update_filter(None, torch.rand(1, K, N + 1)) is None


def test_who_was_missed_is_likely_to_be_missed_again_and_who_is_seen_to_be_seen() -> None:
    """A source that is missed in frames 2 to 7 of 10: what those before say of a frame, and what all say."""
    seen = torch.zeros(1, 10, 1, 2)
    seen[0, [0, 1, 8, 9], 0, 0] = 1.0
    assignment = PersistentAssignment(1, 0.9, 0.5, hide=0.01, reappear=0.05)
    present = torch.ones(1, 10, dtype=torch.bool)
    along = assignment.filtered(seen, present).log_detected().exp().flatten()
    factor = assignment.factor(toy_scene(1, 10, 1, 1))
    factor.update(seen, assignment, present)
    visible = factor.expected(assignment).visible.flatten()
    assert (visible[[0, 1, 8, 9]] > 0.99).all()
    assert (visible[3:7] < 0.15).all()
    assert (along[6:9] < 0.1).all()
    assert along[9] > 0.85


def scene() -> Scene:
    """Of two sources: two detections a frame; four, or none; one, and padding."""
    mask = torch.zeros(3, 6, 4, dtype=torch.bool)
    mask[0, :, :2] = True
    mask[1, ::2] = True
    mask[2, :, 3] = True
    observations = torch.where(mask.unsqueeze(-1), torch.rand(3, 6, 4, 4), torch.nan)
    present = torch.arange(6) < torch.tensor([[6], [6], [4]])
    return Scene.of(observations, torch.rand(3, 2, 4), present)


def test_where_no_scene_is_crowded_nobody_hides() -> None:
    few = scene().scenes(torch.tensor([0, 2]))
    fitted, expected = PersistentAssignment(2, 0.9).fitted(few), ExclusiveAssignment(2, 0.9).fitted(few)
    assert type(fitted) is PersistentAssignment
    assert not fitted.hides
    assert PersistentAssignment(2, 0.9).hides
    responsibilities = torch.rand(2, 6, 4, 3).softmax(-1) * few.mask.unsqueeze(-1)
    for found in (fitted, fitted.filtered(responsibilities, few.present)):
        torch.testing.assert_close(found.log_detected(), expected.log_detected().expand_as(found.log_detected()))


def test_only_the_crowded_scenes_of_a_batch_hide_sources() -> None:
    """In the others the weights are those of `ExclusiveAssignment` to the last bit, whatever was seen."""
    given = PersistentAssignment(2, 0.9, hide=0.1, reappear=0.3)
    fitted = given.fitted(scene())
    torch.testing.assert_close(fitted.hide, torch.tensor([0.0, 0.1, 0.0]))
    torch.testing.assert_close(fitted.reappear, torch.tensor([1.0, 0.3, 1.0]))
    assert (float(given.hide), float(given.reappear)) == (0.1, 0.3)
    exclusive = ExclusiveAssignment(2, 0.9).fitted(scene())
    assert torch.equal(fitted.detection, exclusive.detection)
    assert torch.equal(fitted.clutter, exclusive.clutter)
    responsibilities, present = torch.rand(3, 6, 4, 3).softmax(-1) * scene().mask.unsqueeze(-1), scene().present
    state = fitted.init_filter(3)
    for t in range(2):
        state = fitted.update_filter(state, responsibilities[:, t])
    factor = fitted.factor(scene())
    factor.update(responsibilities, fitted, present)
    expected = exclusive.pair_scores(None, scene().mask)
    for found in (fitted.filtered(responsibilities, present), factor.expected(fitted), fitted.predictive(state)):
        is_same = (found.pair_scores(None, scene().mask) == expected).flatten(1).all(-1)
        assert is_same.tolist() == [True, False, True]


def test_rates_that_are_given_are_kept() -> None:
    given = make()
    assert given.fitted(scene()) is given


def test_scenes_come_with_their_own_rates_and_their_own_v() -> None:
    rates, index = torch.rand(4, 3), torch.tensor([2, 0, 2])
    together = PersistentAssignment(2, *rates)
    found = together.scenes(index)
    responsibilities, present = torch.rand(3, 5, 2, 3).softmax(-1), torch.ones(3, 5, dtype=torch.bool)
    expected = together.filtered(responsibilities[[1, 1, 2]], present)
    torch.testing.assert_close(
        found.filtered(responsibilities[[2, 1, 2]], present).log_detected()[[1, 0]],
        expected.log_detected()[[0, 2]],
        **EXACT,
    )
    torch.testing.assert_close(expected.scenes(index).log_detected(), expected.log_detected()[index], **EXACT)
    one = make().scenes(index)
    assert [float(rate) for rate in (one.hide, one.reappear)] == [HIDE, REAPPEAR]
    assert [float(rate) for rate in (one.detection, one.clutter)] == [DETECTED, CLUTTER]


def drawn_scenes(assignment: PersistentAssignment, is_stepwise: bool) -> tuple[Tensor, Tensor]:
    """v [2000, N, T] and whether each source is detected [2000, N, T], of scenes that the model draws."""
    room = toy_scene(1, 4, 6, N, missing=0.0)
    many = Scene(
        *(getattr(room, name).expand(2000, *getattr(room, name).shape[1:]) for name in room.__dataclass_fields__)
    )
    model = toy_model(N, vkf(), assignment, gaussian_likelihood(0.3))
    if is_stepwise:
        model = StepwiseMixtureModel(model.sources, assignment, model.likelihood, model.clutter)
    trace = pyro.poutine.trace(model).get_trace(many, generate=True)
    classes = trace.nodes["_RETURN"]["value"][1]
    if is_stepwise:
        bits = torch.cat([trace.nodes[f"v_{t}"]["value"] for t in range(4)], -2).squeeze(-1)
        visible = torch.stack([bits >> n & 1 for n in range(N)], 1).double()
        counts = torch.cat([trace.nodes[f"count_{t}"]["value"] for t in range(4)], -2)
        mask = torch.arange(6) < counts
    else:
        visible = visibility.marginal(trace.nodes["v"]["value"]).squeeze(1).squeeze(1)
        mask = trace.nodes["mask"]["value"]
    seen = torch.stack([((classes == n) & mask).any(-1) for n in range(N)], 1)
    return visible, seen.double()


@pytest.mark.parametrize("is_stepwise", [False, True], ids=["at once", "frame by frame"])
def test_drawn_scenes_hide_people(is_stepwise: bool) -> None:
    """Every other frame out of view, and as good as never detected there."""
    assignment = PersistentAssignment(N, DETECTED, CLUTTER, hide=0.5, reappear=0.5, ghost=1e-6)
    visible, seen = drawn_scenes(assignment, is_stepwise)
    assert_mean_close(visible, torch.full((N, 4), 0.5))
    assert not seen[visible == 0].any()
    assert_mean_close(seen[visible > 0], torch.tensor(DETECTED))


@pytest.mark.parametrize("is_stepwise", [False, True], ids=["at once", "frame by frame"])
def test_drawn_people_stay_out_of_view_for_a_while(is_stepwise: bool) -> None:
    visible, _ = drawn_scenes(PersistentAssignment(N, DETECTED, CLUTTER, hide=0.3, reappear=0.1), is_stepwise)
    share = 1.0
    for t in range(4):
        share = share * 0.7 + (1 - share) * 0.1
        assert_mean_close(visible[..., t], torch.full((N,), share))
    before, after = visible[..., :-1].flatten(), visible[..., 1:].flatten()
    assert_mean_close(after[before == 0], torch.tensor(0.1))
    assert_mean_close(after[before > 0], torch.tensor(0.7))


def test_predictive_draws_v_and_the_number_of_detections() -> None:
    room = toy_scene(2, 4, 6, N, missing=0.0)
    model = toy_model(N, vkf(), PersistentAssignment(N, DETECTED, CLUTTER, hide=0.5, reappear=0.5, ghost=1e-6))
    drawn = Predictive(model, num_samples=5)(room, generate=True)
    assert drawn["v"].shape == (5, 2, 1, 1, N, 4, 2, 2)
    assert drawn["mask"].shape == (5, 2, 4, 6)
    assert torch.equal(drawn["mask"].sum(-1, keepdim=True), drawn["count"].long())
    assert drawn["mask"].double().mean() < 0.7
