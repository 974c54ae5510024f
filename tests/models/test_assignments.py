"""The priors over assignments that exist keep the contract of `Assignment`."""

import math
from collections.abc import Sequence
from itertools import product

import pytest
import torch

from pyro_mixdvae.distributions.exclusive import event_table
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import (
    AdaptiveIndependentAssignment,
    ExclusiveAssignment,
    IndependentAssignment,
    LearnedWeights,
    PersistentAssignment,
    Scene,
)
from pyro_mixdvae.testing.assignments import AssignmentContract
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close, toy_scene


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
    """With one detection of each source and a quarter of one of clutter."""

    def make(self, n_sources: int) -> IndependentAssignment:
        detected = 0.92 * n_sources
        fitted = AdaptiveIndependentAssignment(n_sources).fitted_to_count(torch.tensor([1.25 * detected] * 2), CROWDED)
        assert fitted.has_clutter
        return fitted


class TestLearnedWeights(AssignmentContract):
    """By itself, and for weights that are given."""

    weights = (0.5, 0.2, 0.15, 0.1)  # of sources 0, 1, 2, and of clutter

    def make(self, n_sources: int) -> LearnedWeights:
        own = torch.tensor([*self.weights[:n_sources], self.weights[3]])
        return LearnedWeights(n_sources, 2.0, clutter=0.5).given((own / own.sum()).expand(2, -1))

    def log_weight(self, n_sources: int, classes: tuple[int, ...]) -> float:
        return sum(math.log(self.weights[3 if c == n_sources else c]) for c in classes)

    def test_by_itself_it_weighs_as_the_mean_of_the_prior(self) -> None:
        assignment, mask = LearnedWeights(3, 2.0, clutter=0.5), torch.ones(1, 1, 1, dtype=torch.bool)
        mean = assignment.latent_prior(toy_scene(1, 2, 2, 3)).mean
        torch.testing.assert_close(assignment.prior(mask).probs, mean)
        assert not LearnedWeights(3).has_clutter


class TestExclusive(AssignmentContract):
    counts = True
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
    """By itself, without a word of v, it is exclusive and all sources are visible."""

    def make(self, n_sources: int) -> PersistentAssignment:
        return PersistentAssignment(n_sources, 0.8, self.clutter_rate, hide=0.2, reappear=0.3)


class TestPersistentGivenWhoHides(TestExclusive):
    """Source 1 is hidden: its chance of a detection is `ghost`."""

    stands_alone = False
    detection_probability = (0.8, 0.05, 0.8)

    def make(self, n_sources: int) -> PersistentAssignment:
        assignment = PersistentAssignment(n_sources, 0.8, self.clutter_rate, 0.2, 0.3, ghost=0.05)
        visible = torch.tensor([1.0, 0.0, 1.0])[:n_sources]
        pairs = torch.zeros(n_sources, 1, 2, 2)  # alike in all frames
        pairs[..., 1, 1], pairs[..., 1, 0] = visible.unsqueeze(-1), 1 - visible.unsqueeze(-1)
        return assignment.given(pairs.unsqueeze(0))

    def log_weight(self, n_sources: int, classes: tuple[int, ...]) -> float:
        return log_exclusive(self.detection_probability[:n_sources], self.clutter_rate, classes)


class TestPersistentOfAFilter(TestExclusive):
    """What is hidden with some probability is detected with a mean one."""

    stands_alone = False
    detection_probability = (0.8 * 0.9 + 0.05 * 0.1, 0.8 * 0.5 + 0.05 * 0.5, 0.8)

    def make(self, n_sources: int) -> PersistentAssignment:
        assignment = PersistentAssignment(n_sources, 0.8, self.clutter_rate, 0.2, 0.3, ghost=0.05)
        return assignment.predictive(torch.tensor([[0.9, 0.5, 1.0]])[:, :n_sources])


