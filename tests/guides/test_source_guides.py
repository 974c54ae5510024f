"""The guides that exist keep the contract of a guide."""

import pytest
import torch
from contracts.guides import GuideContract
from pyro import poutine
from toys import ASSIGNMENTS, EXACT, toy_scene, vkf

from pyro_mixdvae.guides import MeanField, SourceGuide
from pyro_mixdvae.models import IndependentAssignment, Scene, Sources


class TestSourceGuide(GuideContract):
    def make(self, sources: Sources, scene: Scene) -> SourceGuide:
        return SourceGuide(sources, scene)

    def test_w_is_left_to_the_model(self) -> None:
        scene = toy_scene()
        assert "w" not in poutine.trace(SourceGuide(vkf(), scene)).get_trace(scene).nodes


class TestMeanField(GuideContract):
    def make(self, sources: Sources, scene: Scene) -> SourceGuide:
        return MeanField(sources, IndependentAssignment(scene.n_sources), scene)

    @pytest.mark.parametrize("kind", ASSIGNMENTS)
    def test_responsibilities_are_those_of_the_update(self, kind: str) -> None:
        scene = toy_scene(n_detections=3, n_sources=2)
        assignment = ASSIGNMENTS[kind](2)
        guide = MeanField(vkf(), assignment, scene)
        log_likelihood = 3 * torch.randn(2, 4, 3, assignment.n_classes)
        guide.set_assignments(assignment.posterior_logits(log_likelihood, scene.mask))
        expected = assignment.responsibilities(log_likelihood, scene.mask)
        torch.testing.assert_close(guide.responsibilities(scene), expected, **EXACT)

    @pytest.mark.parametrize("kind", ASSIGNMENTS)
    def test_before_any_update_q_of_w_is_the_prior(self, kind: str) -> None:
        scene = toy_scene()
        assignment = ASSIGNMENTS[kind](2)
        guide = MeanField(vkf(), assignment, scene)
        torch.testing.assert_close(guide.logits.softmax(-1), assignment.prior(scene.mask).probs)
