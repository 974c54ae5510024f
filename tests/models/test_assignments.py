"""The priors over assignments that exist keep the contract of `Assignment`."""

import math
from collections.abc import Sequence
from itertools import product

import pytest
import torch
from contracts.assignments import AssignmentContract
from toys import EXACT

from pyro_mixdvae.distributions.exclusive import event_table
from pyro_mixdvae.models import (
    AdaptiveIndependentAssignment,
    ExclusiveAssignment,
    IndependentAssignment,
    PersistentAssignment,
    Scene,
)


class TestIndependent(AssignmentContract):
    def make(self, n_sources: int) -> IndependentAssignment:
        return IndependentAssignment(n_sources)

    def log_weight(self, n_sources: int, classes: tuple[int, ...]) -> float:
        return 0.0


class TestIndependentWithClutter(AssignmentContract):
    def make(self, n_sources: int) -> IndependentAssignment:
        return IndependentAssignment(n_sources, clutter=0.2)

    def log_weight(self, n_sources: int, classes: tuple[int, ...]) -> float:
        return sum(math.log(0.2 if c == n_sources else 0.8 / n_sources) for c in classes)


class TestAdaptive(TestIndependentWithClutter):
    def make(self, n_sources: int) -> IndependentAssignment:
        return AdaptiveIndependentAssignment(n_sources, torch.tensor(0.2))


class TestExclusive(AssignmentContract):
    detection_probability = (0.8, 0.8, 0.8)  # of sources 0, 1 and 2
    clutter_rate = 0.3

    def make(self, n_sources: int) -> ExclusiveAssignment:
        return ExclusiveAssignment(n_sources, self.detection_probability[0], self.clutter_rate)

    def log_weight(self, n_sources: int, classes: tuple[int, ...]) -> float:
        return log_exclusive(self.detection_probability[:n_sources], self.clutter_rate, classes)


class TestExclusiveOfSourcesWithRatesOfTheirOwn(TestExclusive):
    detection_probability = (0.9, 0.5, 0.25)

    def make(self, n_sources: int) -> ExclusiveAssignment:
        each = torch.tensor(self.detection_probability[:n_sources])
        return ExclusiveAssignment(n_sources, each[None, None], self.clutter_rate)


class TestPersistent(TestExclusive):
    """By itself, without a word of other frames, it is exclusive and all sources are visible."""

    def make(self, n_sources: int) -> PersistentAssignment:
        return PersistentAssignment(n_sources, 0.8, self.clutter_rate, hides=0.2, reappears=0.3)


def log_exclusive(detection_probability: Sequence[float], clutter_rate: float, classes: tuple[int, ...]) -> float:
    """`log prod_n [P_D or 1 - P_D] rate^clutter` of the classes of a frame's detections; -inf where not exclusive."""
    taken = [c for c in classes if c < len(detection_probability)]
    if len(set(taken)) < len(taken):
        return -math.inf
    each = sum(math.log(p if n in taken else 1 - p) for n, p in enumerate(detection_probability))
    return each + (len(classes) - len(taken)) * math.log(clutter_rate)


class TestExclusiveWithManyDetections:
    """Where joint events are too many to list, they are summed all the same."""

    @pytest.mark.parametrize("n_sources", [2, 4])
    def test_padding_with_missing_detections_changes_nothing(self, n_sources: int) -> None:
        few = ExclusiveAssignment(n_sources)
        log_likelihood = 2 * torch.randn(1, 3, 3, n_sources + 1)
        mask = torch.tensor([[[True, True, True], [True, False, True], [False, False, False]]])
        padding = torch.zeros(1, 3, 22, n_sources + 1)
        longer = torch.cat([padding, log_likelihood], 2)
        longer_mask = torch.cat([torch.zeros(1, 3, 22, dtype=torch.bool), mask], 2)
        assert few.can_enumerate(3)
        assert not few.can_enumerate(25)
        torch.testing.assert_close(
            few.log_evidence(longer, longer_mask), few.log_evidence(log_likelihood, mask), **EXACT
        )
        eta = few.responsibilities(longer, longer_mask)
        torch.testing.assert_close(eta[:, :, 22:], few.responsibilities(log_likelihood, mask), **EXACT)
        assert not eta[:, :, :22].any()

    def test_twelve_sources_have_responsibilities_that_sum_to_one(self) -> None:
        assignment = ExclusiveAssignment(12)
        log_likelihood = 5 * torch.randn(2, 3, 15, 13)
        mask = torch.rand(2, 3, 15) < 0.8
        eta = assignment.responsibilities(log_likelihood, mask)
        torch.testing.assert_close(eta.sum(-1), mask.double())
        assert (eta >= 0).all()
        assert (eta[..., :-1].sum(-2) <= 1 + 1e-6).all()
        assert assignment.log_evidence(log_likelihood, mask).isfinite().all()