class TestPersistentUnderAFactor(TestPersistentGivenWhoHides):
    """`exp E_q(v)[log p(w, K | v)]`: logarithms are averaged, and it sums to less than one."""

    sums_to_one = False

    def make(self, n_sources: int) -> PersistentAssignment:
        assignment = PersistentAssignment(n_sources, 0.8, self.clutter_rate, 0.2, 0.3, ghost=0.05)
        visible = torch.tensor([0.9, 0.5, 1.0])[:n_sources]
        pairs = torch.zeros(n_sources, 1, 2, 2)  # alike in all frames
        pairs[..., 1, 1], pairs[..., 1, 0] = visible.unsqueeze(-1), 1 - visible.unsqueeze(-1)
        return assignment.given(pairs.unsqueeze(0))

    def log_weight(self, n_sources: int, classes: tuple[int, ...]) -> float:
        total = log_exclusive([0.5] * n_sources, self.clutter_rate, classes) - n_sources * math.log(0.5)
        for n, visible in enumerate((0.9, 0.5, 1.0)[:n_sources]):
            of_visible, of_hidden = (0.8, 0.05) if n in classes else (0.2, 0.95)
            total += visible * math.log(of_visible) + (1 - visible) * math.log(of_hidden)
        return total


CROWDED = torch.tensor([True, True])


def log_exclusive(detection: Sequence[float], clutter: float, classes: tuple[int, ...]) -> float:
    """`log prod_n [P_D or 1 - P_D] rate^c e^-rate / K!` of the classes of a frame; -inf where not exclusive."""
    taken = [c for c in classes if c < len(detection)]
    if len(set(taken)) < len(taken):
        return -math.inf
    each = sum(math.log(p if n in taken else 1 - p) for n, p in enumerate(detection))
    n_clutter = len(classes) - len(taken)
    return each + n_clutter * math.log(clutter) - clutter - math.lgamma(len(classes) + 1)


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
        fitted = ExclusiveAssignment(2, 0.9).fitted(self.scene())
        probability = torch.tensor([0.9, 0.5, 0.9, 0.3, 0.9])
        clutter = torch.tensor([0.2, 0.01, 4.2, 0.01, 0.2])
        torch.testing.assert_close(fitted.detection, probability)
        torch.testing.assert_close(fitted.clutter, clutter)
        pairs = fitted.pair_scores(None, torch.ones(5, 4, 6, dtype=torch.bool))
        expected = torch.log(probability / (1 - probability) / clutter)
        torch.testing.assert_close(pairs, expected[:, None, None, None].expand(5, 4, 6, 2))

    def test_rates_that_are_given_are_kept(self) -> None:
        given = ExclusiveAssignment(2, 0.9, 0.1)
        assert given.fitted(self.scene()) is given
        independent = IndependentAssignment(2)
        assert independent.fitted(self.scene()) is independent

    def test_fitting_leaves_the_part_as_it_is_and_keeps_its_class(self) -> None:
        class Own(ExclusiveAssignment):
            def sample_count(self, mask: torch.Tensor) -> torch.Tensor:
                return torch.zeros(mask.shape[:-1])

        given = Own(2)
        fitted = given.fitted(self.scene())
        assert type(fitted) is Own
        assert fitted.clutter.shape == (5,)
        assert given.clutter.shape == ()
        assert given.is_estimated

    def test_clutter_is_found_in_the_scenes_that_have_more_detections_than_sources(self) -> None:
        scene = self.scene()
        fitted = AdaptiveIndependentAssignment(2).fitted(scene)
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
        fitted = AdaptiveIndependentAssignment(2).fitted(few)
        assert not fitted.has_clutter
        torch.testing.assert_close(fitted.prior(few.mask).probs, torch.full((len(scenes), 4, 6, 2), 0.5))

    def test_clutter_does_not_occur_where_its_share_is_zero(self) -> None:
        fitted = IndependentAssignment(2, torch.tensor([0.0, 0.3]))
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
            picked = together.scenes(torch.tensor([b])).frames(slice(t, t + 1))
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
            found = ExclusiveAssignment(2, *rates).scenes(index)
            assert torch.equal(found.detection, rates[0][index])
            assert torch.equal(found.clutter, rates[1][index])
        one = ExclusiveAssignment(2, 0.7, 0.3).scenes(index)
        assert (float(one.detection), float(one.clutter)) == (0.7, 0.3)

    @pytest.mark.parametrize("is_one_for_all", [True, False])
    def test_rates_that_are_the_same_in_all_frames_are_those_of_any(self, is_one_for_all: bool) -> None:
        probability = torch.tensor(0.7) if is_one_for_all else torch.rand(2, 1, 2)
        assignment = ExclusiveAssignment(2, probability, 0.3)
        assert assignment.frames(slice(3, 5)) is assignment

    @pytest.mark.parametrize("shape", [(), (2,), (2, 1, 3), (2, 4, 3)], ids=str)
    def test_pairs_are_relative_to_all_sources_missed_and_all_detections_clutter(self, shape: tuple[int, ...]) -> None:
        """With `log_none` an event weighs what the rates say, not only in proportion to others."""
        probability, clutter = 0.1 + 0.8 * torch.rand(shape), torch.tensor([0.3, 0.05])
        assignment = ExclusiveAssignment(3, probability, clutter)
        mask = torch.ones(2, 4, 2, dtype=torch.bool)
        scores, none = assignment.pair_scores(None, mask), assignment.log_none(mask)
        assert none.shape == (2, 4)
        each = probability.reshape(*shape, *[1] * (3 - len(shape))).expand(2, 4, 3)
        for b, t in product(range(2), range(4)):
            for event in event_table(2, 3).tolist():
                found = none[b, t] + sum(scores[b, t, k, n] for k, n in enumerate(event) if n < 3)
                expected = log_exclusive(each[b, t].tolist(), float(clutter[b]), tuple(event))
                assert float(found) == pytest.approx(expected, rel=1e-9)


