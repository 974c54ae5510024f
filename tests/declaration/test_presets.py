"""The presets that ship are declarations of the models that are written out here, to the bit."""

from pathlib import Path

import pytest
import torch

from pyro_mixdvae.declaration.builder import build_preset
from pyro_mixdvae.declaration.document import Declaration
from pyro_mixdvae.declaration.shipped import PRESETS, declared, shipped
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import Factorised, MeanField
from pyro_mixdvae.inference.algorithms import SVI, Coordinate, Hybrid
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.inference.published import Published
from pyro_mixdvae.models import (
    AdaptiveIndependentAssignment,
    DVAESources,
    EstimatedNoise,
    IndependentAssignment,
    KinematicSources,
    MixtureModel,
    NearlyExactLabels,
    Normal,
    PersistentAssignment,
    RelativeNoise,
    RepeatedError,
    Scene,
    SizedClutter,
    SRNNSources,
)
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.representations.boxes import PublishedCorners
from pyro_mixdvae.weights.store import load_network, save_network

N = 2


def written_out(name: str, weights: str) -> Preset:
    """The same without a declaration."""
    network, coordinates, _ = load_network(weights)
    unit = coordinates.noise_unit
    if name == "published":
        likelihood = Normal(RelativeNoise(unit, 0.04, "column"))
        sources = SRNNSources(network).replace(widest=coordinates.widest)
        model = MixtureModel(sources, IndependentAssignment(N), likelihood, labels=NearlyExactLabels(unit))
        return Preset(model, Factorised, Published(), coordinates)
    make = DVAESources if name == "deep-ar" else KinematicSources
    assignment = PersistentAssignment(N) if name == "default" else AdaptiveIndependentAssignment(N)
    model = MixtureModel(
        make(network, coordinates.unit).replace(widest=coordinates.widest),
        assignment,
        Normal(EstimatedNoise(unit)),
        SizedClutter(),
        NearlyExactLabels(unit),
        RepeatedError(),
    )
    return Preset(model, MeanField, Coordinate(), coordinates)


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, str]:
    path = tmp_path / "srnn.safetensors"
    save_network(path, SRNN(), PublishedCorners(), {})
    return {"default": "boxes", "vkf": "constant-velocity", "deep-ar": "autoregressive", "published": str(path)}


@pytest.mark.parametrize("name", PRESETS["boxes"])
def test_declared_presets_are_these_models_to_the_bit(name: str, weights: dict[str, str]) -> None:
    torch.set_default_dtype(torch.float32)
    expected = written_out(name, weights[name])
    found = build_preset(declared(name, weights=weights[name] if name == "published" else None), N)
    assert (found.guide, found.algorithm, type(found.representation)) == (
        expected.guide,
        expected.algorithm,
        type(expected.representation),
    )
    boxes = torch.tensor([[0.1, 0.2, 0.2, 0.5], [0.6, 0.3, 0.7, 0.6]])
    seen = found.representation.content(boxes + 0.002 * torch.randn(1, 5, 2, 4))
    scene = Scene.of(torch.cat([seen, seen[:, :, :1] + 0.1], 2), found.representation.content(boxes).unsqueeze(0))
    of_found, of_expected = (infer(preset.model, scene, preset.guide, preset.algorithm) for preset in (found, expected))
    assert torch.equal(of_found.mean, of_expected.mean)
    assert torch.equal(of_found.variance, of_expected.variance)
    assert torch.equal(of_found.responsibilities, of_expected.responsibilities)
    assert [record["elbo"].tolist() for record in of_found.records] == [
        record["elbo"].tolist() for record in of_expected.records
    ]
    assert of_found.engine == of_expected.engine


@pytest.mark.parametrize(
    ("name", "method", "iterations", "algorithm"),
    [
        ("default", None, None, Coordinate()),
        ("default", "coordinate", 5, Coordinate(5)),
        ("default", None, 5, Coordinate(5)),
        ("default", "svi", None, SVI()),
        ("default", "svi", 5, SVI(5)),
        ("default", "hybrid", None, Hybrid()),
        ("default", "hybrid", 5, Hybrid(svi=SVI(5))),
        ("published", None, None, Published()),
        ("published", "coordinate", 5, Published(5)),
        ("published", "hybrid", 5, Hybrid(Published(), SVI(5))),
    ],
)
def test_method_and_iterations_are_translated(
    name: str, method: str | None, iterations: int | None, algorithm: object, weights: dict[str, str]
) -> None:
    declaration = declared(name, weights=weights["published"], method=method, iterations=iterations)
    assert build_preset(declaration, N).algorithm == algorithm


def test_what_is_later_counts(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('[inference]\nfamily = "svi"\nn_steps = 7\n[noise]\nleast = 0.25\n')
    of_file = build_preset(declared("default", path), N)
    assert of_file.algorithm == SVI(7)
    assert of_file.model.likelihood.noise.least == 0.25
    assert build_preset(declared("default", path, method="svi"), N).algorithm == SVI(7)
    assert build_preset(declared("default", path, iterations=3), N).algorithm == SVI(3)
    assert build_preset(declared("default", path, method="hybrid"), N).algorithm == Hybrid()
    assert build_preset(declared("default", path, ["inference.n_steps=2"], iterations=3), N).algorithm == SVI(2)


def test_names_that_there_are_not() -> None:
    with pytest.raises(InputError, match="There is no preset 'fast': choose from default, published, vkf, deep-ar"):
        shipped("fast")
    with pytest.raises(InputError, match="There is no method 'mcmc'"):
        declared("default", method="mcmc")


def test_a_file_that_ships_holds_no_more_than_it_says() -> None:
    for task, names in PRESETS.items():
        for name in names:
            assert isinstance(shipped(name, task), Declaration)
