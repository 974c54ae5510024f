"""The published algorithm for sound, held to what the authors' code gave with their weights and no noise."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pyro_mixdvae.inference.published_sound import separate
from pyro_mixdvae.models import ComplexLikelihood, SoundSources
from pyro_mixdvae.separation.stft import STFT
from pyro_mixdvae.weights.authors import import_network

TOLERANCES = (1e-3, 1e-3, 1e-3, 1e-2, 1e-2)  # single precision amplifies rounding


@pytest.fixture
def golden(shared: Path) -> dict[str, Tensor]:
    with np.load(shared / "golden" / "audio_golden.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in ("mixture", "stft", "s_mean", "eta")}


def test_five_iterations_are_those_of_the_authors(shared: Path, golden: dict[str, Tensor]) -> None:
    torch.set_default_dtype(torch.float32)  # theirs; rounding grows from iteration to iteration
    weights = shared / "reference_weights"
    networks = [import_network(weights / f"model_scass_{name}.pt").eval() for name in ("cbf", "wsj")]
    found: list[tuple[Tensor, Tensor]] = []
    separate(
        SoundSources(networks),
        ComplexLikelihood(0.03, floor=0.0),
        golden["stft"].mT,
        len(TOLERANCES),
        lambda eta, mean, variance: found.append((eta, mean)),
    )
    for (eta, mean), theirs_eta, theirs, tolerance in zip(
        found, golden["eta"], golden["s_mean"], TOLERANCES, strict=True
    ):
        for n in range(2):
            scale = theirs[n].abs().max()
            assert float((mean[:, n] - theirs[n]).abs().max() / scale) < tolerance
            assert float((eta[:, n] - theirs_eta[n]).abs().max()) < tolerance


def test_spectra_are_those_of_the_authors(golden: dict[str, Tensor]) -> None:
    spectrum = STFT().spectrum(golden["mixture"])
    torch.testing.assert_close(spectrum, golden["stft"].mT, rtol=0, atol=1e-5)