class TestLatentsOfLearnedWeights:
    def test_the_prior_is_a_dirichlet_for_each_scene(self) -> None:
        prior = LearnedWeights(2, 3.0, clutter=0.5).latent_prior(toy_scene(4))
        assert prior.batch_shape == (4, 1, 1)
        assert prior.event_shape == (3,)
        torch.testing.assert_close(prior.concentration[0, 0, 0], torch.tensor([3.0, 3.0, 1.5]))

    def test_the_factor_is_at_first_the_prior_and_its_update_counts(self) -> None:
        scene = toy_scene(3, 4, 3, 2)
        assignment = LearnedWeights(2, 3.0, clutter=0.5)
        factor = assignment.factor(scene)
        torch.testing.assert_close(factor.log_concentration.exp(), torch.tensor([[3.0, 3.0, 1.5]]).expand(3, -1))
        eta = torch.randn(3, 4, 3, 3).softmax(-1) * scene.mask.unsqueeze(-1)
        factor.update(eta, assignment, scene.present)
        concentration = factor.log_concentration.exp()
        torch.testing.assert_close(concentration, torch.tensor([3.0, 3.0, 1.5]) + eta.sum((1, 2)), **EXACT)
        expected = factor.expected(assignment)
        draws = torch.distributions.Dirichlet(concentration.detach()).sample((20000,)).log()
        assert_mean_close(draws, expected.prior_logits(scene.mask)[:, 0, 0])
        assert type(expected) is LearnedWeights

    def test_closed_updates_are_stationary_points_of_the_enumerated_bound(self) -> None:
        """E-pi in the concentrations, and E-W in its logits, of the bound with q(pi) q(w) for a given s."""
        scene = toy_scene(2, 4, 3, 2)
        assignment = LearnedWeights(2, 3.0, clutter=0.5)
        log_likelihood = torch.randn(2, 4, 3, 3)
        factor = assignment.factor(scene)
        logits = assignment.posterior_logits(log_likelihood, scene.mask)
        for _ in range(300):
            factor.update(assignment.marginals(logits, scene.mask), assignment, scene.present)
            logits = factor.expected(assignment).posterior_logits(log_likelihood, scene.mask)

        def bound(log_concentration: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
            concentration = log_concentration.exp()
            q = torch.distributions.Dirichlet(concentration)
            mean_log = torch.digamma(concentration) - torch.digamma(concentration.sum(-1, keepdim=True))
            log_q = logits.log_softmax(-1)
            each = log_q.exp() * (mean_log[:, None, None] + log_likelihood - log_q)
            prior = torch.distributions.Dirichlet(assignment.alpha.expand(2, -1))
            divergence = torch.distributions.kl_divergence(q, prior)
            return (each * scene.mask.unsqueeze(-1)).sum() - divergence.sum()

        at = [factor.log_concentration.detach().clone().requires_grad_(), logits.detach().clone().requires_grad_()]
        best = bound(*at)
        for slope in torch.autograd.grad(best, at):
            torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-6)
        for _ in range(20):
            moved = bound(*(part + 0.1 * torch.randn_like(part) for part in at))
            assert moved < best
        # No more than the evidence, in which weights are integrated out: the mean over many of them.
        weights = torch.distributions.Dirichlet(assignment.alpha).sample((100000,))
        each = (weights[:, None, None, None] * log_likelihood.exp()).sum(-1).log()
        evidence = torch.where(scene.mask, each, 0.0).sum((-2, -1)).logsumexp(0) - math.log(100000)
        assert 0 < float(evidence.sum() - best.detach()) < 2.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IndependentAssignment(0), "an assignment to 0 sources"),
        (lambda: ExclusiveAssignment(-1), "an assignment to -1 sources"),
        (lambda: IndependentAssignment(2, -0.1), "clutter with probability -0.1"),
        (lambda: IndependentAssignment(2, 1.0), "clutter with probability 1.0"),
        (lambda: ExclusiveAssignment(2, 1.5), "a detection probability of 1.5"),
        (lambda: ExclusiveAssignment(2, 0.0), "a detection probability of 0.0"),
        (lambda: ExclusiveAssignment(2, float("nan")), "a detection probability of nan"),
        (lambda: ExclusiveAssignment(2, torch.tensor([0.5, 1.0])), "a detection probability of"),
        (lambda: ExclusiveAssignment(2, 0.9, 0.0), "0.0 clutter detections a frame"),
        (lambda: ExclusiveAssignment(2, 0.9, -1.0), "-1.0 clutter detections a frame"),
        (lambda: PersistentAssignment(2, torch.full((1, 1, 2), 0.9)), "one detection probability a scene"),
        (lambda: PersistentAssignment(2, hide=-0.1), "a probability to hide of -0.1"),
        (lambda: PersistentAssignment(2, reappear=1.1), "a probability to reappear of 1.1"),
        (lambda: PersistentAssignment(2, ghost=0.0), "hidden sources are detected with probability 0.0"),
        (lambda: LearnedWeights(2, 0.0), "a concentration of 0.0"),
        (lambda: LearnedWeights(2, 1.0, -0.5), "clutter -0.5"),
        (lambda: LearnedWeights(0), "an assignment to 0 sources"),
    ],
)
def test_what_is_no_assignment_is_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


