"""Combinations of likelihood, assignment, guide, algorithm and prior are inferred, or refused with the reason."""

from functools import partial
from itertools import product
from pathlib import Path

import pytest
import torch
from covering import pairs
from sounds import spectral_srnn
from torch import nn

from pyro_mixdvae.declaration.builder import build_preset
from pyro_mixdvae.declaration.document import Declaration, Task
from pyro_mixdvae.declaration.families import FAMILIES, OfNetwork
from pyro_mixdvae.declaration.options import arguments_of
from pyro_mixdvae.declaration.shipped import PRESETS, shipped
from pyro_mixdvae.declaration.tasks import reason_against
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import Scene, sound_scene
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.weights.store import save_network

SMALL = {
    "coordinate": {"n_iterations": 1},
    "svi": {"n_steps": 2},
    "hybrid": {"n_iterations": 1, "n_steps": 2},
    "published": {"n_iterations": 1},
}
"""The options of algorithms that keep a run short."""

NO_WEIGHTS = {"family": "constant_velocity", "position_noise": 0.2}


STFT_SMALL = STFT(8000, 16, 8)


def of(task: Task, table: str) -> list[str]:
    return [name for name, family in FAMILIES[table].items() if reason_against(task, family) is None]


of_boxes, of_sounds = partial(of, "boxes"), partial(of, "sounds")


def scene() -> Scene:
    """Two boxes that hardly move in three frames, and a false one in each."""
    start = torch.tensor([[0.3, 0.4, -2.0, -1.5], [0.6, 0.5, -2.2, -1.4]]).unsqueeze(0)
    seen = start.unsqueeze(1) + 0.01 * torch.randn(1, 3, 2, 4)
    false = torch.tensor([0.8, 0.2, -2.1, -1.5]) + 0.2 * torch.randn(1, 3, 1, 4)
    return Scene.of(torch.cat([seen, false], 2), start)


def run(tables: dict, task: Task = "boxes", observed: Scene | None = None) -> str | None:
    """Infer, and check that all is finite; or why it was refused."""
    declaration = shipped(PRESETS[task][0], task).under(Declaration.of(tables, "test"))
    try:
        preset = build_preset(declaration, 2, task)
        posterior = infer(preset.model, observed or scene(), preset.guide, preset.algorithm)
    except InputError as error:
        return str(error)
    assert posterior.mean.isfinite().all()
    assert (posterior.variance > 0).all()
    assert posterior.responsibilities.isfinite().all()
    assert posterior.records[-1]["elbo"].isfinite().all()
    return None


def assert_inferred(likelihood: str, assignment: str, guide: str, algorithm: str) -> None:
    refused = run(
        {
            "sources": NO_WEIGHTS,
            "likelihood": {"family": likelihood},
            "assignment": {"family": assignment},
            "guide": {"family": guide},
            "inference": {"family": algorithm, **SMALL[algorithm]},
        }
    )
    if algorithm == "published":
        assert refused is not None
        assert refused.startswith("the published algorithm is for")
    else:
        assert refused is None


@pairs(
    likelihood=of_boxes("likelihood"),
    assignment=of_boxes("assignment"),
    guide=of_boxes("guide"),
    algorithm=list(FAMILIES["inference"]),
)
def test_any_two_choices_meet(likelihood: str, assignment: str, guide: str, algorithm: str) -> None:
    assert_inferred(likelihood, assignment, guide, algorithm)


@pytest.mark.slow
@pytest.mark.parametrize("guide", of_boxes("guide"))
@pytest.mark.parametrize("assignment", of_boxes("assignment"))
@pytest.mark.parametrize("likelihood", of_boxes("likelihood"))
def test_every_likelihood_assignment_and_guide(likelihood: str, assignment: str, guide: str) -> None:
    """With steps of both kinds, closed-form updates and those of a gradient."""
    assert_inferred(likelihood, assignment, guide, "hybrid")


