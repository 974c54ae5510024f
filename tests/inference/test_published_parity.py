"""The published algorithm, with the authors' weights, gives what the authors' code gives."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro_mixdvae.guides import MeanField
from pyro_mixdvae.inference import published
from pyro_mixdvae.inference.infer import infer
from pyro_mixdvae.inference.published import Published
from pyro_mixdvae.models import IndependentAssignment, MixtureModel, Normal, RelativeNoise, Scene, SRNNSources
from pyro_mixdvae.representations.boxes import PublishedCorners
from pyro_mixdvae.weights.authors import import_network

N_ITERATIONS = 10


@pytest.fixture
def golden(shared: Path) -> dict[str, Tensor]:
    """Single precision, as the authors' code has it; missing is NaN."""
    torch.set_default_dtype(torch.float32)
    path = shared / "golden" / "mot_golden.npz"
    if not path.is_file():
        pytest.skip("there are no golden values")
    return {name: torch.as_tensor(array) for name, array in np.load(path).items()}


@pytest.fixture
def model(golden: dict[str, Tensor], shared: Path) -> MixtureModel:
    sources = SRNNSources(import_network(shared / "reference_weights" / "model_mot.pt"))
    return MixtureModel(
        sources, IndependentAssignment(3), Normal(RelativeNoise(PublishedCorners().noise_unit, 0.04, "column"))
    )


@torch.no_grad()
def test_every_iteration_gives_the_authors_responsibilities_means_and_variances(
    golden: dict[str, Tensor], model: MixtureModel
) -> None:
    scene = Scene.of(golden["obs"], golden["obs"][:, 0])
    found: list[tuple[Tensor, ...]] = []
    mean, variance = published.cascade(model, scene)
    published.iterate(model, scene, mean, variance, N_ITERATIONS, lambda *now: found.append(now))
    assert len(found) == len(golden["eta"]) == N_ITERATIONS
    for i, (eta, mean, variance) in enumerate(found):
        expected = golden["eta"][i]
        assert torch.equal(scene.mask, ~expected.isnan().any(-1))
        torch.testing.assert_close(eta, expected.nan_to_num(0.0), rtol=0, atol=1e-4)
        torch.testing.assert_close(mean.transpose(1, 2), golden["s_mean"][i], rtol=0, atol=1e-4)
        torch.testing.assert_close(variance.transpose(1, 2), golden["s_var"][i], rtol=0, atol=1e-4)
        # Variances are of the order of 1e-5: a hundredth of them is what agreement means.
        torch.testing.assert_close(variance.transpose(1, 2), golden["s_var"][i], rtol=0.01, atol=1e-9)


def test_run_of_the_published_algorithm_ends_where_its_steps_end(
    golden: dict[str, Tensor], model: MixtureModel
) -> None:
    scene = Scene.of(golden["obs"], golden["obs"][:, 0])
    inferred = infer(model, scene, MeanField, Published(N_ITERATIONS))
    assert len(inferred.records) == N_ITERATIONS
    assert all(record["elbo"].isfinite().all() for record in inferred.records)
    mean, variance = inferred.mean, inferred.variance
    torch.testing.assert_close(mean.transpose(1, 2), golden["s_mean"][-1], rtol=0, atol=1e-4)
    torch.testing.assert_close(variance.transpose(1, 2), golden["s_var"][-1], rtol=0.01, atol=1e-9)
    torch.testing.assert_close(inferred.responsibilities, golden["eta"][-1].nan_to_num(0.0), rtol=0, atol=1e-4)
    torch.testing.assert_close(inferred.guide.responsibilities(), inferred.responsibilities, rtol=0, atol=1e-5)