class Alternating(IndependentAssignment):
    """A user's own: detections of even columns are more likely those of source 0."""

    def prior_logits(self, mask: torch.Tensor) -> torch.Tensor:
        even = (torch.arange(mask.shape[-1]) % 2 == 0).double()
        return torch.stack([even, *[torch.zeros_like(even)] * (self.n_classes - 1)], -1).expand(*mask.shape, -1)


def test_overriding_p_of_w_changes_all_that_follows() -> None:
    mask, log_likelihood = torch.ones(1, 1, 3, dtype=torch.bool), torch.randn(1, 1, 3, 2)
    own = Alternating(2)
    weight = torch.stack([torch.tensor([1.0, 0.0, 1.0]), torch.zeros(3)], -1)
    expected = (weight + log_likelihood[0, 0]).softmax(-1)
    torch.testing.assert_close(own.responsibilities(log_likelihood, mask)[0, 0], expected, **EXACT)
    best = own.most_likely(log_likelihood, mask)
    assert torch.equal(best.argmax(-1)[0, 0], expected.argmax(-1))
    evidence = (weight.log_softmax(-1) + log_likelihood[0, 0]).logsumexp(-1).sum()
    torch.testing.assert_close(own.log_evidence(log_likelihood, mask)[0, 0], evidence, **EXACT)


@pytest.mark.parametrize("name", ["latent_prior", "given", "factor"])
def test_an_assignment_without_a_latent_says_so(name: str) -> None:
    with pytest.raises(TypeError, match="IndependentAssignment has no latent"):
        getattr(IndependentAssignment(2), name)(None)
