"""The page of verdicts as a whole: what ships passes, and which methods of a user's were called is said."""

from functools import partial
from typing import Any

import pyro
import pytest
import torch
from planted import boxes, noisy_sums, sounds, sums
from pyro.distributions import Delta, Normal, TorchDistribution
from pyro.distributions import StudentT as StudentTDensity
from torch import Tensor, nn

from pyro_mixdvae import check_elbo
from pyro_mixdvae.check.cases import case_of
from pyro_mixdvae.check.groups import judge
from pyro_mixdvae.check.groups.stationarity import slope_rows
from pyro_mixdvae.check.report import GROUPS, PATH, SITES, SLOPES, TERMS, Report, W
from pyro_mixdvae.guides import Collapsed, Factorised, Guide, MeanField
from pyro_mixdvae.inference.algorithms import SVI, Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import ExclusiveAssignment, Likelihood, MixtureModel, RelativeNoise
from pyro_mixdvae.models import Normal as NormalLikelihood
from pyro_mixdvae.models.clutter import Bystanders
from pyro_mixdvae.models.mixture import Plates, plates
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.testing.parts import EVERY_ASSIGNMENT, relative_noise, relative_vkf, toy_model, vkf
from pyro_mixdvae.testing.scenes import toy_scene


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the evaluator, one by one: the verdict is in their standard errors, however many there are."""
    monkeypatch.setattr(judge, "N_DRAWS", 20)


def verdicts(report: Report, group: str) -> dict[str, str]:
    return {row.name: row.verdict for row in report.of(group)}


@pytest.mark.parametrize("kind", ["independent with clutter", "persistent", "learned weights"])
def test_what_ships_is_right(kind: str) -> None:
    scene = toy_scene(1, 2, 2, 2)
    found = check_elbo(toy_model(2, vkf(), EVERY_ASSIGNMENT[kind](2)), scene)
    assert found.is_right, found
    assert {row.group for row in found.rows} == set(GROUPS)
    assert found.to_json()["is_right"]
    assert "log p(o|w,s)" in str(found)


def with_a_bystander() -> tuple[MixtureModel, Scene]:
    """One source, and another that moves as it does."""
    walks = torch.tensor([[0.3, 0.3, -2.3, -2.3], [0.7, 0.7, -2.3, -2.3]]) + 0.01 * torch.arange(4.0)[:, None, None]
    model = toy_model(1, vkf(0.02, 0.05, 0.05), ExclusiveAssignment(1, 0.9, 0.3))
    return model, Scene.of(walks[None], walks[None, 0, :1])


def test_a_scene_with_a_bystander_is_right() -> None:
    """What inference has found of it is part of the model that is looked at, and of these frames only."""
    model, scene = with_a_bystander()
    assert isinstance(infer(model, scene, MeanField, Coordinate(2)).model.clutter, Bystanders)
    found = check_elbo(model, scene)
    assert found.is_right, found
    assert verdicts(found, SITES)["padding"] == "not checked"


def test_the_slope_of_a_prior_that_nothing_is_learned_of_is_none() -> None:
    """Without detections q(pi) is p(pi), whose difference is zero wherever one looks; but not that of its slopes."""
    scene = toy_scene(1, 1, 2, 2)
    scene.mask[:] = False
    found = check_elbo(toy_model(2, vkf(), EVERY_ASSIGNMENT["learned weights"](2)), scene, groups=(SLOPES,))
    assert found.is_right, found
    assert verdicts(found, SLOPES)["E-V: q(pi)"] == "right"


def test_updates_are_those_of_the_model_that_they_found() -> None:
    """Another run may find other bystanders than the one before."""
    case = case_of(*with_a_bystander(), MeanField)
    clutter = case.model.clutter
    assert isinstance(clutter, Bystanders)
    other = case._replace(model=case.model.replace(clutter=clutter.replace(mean=clutter.mean + 0.05)))
    rows = slope_rows(other, other, None)
    assert [row.name for row in rows if row.verdict == "wrong"] == []
    assert "E-W: log q(w) against its optimum" in [row.name for row in rows]


@pytest.mark.parametrize("make", [sounds, sums, noisy_sums, partial(noisy_sums, is_additive=False)])
def test_sounds_that_ship_are_right(make: Any) -> None:
    example = make()
    found = check_elbo(example.model, example.scene)
    assert found.is_right, found


def test_a_scene_is_drawn_where_none_is_given() -> None:
    found = check_elbo(toy_model(2, vkf()), groups=(TERMS, SITES))
    assert found.is_right, found


class Heavy(Likelihood):
    """As in the guide to contributing: one method."""

    def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
        return StudentTDensity(5.0, content, scale).to_event(1)


class Mistyped(NormalLikelihood):
    def expected_log_probs(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Tensor:
        return self.log_prob(observed, mean, scale)


class Unasked(NormalLikelihood):
    """The site of the tangent is what E-S asks for; nobody asks for `predictive` of the collapsed guide's start."""

    def conjugate(self) -> bool:
        return True

    def log_prob(self, observed: Tensor, content: Tensor, scale: Tensor) -> Tensor:
        return super().log_prob(observed, content, scale)

    def expected_log_prob(self, observed: Tensor, mean: Tensor, variance: Tensor, scale: Tensor) -> Tensor:
        return Normal(mean, scale).log_prob(observed).sum(-1) - 0.5 * (variance / scale.square()).sum(-1)


