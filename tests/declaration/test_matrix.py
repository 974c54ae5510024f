"""Every combination of likelihood, assignment, guide, algorithm and prior is inferred, or refused with the reason."""

from itertools import product
from pathlib import Path

import pytest
import torch
from _pytest.mark import ParameterSet
from torch import nn

from pyro_mixdvae.declaration.builder import build_preset
from pyro_mixdvae.declaration.document import Declaration
from pyro_mixdvae.declaration.families import FAMILIES, OfNetwork
from pyro_mixdvae.declaration.options import arguments_of
from pyro_mixdvae.declaration.shipped import shipped
from pyro_mixdvae.declaration.tasks import reason_against
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.models import Scene
from pyro_mixdvae.representations.boxes import CentreLogSize
from pyro_mixdvae.weights.store import save_network

SMALL = {
    "coordinate": {"n_iterations": 1},
    "svi": {"n_steps": 2},
    "hybrid": {"n_iterations": 1, "n_steps": 2},
    "published": {"n_iterations": 1},
}
"""The options of algorithms that keep a run short."""

NO_WEIGHTS = {"family": "constant_velocity", "position_noise": 0.2}


def of_boxes(table: str) -> list[str]:
    return [name for name, family in FAMILIES[table].items() if reason_against("boxes", family) is None]


def scene() -> Scene:
    """Two boxes that hardly move in three frames, and a false one in each."""
    start = torch.tensor([[0.3, 0.4, -2.0, -1.5], [0.6, 0.5, -2.2, -1.4]]).unsqueeze(0)
    seen = start.unsqueeze(1) + 0.01 * torch.randn(1, 3, 2, 4)
    false = torch.tensor([0.8, 0.2, -2.1, -1.5]) + 0.2 * torch.randn(1, 3, 1, 4)
    return Scene.of(torch.cat([seen, false], 2), start)


def run(tables: dict) -> str | None:
    """Infer, and check that all is finite; or why it was refused."""
    declaration = shipped("default").under(Declaration.of(tables, "test"))
    try:
        preset = build_preset(declaration, 2)
        posterior = infer(preset.model, scene(), preset.guide, preset.algorithm)
    except InputError as error:
        return str(error)
    assert posterior.mean.isfinite().all()
    assert (posterior.variance > 0).all()
    assert posterior.responsibilities.isfinite().all()
    assert posterior.records[-1]["elbo"].isfinite().all()
    return None


def likelihoods_and_guides() -> list[ParameterSet]:
    """All pairs; those beside the Gaussian, Student's t and the default guide are slow together."""
    pairs = []
    for likelihood, guide in product(of_boxes("likelihood"), of_boxes("guide")):
        is_slow = likelihood not in ("normal", "student_t") and guide != "mean_field"
        pairs.append(pytest.param(likelihood, guide, marks=[pytest.mark.slow] if is_slow else []))
    return pairs


@pytest.mark.parametrize(("likelihood", "guide"), likelihoods_and_guides())
def test_every_assignment_and_algorithm(likelihood: str, guide: str) -> None:
    for assignment, algorithm in product(of_boxes("assignment"), FAMILIES["inference"]):
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
            assert refused is not None, (assignment, algorithm)
            assert refused.startswith("the published algorithm is for"), (assignment, refused)
        else:
            assert refused is None, (assignment, algorithm, refused)


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
    for assignment, guide in product(of_boxes("assignment"), of_boxes("guide")):
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
