"""What every p(w) keeps: a test class that derives from `AssignmentContract` holds its prior to it."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro_mixdvae.guides import MeanField
from pyro_mixdvae.inference.algorithms import Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import Assignment
from pyro_mixdvae.testing.contract import Contract, assert_used
from pyro_mixdvae.testing.parts import toy_model, vkf
from pyro_mixdvae.testing.scenes import EXACT, assert_mean_close, toy_scene

SHAPES = pytest.mark.parametrize(("n_detections", "n_sources"), [(1, 1), (2, 2), (1, 3), (4, 2), (3, 3)])


def derived(assignment: Assignment) -> Assignment:
    """The same p(w) from `prior_logits` and `classes` alone: closed forms are gone."""
    base: Any = type(assignment)

    class Derived(base):  # type: ignore[misc]
        def prior_logits(self, mask: Tensor) -> Tensor:
            return super().prior_logits(mask)

    other = assignment.replace()
    other.__class__ = Derived
    return other


class AssignmentContract(Contract):
    """Derive, and say how the prior is made and what an assignment of one frame weighs."""

    def make(self, n_sources: int) -> Assignment:
        """The prior over assignments to N sources."""
        raise NotImplementedError

    def log_weight(self, n_sources: int, classes: tuple[int, ...]) -> float:
        """Logarithm of p(w) of the classes of a frame's detections, up to a constant; -inf where forbidden.

        Where the number of detections has a probability, `log p(w, K)` itself.
        """
        raise NotImplementedError

    counts = False
    """Whether p(w) says how many detections a frame has."""

    sums_to_one = True
    """Whether it is a distribution, and no expectation of logarithms."""

    def log_count(self, n_sources: int, n_detections: int) -> Tensor:
        """log p(K)."""
        if not self.counts:
            return torch.tensor(0.0)
        rows = product(range(n_sources + 1), repeat=n_detections)
        return torch.tensor([float(self.log_weight(n_sources, row)) for row in rows]).logsumexp(0)

    def brute_force(self, assignment: Assignment, log_likelihood: Tensor) -> tuple[Tensor, Tensor]:
        """log evidence, and responsibilities [K, C], of one frame's detections [K, C], summed over all of C^K."""
        n_detections, n_classes = log_likelihood.shape
        rows = list(product(range(n_classes), repeat=n_detections))
        prior = torch.tensor([float(self.log_weight(assignment.n_sources, row)) for row in rows]).log_softmax(0)
        likelihood = torch.stack(
            [sum((log_likelihood[k, c] for k, c in enumerate(row)), torch.tensor(0.0)) for row in rows]
        )
        weight = (prior + likelihood).softmax(0)
        eta = torch.zeros(n_detections, n_classes)
        for row, own in zip(rows, weight, strict=True):
            for k, c in enumerate(row):
                eta[k, c] += own
        return (prior + likelihood).logsumexp(0) + self.log_count(assignment.n_sources, n_detections), eta

    def example(self, n_detections: int, n_sources: int) -> tuple[Assignment, Tensor, Tensor]:
        """The prior, log likelihoods [2, 4, K, C] and a mask; in one frame nothing is seen."""
        assignment = self.make(n_sources)
        mask = torch.rand(2, 4, n_detections) < 0.7
        mask[0, 0] = False
        mask[0, 1] = True
        return assignment, 2 * torch.randn(2, 4, n_detections, assignment.n_classes), mask

    @SHAPES
    def test_evidence_and_responsibilities_are_sums_over_all_assignments(
        self, n_detections: int, n_sources: int
    ) -> None:
        assignment, log_likelihood, mask = self.example(n_detections, n_sources)
        evidence = assignment.log_evidence(log_likelihood, mask)
        eta = assignment.responsibilities(log_likelihood, mask)
        assert evidence.shape == (2, 4)
        assert eta.shape == log_likelihood.shape
        for b, t in product(range(2), range(4)):
            seen = mask[b, t]
            expected, shares = self.brute_force(assignment, log_likelihood[b, t, seen])
            torch.testing.assert_close(evidence[b, t], expected, **EXACT)
            torch.testing.assert_close(eta[b, t, seen], shares, **EXACT)
            assert not eta[b, t, ~seen].any()

    @SHAPES
    def test_closed_forms_are_those_that_follow_by_enumeration(self, n_detections: int, n_sources: int) -> None:
        assignment, log_likelihood, mask = self.example(n_detections, n_sources)
        enumerated = derived(assignment)
        for name in ("responsibilities", "posterior_logits", "most_likely", "log_evidence", "marginals"):
            assert getattr(type(enumerated), name) is getattr(Assignment, name), name
        for name in ("responsibilities", "most_likely", "log_evidence"):
            found, expected = (getattr(each, name)(log_likelihood, mask) for each in (assignment, enumerated))
            torch.testing.assert_close(found, expected, **EXACT)
        found, expected = (each.posterior_logits(log_likelihood, mask) for each in (assignment, enumerated))
        torch.testing.assert_close(found.softmax(-1), expected.softmax(-1), **EXACT)
        torch.testing.assert_close(
            assignment.marginals(found, mask), assignment.responsibilities(log_likelihood, mask), **EXACT
        )

    @SHAPES
    def test_the_number_of_detections_is_the_sum_over_all_assignments(self, n_detections: int, n_sources: int) -> None:
        assignment, _, mask = self.example(n_detections, n_sources)
        found = assignment.log_count(mask)
        if not self.counts:
            assert found is None
            assert torch.equal(assignment.sample_count(mask), mask.sum(-1))
            return
        assert found is not None
        assert found.shape == (2, 4)
        for b, t in product(range(2), range(4)):
            expected = self.log_count(n_sources, int(mask[b, t].sum()))
            torch.testing.assert_close(found[b, t], expected, **EXACT)

    @pytest.mark.parametrize("n_sources", [1, 3])
    def test_probabilities_of_all_numbers_of_detections_sum_to_one(self, n_sources: int) -> None:
        """And drawn numbers have them, up to what there is room for."""
        if not self.counts or not self.sums_to_one:
            return
        assignment, room = self.make(n_sources), 14
        mask = torch.arange(room) < torch.arange(room + 1)[:, None]
        log_count = assignment.log_count(mask.unsqueeze(0))
        assert log_count is not None
        probability = log_count.exp().squeeze(0)
        torch.testing.assert_close(probability.sum(), torch.tensor(1.0), rtol=1e-6, atol=0.0)
        drawn = assignment.sample_count(torch.ones(1, 4000, room, dtype=torch.bool)).long().squeeze(0)
        assert drawn.shape == (4000,)
        frequency = torch.nn.functional.one_hot(drawn, room + 1).double()
        likely = probability > 0.01
        assert_mean_close(frequency[:, likely], probability[likely])
        few = assignment.sample_count(torch.ones(1, 4000, 2, dtype=torch.bool))
        assert float(few.max()) == 2.0
        share = (few == 2).double().squeeze(0)
        assert_mean_close(share, probability[2:].sum())

    @SHAPES
    def test_slope_of_the_evidence_in_the_log_likelihood_is_the_responsibility(
        self, n_detections: int, n_sources: int
    ) -> None:
        assignment, log_likelihood, mask = self.example(n_detections, n_sources)
        log_likelihood.requires_grad_()
        (slope,) = torch.autograd.grad(assignment.log_evidence(log_likelihood, mask).sum(), log_likelihood)
        torch.testing.assert_close(slope, assignment.responsibilities(log_likelihood.detach(), mask), **EXACT)

    @SHAPES
    def test_logits_are_those_of_the_posterior_over_the_values_of_w(self, n_detections: int, n_sources: int) -> None:
        """q(w) as a Categorical, turned into classes, has the responsibilities as marginals."""
        assignment, log_likelihood, mask = self.example(n_detections, n_sources)
        logits = assignment.posterior_logits(log_likelihood, mask)
        probability = logits.softmax(-1)
        values = torch.arange(logits.shape[-1])
        if assignment.per_observation:
            assert logits.shape == log_likelihood.shape
            eta = probability
            torch.testing.assert_close(assignment.classes(values, n_detections), values)
        else:
            assert logits.shape[:-1] == (2, 4, 1)
            member = torch.nn.functional.one_hot(
                assignment.classes(values[:, None], n_detections), assignment.n_classes
            ).double()
            eta = torch.einsum("bte,ekc->btkc", probability.squeeze(-2), member)
        expected = assignment.responsibilities(log_likelihood, mask)
        torch.testing.assert_close(eta * mask.unsqueeze(-1), expected, **EXACT)

    @SHAPES
    def test_prior_is_normalised_and_weighs_assignments_as_it_should(self, n_detections: int, n_sources: int) -> None:
        assignment, log_likelihood, mask = self.example(n_detections, n_sources)
        prior = assignment.prior(mask)
        width = n_detections if assignment.per_observation else 1
        assert prior.batch_shape == (2, 4, width)
        torch.testing.assert_close(prior.probs.sum(-1), torch.ones(2, 4, width))
        nothing = assignment.responsibilities(torch.zeros_like(log_likelihood), mask)
        logits = assignment.posterior_logits(torch.zeros_like(log_likelihood), mask)
        torch.testing.assert_close(logits.softmax(-1), prior.probs)
        _, expected = self.brute_force(assignment, torch.zeros(n_detections, assignment.n_classes))
        torch.testing.assert_close(nothing[0, 1], expected, **EXACT)

    @SHAPES
    def test_most_likely_assignment_is_the_best_of_all(self, n_detections: int, n_sources: int) -> None:
        assignment, log_likelihood, mask = self.example(n_detections, n_sources)
        found = assignment.most_likely(log_likelihood, mask)
        assert found.shape == log_likelihood.shape
        for b, t in product(range(2), range(4)):
            seen = mask[b, t]
            own = log_likelihood[b, t, seen]
            rows = list(product(range(assignment.n_classes), repeat=int(seen.sum())))
            weights = [
                self.log_weight(n_sources, row) + sum(float(own[k, c]) for k, c in enumerate(row)) for row in rows
            ]
            best = rows[weights.index(max(weights))]
            assert tuple(found[b, t, seen].argmax(-1).tolist()) == best
            torch.testing.assert_close(found[b, t].sum(-1), seen.double())

    stands_alone = True
    """Whether a model takes it as it is: not where it is one of some frames, given what is known of them."""

    def test_inference_uses_it(self) -> None:
        if not self.stands_alone:
            return
        scene = toy_scene(2, 4, 2, 2)

        def run(part: Assignment) -> None:
            infer(toy_model(2, vkf(), part), scene, MeanField, Coordinate(1))

        assert_used(self.make(2), "prior_logits", run)

    def test_without_detections_the_evidence_is_that_of_none(self) -> None:
        assignment = self.make(2)
        log_likelihood, mask = torch.randn(2, 4, 2, assignment.n_classes), torch.zeros(2, 4, 2, dtype=torch.bool)
        expected = self.log_count(2, 0).expand(2, 4)
        torch.testing.assert_close(assignment.log_evidence(log_likelihood, mask), expected, **EXACT)

    def test_far_detections_do_not_break_anything(self) -> None:
        """Log likelihoods of -1e5, which a detection at the other end of the image has."""
        assignment = self.make(3)
        log_likelihood = torch.full((2, 1, 4, assignment.n_classes), -1e5)
        log_likelihood[..., -1] = -3.0
        log_likelihood[0, 0, 0, 1] = 10.0
        mask = torch.ones(2, 1, 4, dtype=torch.bool)
        eta = assignment.responsibilities(log_likelihood, mask)
        assert assignment.log_evidence(log_likelihood, mask).isfinite().all()
        torch.testing.assert_close(eta.sum(-1), torch.ones(2, 1, 4))
        assert float(eta[0, 0, 0, 1]) > 0.99
