"""The presets that ship are declarations of the models that are written out here, to the bit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pyro_mixdvae.declaration.builder import build_preset
from pyro_mixdvae.declaration.document import Declaration
from pyro_mixdvae.declaration.shipped import PRESETS, declared, shipped
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides import AdditiveGuide, Factorised, MeanField
from pyro_mixdvae.inference.algorithms import SVI, Coordinate, Hybrid
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.preset import Preset
from pyro_mixdvae.inference.published import Published
from pyro_mixdvae.models import (
    AdaptiveIndependentAssignment,
    AdditiveModel,
    ComplexNormal,
    DVAESources,
    EstimatedNoise,
    IndependentAssignment,
    KinematicSources,
    LastingError,
    MixtureModel,
    NearlyExactLabels,
    Normal,
    PersistentAssignment,
    PowerNoise,
    RelativeNoise,
    RepeatedError,
    Scene,
    SizedClutter,
    SoundSources,
    SRNNSources,
    sound_scene,
)
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.representations.boxes import PublishedCorners
from pyro_mixdvae.representations.stft import STFT
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
        LastingError() if name == "default" else RepeatedError(),
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
    few = replace(found.algorithm, n_iterations=2)
    of_found, of_expected = (infer(preset.model, scene, preset.guide, few) for preset in (found, expected))
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
    with pytest.raises(InputError, match="There is no algorithm 'mcmc'"):
        declared("default", method="mcmc")


def test_a_file_that_ships_holds_no_more_than_it_says() -> None:
    for task, names in PRESETS.items():
        for name in names:
            assert isinstance(shipped(name, task), Declaration)


@pytest.mark.parametrize("name", PRESETS["sounds"])
def test_declared_presets_of_sounds_are_these_models_to_the_bit(name: str) -> None:
    torch.set_default_dtype(torch.float32)
    networks = [load_network(weights).network for weights in ("speech", "flute")]
    sources = SoundSources(networks)
    if name == "additive":
        model = AdditiveModel(sources, ComplexNormal(PowerNoise(0.001)))
        expected = Preset(model, AdditiveGuide, Coordinate(3), STFT())
    else:
        model = MixtureModel(sources, IndependentAssignment(2), ComplexNormal(PowerNoise(0.03)))
        expected = Preset(model, MeanField, Published() if name == "published" else Coordinate(3), STFT())
    found = build_preset(declared(name, task="sounds"), 2, "sounds")
    assert (found.guide, found.algorithm, found.representation) == (
        expected.guide,
        expected.algorithm,
        expected.representation,
    )
    scene = sound_scene(STFT().spectrum(0.1 * torch.randn(1, 2000)), 2)
    algorithm = Published(2) if name == "published" else found.algorithm
    of_found, of_expected = (infer(preset.model, scene, preset.guide, algorithm) for preset in (found, expected))
    assert torch.equal(of_found.mean, of_expected.mean)
    assert torch.equal(of_found.responsibilities, of_expected.responsibilities)
    assert of_found.records[-1]["elbo"].tolist() == of_expected.records[-1]["elbo"].tolist()