def test_the_path_says_which_methods_were_called() -> None:
    example = boxes()
    model = example.model.replace(likelihood=Heavy(relative_noise()))
    found = check_elbo(model, example.scene, groups=(PATH,))
    assert verdicts(found, PATH)["Heavy.observe"] == "right"
    assert found.is_right
    model = example.model.replace(likelihood=Mistyped(relative_noise()))
    (row,) = check_elbo(model, example.scene, groups=(PATH,)).wrong
    assert row.name == "Mistyped.expected_log_probs"
    assert "`expected_log_prob` meant" in row.hint
    model = example.model.replace(likelihood=Unasked(relative_noise()))
    (row,) = check_elbo(model, example.scene, groups=(PATH,)).wrong
    assert row.name == "Unasked.log_prob"
    assert row.reference == "never"


class OwnNoise(RelativeNoise):
    """What intervals alone ask for."""

    def repeated(self, content: Tensor) -> Tensor:
        return 2 * self.at(content)

    def followed(self, content: Tensor) -> Tensor:
        return 3 * self.at(content)


def test_what_intervals_alone_ask_for_is_not_said_to_be_wrong() -> None:
    example = boxes()
    known = example.model.likelihood.noise
    model = example.model.replace(likelihood=NormalLikelihood(OwnNoise(known.unit, known.relative, known.relative_to)))
    found = check_elbo(model, example.scene, groups=(PATH,))
    assert found.is_right, found
    said = verdicts(found, PATH)
    assert said["OwnNoise.repeated"] == said["OwnNoise.followed"] == "not checked"


def test_a_method_that_is_set_on_an_object_is_what_runs() -> None:
    example = boxes()
    likelihood = example.model.likelihood.replace()
    likelihood.expected_log_prob = lambda *arguments: NormalLikelihood.expected_log_prob(likelihood, *arguments)
    model = example.model.replace(likelihood=likelihood, sources=relative_vkf())
    engine, row = check_elbo(model, example.scene, groups=(PATH,)).of(PATH)
    assert engine.claimed == "torch"
    assert "`expected_log_prob`, which was set on an object of Normal" in engine.hint
    assert row.verdict == "right"


class Points(Guide):
    """q(s) of independent numbers of one width, with a place for z."""

    def __init__(self, model: Any, scene: Scene):
        super().__init__(model, scene)
        start = scene.start.unsqueeze(-2).expand(-1, -1, scene.n_frames, -1)
        self.mean = nn.Parameter(torch.cat([start, 0 * start], -1))
        self.log_width = nn.Parameter(torch.tensor(-3.0))

    def forward(self, scene: Scene) -> None:
        with plates(scene).scenes:
            q = Normal(self.mean[:, None, None], self.log_width.exp()).to_event(3)
            s = pyro.sample("q_s", q, infer={"is_auxiliary": True})
            pyro.sample("sz", Delta(s, event_dim=3))


def test_a_program_is_checked_where_svi_leaves_it() -> None:
    example = boxes()
    found = check_elbo(example.model, example.scene, Points, SVI(3), groups=(TERMS, SLOPES, SITES))
    assert found.is_right, found
    assert any("SVI has not ended" in row.hint for row in found.of(SLOPES))


def test_a_guide_that_is_given_is_looked_at_where_it_is() -> None:
    example = boxes()
    guide = infer(example.model, example.scene, MeanField, Coordinate(3)).guide
    with torch.no_grad():
        guide.offset.add_(0.5)
    found = check_elbo(example.model, example.scene, guide, groups=(TERMS, SLOPES))
    assert found.is_right
    gains = [row for row in found.of(SLOPES) if row.verdict == "approximate"]
    assert "mean of q(s,z)" in " ".join(row.name for row in gains)


class Renamed(MeanField):
    """Nothing is new, and all is inherited."""


class Stubborn(MeanField):
    """A q(w) that asks for no logits of its own."""

    def draw_assignments(self, scene: Scene, every: Plates) -> None:
        self.logits = self.logits if self.logits is not None else nn.Parameter(self.assignment.prior_logits(scene.mask))
        super().draw_assignments(scene, every)


@pytest.mark.parametrize(
    ("guide", "collapsed", "evidence"),
    [
        (MeanField, "right", "right"),
        (Factorised, "right", "right"),
        (Renamed, "right", "right"),
        (Stubborn, "Stubborn has a q(w) also without its logits", "right"),
        (Collapsed, "Collapsed is no MeanField", "of closed-form updates of a MeanField only"),
    ],
)
def test_bounds_are_compared_or_it_is_said_why_not(guide: Any, collapsed: str, evidence: str) -> None:
    found = check_elbo(toy_model(2, vkf()), toy_scene(1, 2, 2, 2), guide, groups=(W,))
    rows = {row.name: row for row in found.of(W)}
    for name, expected in (("ELBO <= collapsed bound", collapsed), ("ELBO <= log p(o)", evidence)):
        row = rows[name]
        said = row.verdict if row.verdict != "not checked" else row.method
        assert expected in said, (name, said)
