"""What does not go together is refused before anything runs, with the part and the two numbers."""

from typing import Any

import pytest
import torch
from pyro.distributions import TorchDistribution
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import MeanField
from pyro_mixdvae.inference.algorithms import SVI, Coordinate, Hybrid
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.published import Published
from pyro_mixdvae.models import (
    EstimatedNoise,
    ExclusiveAssignment,
    Huber,
    IndependentAssignment,
    LearnedScale,
    Likelihood,
    MixtureModel,
    PersistentAssignment,
    PowerNoise,
    Scene,
    StudentT,
)
from pyro_mixdvae.models import Normal as NormalLikelihood
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.testing.parts import gaussian_likelihood, lively_kinematic, relative_noise, toy_model, vkf
from pyro_mixdvae.testing.scenes import toy_scene


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is made is a failure of its own."""

    def fail(*_: Any) -> None:
        raise AssertionError("an engine was made before all was checked")

    monkeypatch.setattr("pyro_mixdvae.inference.chain_updates.chain_engine", fail)


def test_the_test_would_notice_that_something_runs() -> None:
    with pytest.raises(AssertionError, match="before all was checked"):
        infer(toy_model(2), toy_scene())


class OwnStatement(MixtureModel):
    def observe_labels(self, scene: Scene, s: Tensor, scenes: Any) -> None:
        pass


class OwnForward(MixtureModel):
    def forward(self, scene: Scene, generate: bool = False) -> tuple[Tensor, Tensor | None]:
        raise RuntimeError


class OwnSight(NormalLikelihood):
    def locate(self, contents: Tensor) -> Tensor:
        return super().locate(contents) + 1


def with_parts(**parts: Any) -> MixtureModel:
    return toy_model(2, lively_kinematic()).replace(**parts)


def each(size: int, rate: float = 0.5) -> Tensor:
    return torch.full((size,), rate)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: toy_model(3), "IndependentAssignment has 3 sources, and the scene 2"),
        (lambda: toy_model(2, assignment=ExclusiveAssignment(4)), "ExclusiveAssignment has 4 sources, and the scene 2"),
        (lambda: with_parts(assignment=ExclusiveAssignment(2, each(3), 0.1)), "`detection` of shape \\(3,\\)"),
        (lambda: with_parts(assignment=ExclusiveAssignment(2, 0.9, each(3))), "`clutter` of shape \\(3,\\)"),
        (
            lambda: with_parts(assignment=ExclusiveAssignment(2, torch.full((2, 7, 2), 0.5), 0.1)),
            "`detection` of shape \\(2, 7, 2\\), and the scenes are of \\(2, 4, 2\\)",
        ),
        (
            lambda: with_parts(assignment=ExclusiveAssignment(2, torch.full((1, 1, 3), 0.5), 0.1)),
            "`detection` of shape \\(1, 1, 3\\), and the scenes are of \\(2, 4, 2\\)",
        ),
        (
            lambda: with_parts(assignment=ExclusiveAssignment(2, torch.full((2, 2), 0.5), 0.1)),
            "`detection` of shape \\(2, 2\\), and the scenes are of \\(2,\\)",
        ),
        (lambda: with_parts(assignment=PersistentAssignment(2, 0.9, 0.1, hide=each(3))), "`hide` of shape \\(3,\\)"),
        (
            lambda: with_parts(assignment=PersistentAssignment(2, 0.9, 0.1, reappear=each(3))),
            "PersistentAssignment has a `reappear` of shape \\(3,\\), and the scenes are of \\(2,\\)",
        ),
        (lambda: with_parts(assignment=IndependentAssignment(2, each(3))), "`log_prior` of shape \\(3, 1, 1, 3\\)"),
        (
            lambda: with_parts(likelihood=gaussian_likelihood((0.1, 0.1, 0.1))),
            "RelativeNoise has a `relative` of shape \\(3,\\), and the scenes are of \\(4,\\)",
        ),
        (lambda: with_parts(likelihood=gaussian_likelihood(torch.full((3, 1), 0.1))), "`relative` of shape \\(3, 1\\)"),
        (
            lambda: with_parts(likelihood=NormalLikelihood(EstimatedNoise(CentreLogSize().unit, torch.ones(3, 1)))),
            "EstimatedNoise has a `relative` of shape \\(3, 1\\), and the scenes are of \\(2, 1\\)",
        ),
        (lambda: with_parts(likelihood=LearnedScale(relative_noise(), 6)), "`log_factor` of shape \\(6,\\)"),
        (lambda: with_parts(sources=lively_kinematic().float()), "is of torch.float32, and the scene of torch.float64"),
        (lambda: OwnForward(vkf(), IndependentAssignment(2), gaussian_likelihood()), "OwnForward has a `forward`"),
        (lambda: OwnStatement(vkf(), IndependentAssignment(2), gaussian_likelihood()), "has a `observe_labels` of its"),
        (lambda: with_parts(likelihood=OwnSight(relative_noise())), "OwnSight sees contents through a `locate` of its"),
    ],
)
def test_parts_that_do_not_fit_the_scenes(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        infer(make(), toy_scene())


def test_parts_of_one_s_own_are_asked_too() -> None:
    class Picky(NormalLikelihood):
        def check(self, scene: Scene) -> None:
            raise InputError("not these scenes")

    with pytest.raises(InputError, match="not these scenes"):
        infer(with_parts(likelihood=Picky(relative_noise())), toy_scene())


def test_labels_that_look_like_nothing() -> None:
    model = MixtureModel(vkf(), IndependentAssignment(2), gaussian_likelihood())
    with pytest.raises(InputError, match="the scene has labels, and the model does not say what labels are like"):
        infer(model, toy_scene(is_labelled=True))


def test_devices() -> None:
    model = toy_model(2, lively_kinematic().to("meta"))
    with pytest.raises(InputError, match=r"the model's Linear.weight is on meta, and the scene on cpu: move one"):
        infer(model, toy_scene())


@pytest.mark.parametrize("first", [-1, 4])
def test_a_start_in_a_frame_that_is_not_there(first: int) -> None:
    with pytest.raises(InputError, match=f"the start is at frame {first}, and the scene has frames 0 to 3"):
        infer(toy_model(2), toy_scene(), first=first)


def test_a_guide_that_is_none() -> None:
    with pytest.raises(InputError, match="a guide of type str: give a class of guides, or a Pyro program"):
        infer(toy_model(2), toy_scene(), guide="mean_field")


@pytest.mark.parametrize("algorithm", [Coordinate(), Hybrid()])
def test_a_program_without_closed_form_updates(algorithm: Any) -> None:
    def program(scene: Scene) -> None:
        pass

    with pytest.raises(InputError, match="The guide program has no closed-form updates: infer with the algorithm SVI"):
        infer(toy_model(2), toy_scene(), guide=program, algorithm=algorithm)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Coordinate(0), "0 iterations are too few"),
        (lambda: SVI(n_steps=0), "0 steps are too few"),
        (lambda: SVI(n_particles=-1), "-1 particles are too few"),
        (lambda: SVI(learning_rate=0.0), "a learning rate of 0.0: it has to be positive"),
        (lambda: SVI(learning_rate=float("nan")), "a learning rate of nan"),
        (lambda: Published(n_iterations=0), "0 iterations are too few"),
        (lambda: StudentT(relative_noise(), df=0.0), "Student's t with 0.0 degrees of freedom"),
        (lambda: Huber(relative_noise(), threshold=-1.0), "Huber's density with a threshold of -1.0"),
        (lambda: PowerNoise(0.0), "noise of 0.0 of the power"),
        (lambda: PowerNoise(floor=0.0), "0.0 at least: both have to be positive"),
    ],
)
def test_numbers_that_mean_nothing(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_the_published_algorithm_is_for_its_model() -> None:
    with pytest.raises(InputError, match="for an SRNN with a Gaussian likelihood, and this is KinematicSources with"):
        infer(toy_model(2), toy_scene(), guide=MeanField, algorithm=Published())


def test_a_likelihood_that_says_nothing_cannot_be_made() -> None:
    class Nothing(Likelihood):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Nothing(relative_noise())  # type: ignore[abstract]


def test_a_density_of_one_s_own_is_taken() -> None:
    """What is checked lets through what a user may write."""

    class Own(Likelihood):
        def observe(self, content: Tensor, scale: Tensor) -> TorchDistribution:
            return NormalLikelihood(self.noise).observe(content, scale)

    with pytest.raises(AssertionError, match="before all was checked"):
        infer(with_parts(likelihood=Own(relative_noise())), toy_scene())
