"""Sources that hide, against sums over all ways for them to be visible and hidden."""

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from toys import EXACT

from pyro_mixdvae.distributions.exclusive import event_table
from pyro_mixdvae.models import ExclusiveAssignment, PersistentAssignment, Scene

T, K, N = 3, 2, 2
DETECTED, CLUTTER, HIDES, REAPPEARS = 0.8, 0.3, 0.15, 0.4
EVENTS = event_table(K, N)
WHOLE = torch.cartesian_prod(*[torch.arange(len(EVENTS))] * T)
"""All ways to choose a joint event for each frame, [7^3, T]."""


def make() -> PersistentAssignment:
    return PersistentAssignment(N, DETECTED, CLUTTER, HIDES, REAPPEARS)


def eta() -> Tensor:
    """`WHOLE` as responsibilities [7^3, T, K, C]."""
    return one_hot(EVENTS[WHOLE], N + 1).double()


def log_joint(n_frames: int) -> Tensor:
    """`log sum_v p(w, v)` of each of `WHOLE` in its first frames, for any number of detections: v one by one."""
    is_detected = (eta()[:, :n_frames, :, :N] > 0).any(-2)
    n_clutter = eta()[:, :n_frames, :, N].sum((-2, -1))
    total = torch.zeros(len(WHOLE))
    for path in product((0.0, 1.0), repeat=n_frames * N):
        visible = torch.tensor(path).view(n_frames, N)
        to_visible = visible[:-1] * (1 - HIDES) + (1 - visible[:-1]) * REAPPEARS
        prior = visible[0].prod() * torch.where(visible[1:] > 0, to_visible, 1 - to_visible).prod()
        detected = visible * DETECTED
        total += prior * torch.where(is_detected, detected, 1 - detected).prod(-1).prod(-1)
    return total.log() + n_clutter * torch.tensor(CLUTTER).log()


@pytest.mark.parametrize("n_frames", [1, 2, 3])
def test_the_frames_one_after_the_other_make_up_the_sum_over_all_ways_to_hide(n_frames: int) -> None:
    """`p(w) = prod_t p(w_t | w_<t)`, in scenes that end after so many frames."""
    present = (torch.arange(T) < n_frames).expand(len(WHOLE), -1)
    responsibilities = eta() * present[..., None, None]
    along = make().along(responsibilities, present)
    scores = along.pair_scores(None, present.unsqueeze(-1).expand(-1, -1, K))
    paired = torch.where(responsibilities[..., :N] > 0, scores, 0.0).sum((-2, -1))
    factors = paired + along.log_all_missed() + K * torch.tensor(CLUTTER).log()
    torch.testing.assert_close((factors * present).sum(-1), log_joint(n_frames), **EXACT)


def test_each_frame_given_the_others_is_what_the_sum_over_all_ways_to_hide_says() -> None:
    """`p(w_t | w of the other frames)`, the number of detections given: Bayes' rule among all joint events."""
    present = torch.ones(len(WHOLE), T, dtype=torch.bool)
    found = make().between(eta(), present).prior(torch.ones(len(WHOLE), T, K, dtype=torch.bool)).probs
    joint = log_joint(T).view([len(EVENTS)] * T)
    for t in range(T):
        expected = joint.softmax(t).movedim(t, -1).unsqueeze(t).expand(*joint.shape, -1)
        torch.testing.assert_close(found[:, t, 0], expected.flatten(0, -2), **EXACT)


@pytest.mark.parametrize("is_one_for_all", [True, False])
def test_a_filter_that_remembers_is_told_what_all_frames_are_told_at_once(is_one_for_all: bool) -> None:
    rates = torch.tensor([[0.8, 0.6], [0.3, 1.0], [0.1, 0.3], [0.2, 0.5]])
    assignment = PersistentAssignment(3, *(rates[:, 0] if is_one_for_all else rates))
    responsibilities = torch.randn(2, 6, 4, 4).softmax(-1) * (torch.rand(2, 6, 4, 1) < 0.4)
    along = assignment.along(responsibilities, torch.ones(2, 6, dtype=torch.bool))
    assert along.log_pair.shape == (2, 6, 1, 3)
    log_likelihood, mask = torch.randn(2, 6, 4, 4), torch.rand(2, 6, 4) < 0.8
    expected = along.responsibilities(log_likelihood, mask)
    state = None
    for t in range(6):
        here = slice(None), slice(t, t + 1)
        step = assignment.at(state)
        torch.testing.assert_close(step.log_pair.expand(2, 1, 1, 3), along.log_pair[here], **EXACT)
        torch.testing.assert_close(step.responsibilities(log_likelihood[here], mask[here]), expected[here], **EXACT)
        state = assignment.remember(state, responsibilities[:, t])


