"""Families and options are checked before anything is made: file, table, key, what is allowed, the nearest spelling."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pyro_mixdvae import Tracker
from pyro_mixdvae.declaration.builder import build_preset, resolve
from pyro_mixdvae.declaration.document import Declaration, Said, Task
from pyro_mixdvae.declaration.families import FAMILIES
from pyro_mixdvae.declaration.overview import overview
from pyro_mixdvae.declaration.shipped import PRESETS, declared, shipped
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models import KinematicSources, StudentT
from pyro_mixdvae.networks.kinematic import ConstantVelocity


def built(*sets: str, task: Task = "boxes"):
    return build_preset(declared(PRESETS[task][0], sets=sets, task=task), 2, task)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (
            ["likelihood.family=studentt"],
            r"\[likelihood\] family = \"studentt\": .*did you mean 'student_t'\?.*my_module:",
        ),
        (["likelihood.family=4"], r"\[likelihood\] family = 4: give the name of a family in quotes"),
        (["likelihood.famly=x"], "the family normal has no option 'famly'; it has none"),
        (
            ["likelihood.family=student_t", "likelihood.dff=4"],
            r"dff = 4: .*\(did you mean 'df'\?\); its options are df",
        ),
        (
            ["likelihood.family=student_t", "likelihood.df=four"],
            r'^--set likelihood.df=four: \[likelihood\] df = "four": ',
        ),
        (["likelihood.family=student_t", "likelihood.df=true"], "df = true: give a number"),
        (["likelihood.family=student_t", "likelihood.df=-4"], r"\[likelihood\] df = -4: .*has to be positive"),
        (["likelihood.family=student_t", "likelihood.df=nan"], "df = nan: give a number"),
        (["noise.relative_to=strat"], 'relative_to = "strat": give "start", "observation" or "column"'),
        (["noise.relative=[0.1, 0.2]"], r"\[noise\] relative = \[0\.1, 0\.2\]: 2 numbers for contents of 4"),
        (["noise.relative=[]"], r"\[noise\] relative = \[\]"),
        (["noise.relative=[0.1, true]"], "give a number or a list, each entry a number"),
        (["noise.correlation=1"], r"\[noise\] correlation = 1: "),
        (["assignment.hide=2"], r"\[assignment\] hide = 2: a probability to hide of 2"),
        (["inference.n_iterations=0"], "n_iterations = 0: 0 iterations are too few"),
        (["inference.n_iterations=2.5"], "n_iterations = 2.5: give a whole number"),
        (["inference.family=hybrid", "inference.start=svi"], 'start = "svi": give "coordinate" or "published"'),
        (["clutter.family=none"], r"PersistentAssignment has a class of clutter.*\[assignment\] without it"),
        (["systematic.family=none", "systematic.share=2"], 'a family of "none" has no options'),
        (["sources.weights=bxes"], r"\[sources\] weights = \"bxes\": there are no weights called 'bxes'"),
        (["sources.weights=4"], "give the name of weights"),
        (['sources.weights=["boxes", "boxes"]'], "boxes have one prior"),
        (["sources.family=kinematic"], r"\[sources\] the family kinematic needs weights: give a name or a file"),
        (
            ["sources.family=srnn", "sources.weights=boxes"],
            "weights are of KinematicNetwork: that is the family kinematic",
        ),
        (["sources.weights=artist"], "holds a MotionCategories, which is no prior of sources"),
        (["sources.start_spread=0"], r"\[sources\] start_spread = 0: sources that start"),
        (
            ["sources.family=constant_velocity", "sources.velocity_noise=[0.1, 0.2]"],
            r"\[sources\] velocity_noise = \[0.1, 0.2\]: of standard deviations give one, or 4, one for each",
        ),
        (
            ["sources.family=constant_velocity", "sources.weights=constant-velocity", "sources.velocity_noise=0.1"],
            "has no option 'velocity_noise'",
        ),
    ],
)
def test_what_cannot_be_is_told(sets: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        built(*sets)


@pytest.mark.parametrize(
    ("task", "sets", "message"),
    [
        ("boxes", ["likelihood.family=complex_normal"], "complex_normal is not for boxes: it is of complex spectra"),
        ("boxes", ["noise.family=power"], "power is not for boxes"),
        ("boxes", ["assignment.family=additive"], "sounds add up, and boxes do not"),
        ("boxes", ["guide.family=additive"], "additive is not for boxes"),
        ("boxes", ["sources.weights=speech"], "speech is a model of sound"),
        ("sounds", ["sources.weights=boxes"], "boxes is a model of boxes"),
        ("sounds", ["likelihood.family=normal"], "what is observed of sounds are complex spectra: take complex_normal"),
        ("sounds", ["noise.family=estimated"], "estimated is not for sounds"),
        ("sounds", ["assignment.family=persistent"], "at most one detection a frame.*take independent"),
        ("sounds", ["clutter.family=sized"], "sized is not for sounds"),
        ("sounds", ["labels.family=nearly_exact"], "nobody draws labels into sounds"),
        ("sounds", ["systematic.family=repeated"], "repeated is not for sounds"),
        ("sounds", ["sources.family=constant_velocity"], "constant_velocity is not for sounds"),
    ],
)
def test_families_that_make_no_sense_are_refused_with_the_reason(task: Task, sets: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        built(*sets, task=task)


def test_a_missing_table_and_a_missing_family() -> None:
    whole = declared("default").document()
    for table in ("sources", "likelihood", "guide"):
        rest = Declaration.of({name: value for name, value in whole.items() if name != table}, "my.toml")
        with pytest.raises(InputError, match=rf"\[{table}\] (is missing|has no family)"):
            build_preset(rest, 2)
    with pytest.raises(InputError, match=r"^my\.toml: \[noise\] has no family"):
        build_preset(Declaration.of({**whole, "noise": {"least": 0.1}}, "my.toml"), 2)


def test_options_reach_the_parts() -> None:
    preset = built(
        "likelihood.family=student_t", "likelihood.df=3", "noise.least=0.01", "assignment.hide=0.1", "clutter.spread=1",
        "labels.spread=0.5", "systematic.share=0", "sources.start_spread=2",
    )  # fmt: skip
    model = preset.model
    assert isinstance(model.likelihood, StudentT)
    assert (model.likelihood.df, model.likelihood.noise.least, model.clutter.spread) == (3, 0.01, 1)
    assert (float(model.assignment.hide), model.labels.spread, model.systematic.share) == (0.1, 0.5, 0)
    assert model.sources.start_spread == 2
    assert model.assignment.n_sources == 2


def test_sources_made_of_numbers_alone() -> None:
    sources = built("sources.family=constant_velocity", "sources.velocity_noise=[0.1, 0.1, 0.2, 0.2]").model.sources
    assert isinstance(sources, KinematicSources)
    assert isinstance(sources.network, ConstantVelocity)
    torch.testing.assert_close(sources.network.process_variance, torch.tensor([0.01, 0.01, 0.04, 0.04]))


def test_resolved_is_whole_and_stays_as_it_is(tmp_path: Path) -> None:
    once = resolve(
        declared("default", sets=["likelihood.family=huber", "clutter.spread=0.7", "systematic.family=none"])
    )
    path = tmp_path / "whole.toml"
    path.write_text(once.text())
    assert once.document()["likelihood"] == {"family": "huber", "threshold": 1.345}
    assert once.document()["systematic"] == {"family": "none"}
    assert resolve(Declaration.read(path)).text() == once.text()


def test_every_family_is_listed_with_a_summary_and_is_for_something() -> None:
    rows = {(row.table, row.name): row for row in overview()}
    assert {(table, name) for table, families in FAMILIES.items() for name in families} <= set(rows)
    assert all(row.summary and row.tasks for row in rows.values())
    assert rows["likelihood", "student_t"].options == ("df = 4.0",)
    assert rows["assignment", "exclusive"].options == ("detection = 0.92", "clutter: a number, if any")
    assert rows["assignment", "persistent"].tasks == ("boxes",)


def run_with(table: str, family: str, key: str, value: object) -> None:
    """Six frames of two boxes."""
    step = np.arange(6)[:, None, None]
    boxes = np.array([[10, 50, 30, 90], [210, 60, 230, 100]]) + step * np.array([[4, 0, 4, 0], [-4, 0, -4, 0]])
    said = Declaration({table: {"family": Said(family, "a.toml"), key: Said(value, "a.toml")}})
    result = Tracker(2, preset=shipped("default").under(said)).track(boxes, (320, 240))
    assert np.isfinite([result.boxes, result.lower, result.upper]).all()
    assert (result.lower <= result.upper).all()
    assert all(math.isfinite(record["elbo"]) for record in result.records)


@pytest.mark.parametrize("value", [1e300, 1e-300, 5e-324, 10**18, 2**63], ids=str)
@pytest.mark.parametrize(
    ("table", "family", "key"),
    [
        ("sources", "random_walk", "step"),
        ("sources", "random_walk", "start_spread"),
        ("assignment", "exclusive", "clutter"),
        ("assignment", "learned_weights", "concentration"),
        ("likelihood", "student_t", "df"),
        ("likelihood", "huber", "threshold"),
        ("noise", "estimated", "relative"),
        ("noise", "estimated", "least"),
        ("clutter", "sized", "spread"),
        ("systematic", "repeated", "share"),
        ("systematic", "lasting", "lasting"),
        ("inference", "svi", "n_particles"),
        ("inference", "coordinate", "n_iterations"),
    ],
)
def test_numbers_that_nothing_can_be_computed_with(table: str, family: str, key: str, value: float) -> None:
    with pytest.raises(InputError, match=rf"a.toml: \[{table}\] {key} = "):
        run_with(table, family, key, value)


@pytest.mark.parametrize(
    ("family", "key", "value"),
    [
        ("constant_velocity", "velocity_noise", 0.0),
        ("constant_velocity", "first_velocity_spread", 0.0),
        ("constant_acceleration", "position_noise", 0.0),
        ("constant_acceleration", "first_acceleration_spread", 0.0),
        ("random_walk", "step", 0.0),
        ("random_walk", "step", [0.1, 0.0, 0.1, 0.0]),
    ],
)
def test_a_motion_without_noise_has_the_least_that_there_is(family: str, key: str, value: object) -> None:
    run_with("sources", family, key, value)


@pytest.mark.parametrize("value", [1e6, 1e9])
def test_what_leaves_the_finite_numbers_is_said(value: float) -> None:
    torch.set_default_dtype(torch.float32)
    with pytest.raises(InputError, match="Inference has left the finite numbers"):
        run_with("sources", "constant_acceleration", "acceleration_noise", value)


def test_a_list_for_the_start_of_hybrid() -> None:
    with pytest.raises(InputError, match=r"a.toml: \[inference\] start = "):
        run_with("inference", "hybrid", "start", ["coordinate"])
