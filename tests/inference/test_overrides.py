"""What a subclass overrides changes the result, or is refused: every public method of every part, on every engine."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from pyro.distributions import Categorical, Dirichlet, Independent, Normal, TorchDistribution
from pyro.distributions import StudentT as StudentTDensity
from torch import Tensor

from pyro_mixdvae.distributions.gaussian_chain import GaussianChain
from pyro_mixdvae.distributions.visibility import VisibilityChain
from pyro_mixdvae.engines.registry import only_torch
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import Collapsed, Factorised, MeanField, contract
from pyro_mixdvae.inference.algorithms import SVI, Coordinate
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.models import (
    Assignment,
    EstimatedNoise,
    ExclusiveAssignment,
    IndependentAssignment,
    KinematicSources,
    LastingError,
    LearnedWeights,
    MixtureModel,
    NearlyExactLabels,
    Part,
    PersistentAssignment,
    RelativeNoise,
    RepeatedError,
    Scene,
    SizedClutter,
    SRNNSources,
    Step,
    StudentT,
)
from pyro_mixdvae.models import Normal as NormalLikelihood
from pyro_mixdvae.models.assignments.contract import Factor
from pyro_mixdvae.models.sources.contract import SourceSequence
from pyro_mixdvae.models.systematic import Wander
from pyro_mixdvae.process_state import seeded
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.testing.parts import PRIORS
from pyro_mixdvae.testing.scenes import toy_scene
from pyro_mixdvae.tracking.summary import wander_of

UNIT = CentreLogSize().noise_unit


def sized(n_detections: int) -> Scene:
    return toy_scene(2, 3, n_detections, 2, is_padded=True, is_labelled=True)


def noise() -> EstimatedNoise:
    return EstimatedNoise(UNIT, 0.2)


BASES: dict[str, Callable[[], Part]] = {
    "normal": lambda: NormalLikelihood(noise()),
    "student t": lambda: StudentT(noise()),
    "noise": noise,
    "relative noise": lambda: RelativeNoise(UNIT, 0.2, "start"),
    "clutter": SizedClutter,
    "labels": lambda: NearlyExactLabels(UNIT, 0.1),
    "systematic": RepeatedError,
    "lasting": LastingError,
    "kinematic": PRIORS["kinematic"],
    "srnn": PRIORS["srnn"],
    "independent": lambda: IndependentAssignment(2, 0.1),
    "exclusive": lambda: ExclusiveAssignment(2),
    "persistent": lambda: PersistentAssignment(2, hide=0.2, reappear=0.3),
    "learned weights": lambda: LearnedWeights(2, 2.0, 0.5),
}
GUIDES = {"mean field": MeanField, "collapsed": Collapsed, "factorised": Factorised}
OF_KERNELS = (NormalLikelihood, KinematicSources, IndependentAssignment, ExclusiveAssignment, PersistentAssignment)
"""Of these the compiled engine knows the exact types; noise, clutter, labels and errors enter as numbers."""


def model_of(part: Part) -> MixtureModel:
    """A model in which the part stands in its place."""
    torch.manual_seed(3)
    own = part if isinstance(part, NormalLikelihood | StudentT) else NormalLikelihood(noise())
    return MixtureModel(
        part if isinstance(part, KinematicSources | SRNNSources) else PRIORS["kinematic"](),
        part if isinstance(part, Assignment) else PersistentAssignment(2, 0.8, 0.1, hide=0.2, reappear=0.3),
        own.replace(noise=part) if isinstance(part, RelativeNoise) else own,
        part if isinstance(part, SizedClutter) else SizedClutter(),
        part if isinstance(part, NearlyExactLabels) else NearlyExactLabels(UNIT, 0.1),
        part if isinstance(part, RepeatedError) else RepeatedError(),
    )


def public(cls: type) -> list[str]:
    """The methods and properties of this package that may be overridden."""
    own = [base for base in cls.__mro__ if base.__module__.startswith("pyro_mixdvae")]
    names = {
        name for base in own for name, value in vars(base).items() if callable(value) or isinstance(value, property)
    }
    return sorted(name for name in names if not name.startswith("_") and name not in NOT_OVERRIDDEN)


NOT_OVERRIDDEN = {
    "replace": "how inference makes another part of the same class: no statement of the model",
    "check": "says what is refused: it changes no result",
    "check_sizes": "likewise",
    "state_chain": "what the frame-by-frame specification reads of p(v)",
    "log_known_states": "likewise",
    "in_states": "likewise",
    "n_classes": "follows from the attributes n_sources and has_clutter",
    "state_size": "follows from content_dim, latent_dim and whether there is an encoder; checked where it does not fit",
    "content_dim": "the size of the scene",
    "latent_dim": "the size of the network's z",
    "start_variance": "a number that is given",
    "is_linear": "says whether the ELBO has a closed form, which then is the same",
    "rates": "reads attributes, for users; nothing in the package decides by it",
    "hides": "reads an attribute: a shortcut where nobody does",
}


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, Tensor):
        if not value.is_floating_point():
            return torch.where(value == 0, value.max(), value)  # what was of the first source is of the last class
        pattern = 1 + torch.arange(value.numel()).remainder(3).reshape(value.shape).to(value.dtype)
        return value + 0.05 * pattern
    if isinstance(value, StudentTDensity):
        return StudentTDensity(value.df, value.loc + 0.05, 1.2 * value.scale)
    if isinstance(value, RelativeNoise):
        return value.replace(relative=1.2 * value.relative)
    if isinstance(value, KinematicSources | SRNNSources):
        return value.replace(start_spread=1.2 * value.start_spread)
    if isinstance(value, SizedClutter):
        return value.replace(spread=1.2 * value.spread)
    if isinstance(value, Factor):
        expected = value.expected
        value.expected = lambda assignment: changed(expected(assignment))  # type: ignore[method-assign]
        return value
    if isinstance(value, Categorical):
        return Categorical(logits=changed(value.logits))
    if isinstance(value, Dirichlet):
        return Dirichlet(changed(value.concentration))
    if isinstance(value, Normal):
        return Normal(value.loc + 0.05, 1.2 * value.scale)
    if isinstance(value, Independent):
        return changed(value.base_dist).to_event(value.reinterpreted_batch_ndims)
    if isinstance(value, VisibilityChain):
        return VisibilityChain(type(value.rates)(*(0.8 * rate for rate in value.rates)), *value.event_shape[:2])
    if isinstance(value, SourceSequence):
        return SourceSequence(value.sources, value.start + 0.05, value.present)
    if isinstance(value, Step):
        return Step(value.latent, lambda z: changed(value.emission(z)))
    if isinstance(value, Assignment):
        if isinstance(value, ExclusiveAssignment):
            return value.replace(detection=0.7 * value.detection)
        return value.replace(log_prior=changed(value.log_prior))
    if isinstance(value, Wander):
        return Wander(value.shift + 0.05, value.variance + 0.05)
    if isinstance(value, tuple):
        parts = [changed_number(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return changed_otherwise(value)


def changed_number(value: Any) -> Any:
    """Within a tuple covariances have to stay such."""
    return 1.1 * value if isinstance(value, Tensor) and value.is_floating_point() else value


def changed_otherwise(value: Any) -> Any:
    if isinstance(value, TorchDistribution):
        other = type(value).__new__(type(value))
        other.__dict__.update(value.__dict__)
        for name in ("loc", "mean", "rate"):
            if isinstance(value.__dict__.get(name), Tensor):
                other.__dict__[name] = value.__dict__[name] + 0.05
        return other
    raise TypeError(f"this test does not know how to change a {type(value).__name__}: say how")


PROBABILITIES = ("marginals", "most_likely", "responsibilities", "seen")
"""More than all of a detection would be nobody's idea of one."""