def test_who_was_missed_is_likely_to_be_missed_again_and_who_is_seen_to_be_seen() -> None:
    """A source that is missed in frames 2 to 7 of 10: what one frame should say there, and what those around do."""
    seen = torch.zeros(1, 10, 1, 2)
    seen[0, [0, 1, 8, 9], 0, 0] = 1.0
    assignment = PersistentAssignment(1, 0.9, 0.5, hides=0.01, reappears=0.05)
    present = torch.ones(1, 10, dtype=torch.bool)
    along, between = (
        each(seen, present).detection_probability.flatten() for each in (assignment.along, assignment.between)
    )
    assert (between[[0, 9]] > 0.85).all()
    assert (between[3:7] < 0.15).all()
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


def test_where_no_scene_is_crowded_frames_are_independent() -> None:
    few = scene().scenes(torch.tensor([0, 2]))
    fitted, expected = (
        assignment.fitted_to(few)
        for assignment in (PersistentAssignment(2, 0.9), ExclusiveAssignment(2, 0.9, clutter_rate=None))
    )
    assert type(fitted) is ExclusiveAssignment
    torch.testing.assert_close(fitted.log_pair, expected.log_pair)
    responsibilities = torch.rand(2, 6, 4, 3)
    assert fitted.along(responsibilities, few.present) is fitted
    assert fitted.between(responsibilities, few.present) is fitted


def test_only_the_crowded_scenes_of_a_batch_hide_sources() -> None:
    """In the others the weights are those of `ExclusiveAssignment` to the last bit, whatever was seen."""
    fitted = PersistentAssignment(2, 0.9, hides=0.1, reappears=0.3).fitted_to(scene())
    assert type(fitted) is PersistentAssignment
    torch.testing.assert_close(fitted.hides, torch.tensor([0.0, 0.1, 0.0]))
    torch.testing.assert_close(fitted.reappears, torch.tensor([1.0, 0.3, 1.0]))
    exclusive = ExclusiveAssignment(2, 0.9, clutter_rate=None).fitted_to(scene())
    assert torch.equal(fitted.detection_probability, exclusive.detection_probability)
    assert torch.equal(fitted.clutter_rate, exclusive.clutter_rate)
    responsibilities, present = torch.rand(3, 6, 4, 3).softmax(-1) * scene().mask.unsqueeze(-1), scene().present
    state = fitted.remember(fitted.remember(None, responsibilities[:, 0]), responsibilities[:, 1])
    for found in (fitted.along(responsibilities, present), fitted.between(responsibilities, present), fitted.at(state)):
        is_same = (found.log_pair == exclusive.log_pair).flatten(1).all(-1)
        assert is_same.tolist() == [True, False, True]


def test_rates_that_are_given_are_kept() -> None:
    given = make()
    assert given.fitted_to(scene()) is given


def test_scenes_come_with_their_own_rates() -> None:
    rates, index = torch.rand(4, 3), torch.tensor([2, 0, 2])
    found = PersistentAssignment(2, *rates).of_scenes(index)
    responsibilities, present = torch.rand(3, 5, 2, 3).softmax(-1), torch.ones(3, 5, dtype=torch.bool)
    expected = PersistentAssignment(2, *rates).between(responsibilities[[1, 1, 2]], present)
    torch.testing.assert_close(
        found.between(responsibilities[[2, 1, 2]], present).log_pair[[1, 0]], expected.log_pair[[0, 2]], **EXACT
    )
    one = make().of_scenes(index)
    assert [float(rate) for rate in (one.hides, one.reappears)] == [HIDES, REAPPEARS]
    assert [float(rate) for rate in (one.detection_probability, one.clutter_rate)] == [DETECTED, CLUTTER]


def test_sources_that_start_later_are_looked_at_backwards_before() -> None:
    """All are visible where they start: what lies before and after it tell nothing of each other."""
    responsibilities, present = torch.rand(2, 7, 2, 3).softmax(-1), torch.ones(2, 7, dtype=torch.bool)
    assignment = make()
    found = assignment.between(responsibilities, present, first=3).detection_probability
    after = assignment.between(responsibilities[:, 3:], present[:, 3:]).detection_probability
    before = assignment.between(responsibilities[:, :4].flip(1), present[:, :4]).detection_probability
    torch.testing.assert_close(found[:, 3:], after, **EXACT)
    torch.testing.assert_close(found[:, :4], before.flip(1), **EXACT)