@pytest.mark.parametrize("sources", of_boxes("sources"))
def test_every_prior_with_each_algorithm(sources: str, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_network(path, small_network(sources), CentreLogSize(), {})
    for algorithm in FAMILIES["inference"]:
        assignment = "independent" if algorithm == "published" else "persistent"
        refused = run(
            {
                "sources": {"weights": str(path)},
                "assignment": {"family": assignment},
                "inference": {"family": algorithm, **SMALL[algorithm]},
            }
        )
        if algorithm == "published" and sources != "srnn":
            assert refused is not None
            assert refused.startswith("the published algorithm is for an SRNN")
        else:
            assert refused is None, (algorithm, refused)


@pytest.mark.parametrize("likelihood", of_boxes("likelihood"))
def test_the_published_algorithm_is_for_the_published_model(likelihood: str, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_network(path, small_network("srnn"), CentreLogSize(), {})
    guides = of_boxes("guide") if likelihood == "normal" else ["mean_field"]
    for assignment, guide in product(of_boxes("assignment"), guides):
        refused = run(
            {
                "sources": {"weights": str(path)},
                "likelihood": {"family": likelihood},
                "assignment": {"family": assignment},
                "guide": {"family": guide},
                "inference": {"family": "published", **SMALL["published"]},
            }
        )
        runs = likelihood == "normal" and assignment in ("independent", "adaptive") and guide != "collapsed"
        assert (refused is None) == runs, (assignment, guide, refused)
        assert runs or "published algorithm" in str(refused)


@pytest.mark.parametrize("noise", of_boxes("noise"))
@pytest.mark.parametrize("without", ["clutter", "labels", "systematic"])
def test_every_noise_and_models_without_a_part(noise: str, without: str) -> None:
    tables = {
        "sources": NO_WEIGHTS,
        "assignment": {"family": "independent"},
        "noise": {"family": noise},
        without: {"family": "none"},
        "inference": {"family": "coordinate", "n_iterations": 1},
    }
    assert run(tables) is None


def small_network(sources: str) -> nn.Module:
    """The network of a family, untrained, as small as the option that sets its width lets it be."""
    family = FAMILIES["sources"][sources]
    assert isinstance(family, OfNetwork)
    for options in ({"hidden": 6}, {"n_states": 3}, {"emission_sizes": (4,), "encoder_sizes": (4,)}):
        if set(options) <= set(arguments_of(family.network)):
            return family.network(**options)
    return family.network()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two sounds that nothing was taught."""
    paths = [tmp_path_factory.mktemp("sounds") / f"{name}.safetensors" for name in ("voice", "pipe")]
    for path in paths:
        save_network(path, spectral_srnn(STFT_SMALL.n_frequencies), STFT_SMALL, {})
    return [str(path) for path in paths]


@pairs(
    likelihood=of_sounds("likelihood"),
    combination=list(product(of_sounds("assignment"), of_sounds("guide"))),
    algorithm=list(FAMILIES["inference"]),
)
def test_every_model_of_sounds(
    likelihood: str, combination: tuple[str, str], algorithm: str, weights: list[str]
) -> None:
    assignment, guide = combination
    tables = {
        "sources": {"weights": weights},
        "likelihood": {"family": likelihood},
        "assignment": {"family": assignment},
        "guide": {"family": guide},
        "inference": {"family": algorithm, **SMALL[algorithm]},
    }
    refused = run(tables, "sounds", sound_scene(STFT_SMALL.spectrum(torch.randn(1, 32)), 2))
    goes_together = (
        (assignment == "additive") == (guide == "additive")
        and (algorithm != "published" or (likelihood, assignment) == ("complex_normal", "independent"))
        and (algorithm, guide) != ("published", "collapsed")
    )
    assert (refused is None) == goes_together, refused


def test_silence_goes_with_sounds_that_add_up(weights: list[str]) -> None:
    mixture = sound_scene(STFT_SMALL.spectrum(torch.randn(1, 32)), 2)
    tables = {
        "sources": {"weights": weights},
        "silence": {"family": "chain", "stop": 0.1},
        "assignment": {"family": "additive"},
        "guide": {"family": "additive"},
        "inference": {"family": "coordinate", "n_iterations": 1},
    }
    assert run(tables, "sounds", mixture) is None
    of_one = {**tables, "assignment": {"family": "independent"}, "guide": {"family": "mean_field"}}
    assert "does not know of sources that may be silent" in str(run(of_one, "sounds", mixture))
    robust = {**tables, "likelihood": {"family": "complex_student_t"}}
    assert "weighed by Gaussian evidences" in str(run(robust, "sounds", mixture))
    boxes = {"sources": NO_WEIGHTS, "silence": {"family": "chain"}}
    assert "chain is not for boxes: boxes that come and go are a matter of p(w)" in str(run(boxes))