class TestRatesOfAScene:
    def scene(self) -> Scene:
        """Of two sources: all seen; half seen; three times as much as there is; nothing; and padding."""
        mask = torch.zeros(5, 4, 6, dtype=torch.bool)
        mask[0, :, :2] = True
        mask[1, :, 1] = True
        mask[2] = True
        mask[4, :2, 3:5] = True
        observations = torch.where(mask.unsqueeze(-1), torch.rand(5, 4, 6, 4), torch.nan)
        present = torch.ones(5, 4, dtype=torch.bool)
        present[4, 2:] = False
        return Scene.of(observations, torch.rand(5, 2, 4), present)

    def test_rates_come_from_the_number_of_detections_of_each_scene(self) -> None:
        fitted = ExclusiveAssignment(2, 0.9, clutter_rate=None).fitted_to(self.scene())
        probability = torch.tensor([0.9, 0.5, 0.9, 0.3, 0.9])
        clutter = torch.tensor([0.2, 0.01, 4.2, 0.01, 0.2])
        torch.testing.assert_close(fitted.detection_probability, probability)
        expected = torch.log(probability / (1 - probability) / clutter)
        torch.testing.assert_close(fitted.log_pair.flatten(), expected)

    def test_rates_that_are_given_are_kept(self) -> None:
        given = ExclusiveAssignment(2, 0.9, 0.1)
        assert given.fitted_to(self.scene()) is given
        independent = IndependentAssignment(2)
        assert independent.fitted_to(self.scene()) is independent

    def test_clutter_is_found_in_the_scenes_that_have_more_detections_than_sources(self) -> None:
        scene = self.scene()
        fitted = AdaptiveIndependentAssignment(2).fitted_to(scene)
        assert fitted.has_clutter
        share = fitted.prior(scene.mask).probs[:, 0, 0]
        none = torch.tensor([0.5, 0.5, 0.0])
        expected = torch.stack([none, none, torch.tensor([0.92, 0.92, 4.16]) / 6, none, none])
        torch.testing.assert_close(share, expected)

    @pytest.mark.parametrize("scenes", [[0, 1, 3, 4], [1]])
    def test_without_more_detections_than_sources_it_is_the_paper_s(self, scenes: list[int]) -> None:
        scene = self.scene()
        seen = torch.where(scene.mask.unsqueeze(-1), scene.observations, torch.nan)
        few = Scene.of(seen[scenes], scene.start[scenes], scene.present[scenes])
        fitted = AdaptiveIndependentAssignment(2).fitted_to(few)
        assert not fitted.has_clutter
        torch.testing.assert_close(fitted.prior(few.mask).probs, torch.full((len(scenes), 4, 6, 2), 0.5))

    def test_clutter_does_not_occur_where_its_share_is_zero(self) -> None:
        fitted = AdaptiveIndependentAssignment(2, torch.tensor([0.0, 0.3]))
        log_likelihood = torch.tensor([-1e5, -2e5, 0.0]).expand(2, 1, 1, 3)
        eta = fitted.responsibilities(log_likelihood, torch.ones(2, 1, 1, dtype=torch.bool)).squeeze()
        torch.testing.assert_close(eta, torch.tensor([[1.0, 0, 0], [0, 0, 1]]))

    def test_each_scene_of_a_batch_has_its_own_rates(self) -> None:
        rates = torch.tensor([0.7, 0.9]), torch.tensor([0.3, 0.05])
        together = ExclusiveAssignment(2, *rates)
        log_likelihood, mask = torch.randn(2, 3, 4, 3), torch.rand(2, 3, 4) < 0.7
        for b in range(2):
            alone = ExclusiveAssignment(2, float(rates[0][b]), float(rates[1][b]))
            own = log_likelihood[b : b + 1], mask[b : b + 1]
            for name in ("responsibilities", "log_evidence", "posterior_logits", "most_likely"):
                found = getattr(together, name)(log_likelihood, mask)[b : b + 1]
                torch.testing.assert_close(found, getattr(alone, name)(*own), **EXACT)
            torch.testing.assert_close(together.prior(mask).probs[b : b + 1], alone.prior(own[1]).probs)

    def test_each_frame_and_source_has_its_own_rates(self) -> None:
        probability, clutter = 0.1 + 0.8 * torch.rand(2, 3, 2), torch.tensor([0.3, 0.05])
        together = ExclusiveAssignment(2, probability, clutter)
        log_likelihood, mask = torch.randn(2, 3, 4, 3), torch.rand(2, 3, 4) < 0.7
        for b, t in product(range(2), range(3)):
            alone = ExclusiveAssignment(2, probability[b, t].expand(1, 1, 2), float(clutter[b]))
            here = slice(b, b + 1), slice(t, t + 1)
            picked = together.of_scenes(torch.tensor([b])).frames(slice(t, t + 1))
            own = log_likelihood[here], mask[here]
            for name in ("responsibilities", "log_evidence", "posterior_logits", "most_likely"):
                expected = getattr(alone, name)(*own)
                torch.testing.assert_close(getattr(together, name)(log_likelihood, mask)[here], expected, **EXACT)
                torch.testing.assert_close(getattr(picked, name)(*own), expected, **EXACT)
            torch.testing.assert_close(together.prior(mask).probs[here], alone.prior(own[1]).probs)

    def test_scenes_come_in_the_order_that_is_asked_for(self) -> None:
        probability, clutter = torch.rand(3, 4, 2), torch.rand(3)
        index = torch.tensor([2, 0, 2])
        for rates in [(probability, clutter), (probability[:, :1], clutter), (clutter, probability[:, 0, 0])]:
            found = ExclusiveAssignment(2, *rates).of_scenes(index)
            assert torch.equal(found.detection_probability, rates[0][index])
            assert torch.equal(found.clutter_rate, rates[1][index])
        one = ExclusiveAssignment(2, 0.7, 0.3).of_scenes(index)
        assert (float(one.detection_probability), float(one.clutter_rate)) == (0.7, 0.3)

    @pytest.mark.parametrize("is_one_for_all", [True, False])
    def test_rates_that_are_the_same_in_all_frames_are_those_of_any(self, is_one_for_all: bool) -> None:
        probability = torch.tensor(0.7) if is_one_for_all else torch.rand(2, 1, 2)
        assignment = ExclusiveAssignment(2, probability, 0.3)
        assert assignment.frames(slice(3, 5)) is assignment

    @pytest.mark.parametrize("shape", [(), (2,), (2, 1, 3), (2, 4, 3)], ids=str)
    def test_pairs_are_relative_to_all_sources_missed_and_all_detections_clutter(self, shape: tuple[int, ...]) -> None:
        """With that and the clutter's rate an event weighs what the rates say, not only in proportion to others."""
        probability, clutter = 0.1 + 0.8 * torch.rand(shape), torch.tensor([0.3, 0.05])
        assignment = ExclusiveAssignment(3, probability, clutter)
        scores = assignment.pair_scores(None, torch.ones(2, 4, 2, dtype=torch.bool))
        missed = assignment.log_all_missed().expand(2, 4)
        each = probability.reshape(*shape, *[1] * (3 - len(shape))).expand(2, 4, 3)
        for b, t in product(range(2), range(4)):
            for event in event_table(2, 3).tolist():
                found = missed[b, t] + sum(scores[b, t, k, n] for k, n in enumerate(event) if n < 3)
                expected = log_exclusive(each[b, t].tolist(), float(clutter[b]), tuple(event))
                assert float(found + 2 * clutter[b].log()) == pytest.approx(expected, rel=1e-9)