def overriding(part: Part, name: str) -> Part:
    """The same part of a subclass in which one method gives something else."""
    base = type(part)
    inherited = getattr(base, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if name == "sample_count":
            return (inherited(self, *args, **kwargs) - 1).clamp(min=0)
        if name == "latent_posterior" and isinstance(self, KinematicSources):
            return Normal(0.1 * args[0], 1.0).to_event(2)
        value = inherited(self, *args, **kwargs)
        if name == "log_count" and value is None:
            return torch.zeros(args[0].shape[:2]) - 0.5
        if value is None:
            return torch.ones(2, 2)  # what a filter would carry
        return 0.9 * value if name in PROBABILITIES else changed(value)

    other = part.replace()
    other.__class__ = type("Mine", (base,), {name: method})
    return other


def tensors(posterior: Posterior) -> list[Tensor]:
    terms = [term for record in posterior.records for term in record.values()]
    return [posterior.mean, posterior.variance, posterior.responsibilities, *terms]


SCENES = ("crowded, and starts late", "more joint events than are listed")


@cache
def scene_of(of: str) -> Scene:
    torch.manual_seed(4)
    return sized(4 if of == SCENES[0] else 17)


def coordinate(model: MixtureModel, of: str) -> Posterior:
    late, iterations = (1, 1) if of == SCENES[0] else (0, 2)  # what is fitted shows in the second
    return infer(model, scene_of(of), MeanField, Coordinate(iterations), late)


def outputs(model: MixtureModel) -> dict[str, Callable[[], list[Tensor]]]:
    def svi() -> list[Tensor]:
        torch.manual_seed(4)
        return tensors(infer(model, sized(3), Collapsed, SVI(2)))

    def generated() -> list[Tensor]:
        torch.manual_seed(4)
        scene = sized(3)
        torch.manual_seed(5)
        with torch.no_grad():
            contents, classes = model(scene, generate=True)
        return [contents, classes]

    def intervals() -> list[Tensor]:
        torch.manual_seed(4)
        posterior = infer(model, sized(3), MeanField, Coordinate(2))
        seen = posterior.responsibilities[..., :2].sum(-2).clamp(max=1.0).transpose(1, 2)
        found = posterior.model
        return [found.systematic.variance(found.likelihood.noise, posterior.mean, seen), *wander_of(posterior)]

    def start() -> list[Tensor]:
        """What chooses between two starts, and what the local search tries."""
        torch.manual_seed(4)
        engine = TorchChainEngine(model, sized(4))
        found = engine.filter(keeps=True)
        own = engine.filtered_assignment(found.responsibilities)
        index = torch.tensor([1])
        copy = engine.with_scene(model.replace(assignment=model.assignment.scenes(index)), engine.scene.scenes(index))
        window = engine.windows(found, index, torch.tensor([[1, 2]]))
        return [
            own.log_evidence(found.log_likelihood, engine.scene.mask),
            copy.filter(is_hard=False).responsibilities,
            window.filter(is_hard=False).responsibilities,
        ]

    return {"svi": svi, "generated": generated, "intervals": intervals, "start": start}


def differ(one: list[Tensor], other: list[Tensor]) -> bool:
    if len(one) != len(other) or any(a.shape != b.shape for a, b in zip(one, other, strict=True)):
        return True
    return any(bool(((a - b).abs() > 1e-7 * (1 + b.abs())).any()) for a, b in zip(one, other, strict=True))


NO_LATENT = "p(w) has no latent of its own, and `latent_name` says so: none is asked for"
NO_STATE = "frames are independent: `predictive` takes nothing from what a filter carries"
ELSEWHERE: dict[str, tuple[str, str]] = {
    "conjugate": ("", "a shortcut: sites that are the same wherever q(s) is are found in one step, else in several"),
    "is_shared": ("", "a shortcut of kernels, which otherwise take the scale of every source; nobody else asks"),
    "relative noise.fitted": ("", "`is_estimated` says that there is nothing to fit"),
    "relative noise.begun": ("", "likewise"),
    "kinematic.fitted": ("", "likewise"),
    "srnn.fitted": ("", "likewise"),
    "known_within": ("", "only a block that begins at a frame of another knows its start so"),
    "windows": ("start", "which frames the local search looks at again"),
    "repeated": ("intervals", "the scale of what repeats in every frame, which intervals hold"),
    "followed": ("", "errors that last alone ask for it, where enough is seen to tell their scale (`test_lasting`)"),
    "relative noise.at": ("intervals", "how an observation errs at a content, which is what repeats"),
    "noise.at": ("", "it says itself what repeats; the published algorithm alone starts from it"),
    "variance": ("intervals", "of the error that repeats, which intervals hold"),
    "wander": ("intervals", "what boxes have beside s, once inference is done"),
    "factor": ("", NO_LATENT),
    "given": ("", NO_LATENT),
    "latent_prior": ("", NO_LATENT),
    "init_filter": ("", NO_STATE),
    "update_filter": ("", NO_STATE),
    "filtered": ("start", "what the start is chosen by"),
    "log_evidence": ("start", "what the start is chosen by, and w summed out"),
    "independent.sample_count": ("", "how many detections there are is given, as `log_count` says"),
    "learned weights.sample_count": ("", "likewise"),
    "sample_count": ("generated", "how many detections a frame that is drawn has"),
    "without_bystanders": ("", "only a run that begins with a found model has any before they are looked for"),
    "clutter.scenes": ("", "where there are bystanders, those of scenes are looked for one by one"),
    "scenes": ("start", "which scenes the local search tries again"),
}
"""Methods that updates have no use for: the output that shows them (none: there is none), and why."""

CASES = [(kind, name) for kind, make in BASES.items() for name in public(type(make()))]


@cache
def plain(kind: str, of: str) -> list[Tensor]:
    """What each kind of part gives as it is, by PyTorch."""
    with only_torch():
        return tensors(coordinate(model_of(base_part(kind)), of))


@cache
def plain_output(kind: str, where: str) -> list[Tensor]:
    return outputs(model_of(base_part(kind)))[where]()


def base_part(kind: str) -> Part:
    torch.manual_seed(3)
    return BASES[kind]()


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_an_overridden_method_of_a_part_changes_the_result_or_is_refused(kind: str, name: str) -> None:
    part = base_part(kind)
    other = model_of(overriding(part, name))
    elsewhere = ELSEWHERE.get(f"{kind}.{name}") or ELSEWHERE.get(name)
    for of in SCENES[:1] if elsewhere else SCENES:
        try:
            found = coordinate(other, of)
        except InputError:
            return
        if isinstance(part, OF_KERNELS):
            assert found.engine == "torch"
            assert "Mine" in found.note
        elif found.engine == "numba" and name != "is_shared":
            # Kernels that take a part's numbers give what the part itself gives.
            with only_torch():
                again = coordinate(other, of)
            torch.testing.assert_close(tensors(found), tensors(again), rtol=1e-8, atol=1e-8)
        if differ(tensors(found), plain(kind, of)):
            return
    assert elsewhere, "nothing changes, and no reason is given"
    where, reason = elsewhere
    assert reason
    if where:
        assert differ(outputs(other)[where](), plain_output(kind, where))


STATEMENTS = [name for name in public(MixtureModel) if name not in ("scenes", "frames", "windows")]
"""The others say which part of a batch is looked at."""


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_model_that_says_something_else_is_refused_by_updates_that_would_not_hear_it(name: str) -> None:
    other = model_of(NormalLikelihood(noise()))
    other.__class__ = type("Mine", (MixtureModel,), {name: lambda self, *args: 1 / 0})
    for guide in GUIDES.values():
        with pytest.raises(InputError, match=f"Mine has a `{name}` of its own"):
            infer(other, sized(3), guide)


GUIDE_CASES = [(kind, name) for kind, family in GUIDES.items() for name in public(family)]


def by(family: type[Collapsed]) -> Posterior:
    torch.manual_seed(3)
    model = model_of(LearnedWeights(2, 2.0, 0.5))
    torch.manual_seed(4)
    return infer(model, sized(3), family, Coordinate(2))


def read(posterior: Posterior) -> list[Tensor]:
    return [*tensors(posterior), posterior.guide.sample(2, seeded(0))]


@cache
def own(kind: str) -> list[Tensor]:
    """What each family gives as it is, by PyTorch."""
    with only_torch():
        return read(by(GUIDES[kind]))


@pytest.mark.parametrize(("kind", "name"), GUIDE_CASES)
def test_an_overridden_method_of_a_guide_changes_the_result(
    kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read of a guide whose statements are others is read of its draws, here of few."""
    monkeypatch.setattr(contract, "N_DRAWS", 10)
    family, reason = GUIDES[kind], UNHEARD.get(f"{kind}.{name}")
    inherited = getattr(family, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if name in ("forward", "draw_sources"):
            with torch.no_grad():
                self.centre.add_(0.05)  # every draw is further away
        if name == "draw_assignments":
            with torch.no_grad():
                self.logits.mul_(0.5)
        if name == "set_assignments":
            return inherited(self, 0.5 * args[0])
        if name == "set_chain":
            return inherited(self, args[0]._replace(mean=args[0].mean + 0.05))
        if name == "draw_latent":
            self.latent.log_concentration.data.add_(0.5)
        value = inherited(self, *args, **kwargs)
        if name == "responsibilities":
            return value if value is None else 0.9 * value
        if name == "project":
            return value._replace(mean=value.mean + 0.05)
        if name == "chain":
            return GaussianChain(value.mean + 0.05, value.gain, value.scale_tril, value.present)
        return value if name in ("forward", "draw_sources", "draw_assignments", "draw_latent") else changed(value)

    mine = type("Mine", (family,), {name: method})
    found = by(mine)
    assert found.engine == "torch"
    assert differ(read(found), own(kind)) == (reason is None), reason


UNHEARD = {
    "collapsed.responsibilities": "it has no q(w): what it would say is None, as it is here",
    "mean field.without_assignments": "bounds alone are compared by it, once inference is done",
    "factorised.without_assignments": "likewise",
}
