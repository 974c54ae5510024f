"""How often `check_elbo` flags what is right: random small scenes of random models, all of them by the library's parts.

    python benchmarks/check_false_alarms.py --scenes 200

Prints a line for each row that is called wrong, and in the end how many scenes and rows there were. Every scene has a
seed of its own: a run can be split (`--first`), and a finding repeated (`--first N --scenes 1`).
"""

import argparse
import random
import time
from typing import Any

import torch

from pyro_mixdvae.check import check_elbo
from pyro_mixdvae.check.report import GROUPS, PATH
from pyro_mixdvae.engines.registry import only_torch
from pyro_mixdvae.guides import AdditiveGuide, Collapsed, Factorised, MeanField
from pyro_mixdvae.models import (
    AdditiveModel,
    ComplexNormal,
    ExclusiveAssignment,
    Huber,
    IndependentAssignment,
    KinematicSources,
    Laplace,
    LearnedWeights,
    MixtureModel,
    Normal,
    PersistentAssignment,
    PowerNoise,
    RelativeNoise,
    Scene,
    SizedClutter,
    SoundSources,
    StudentT,
    sound_scene,
)
from pyro_mixdvae.networks.kinematic import ConstantVelocity, KinematicNetwork
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.representations.boxes import CentreLogSize


def boxes(draw: random.Random) -> tuple[MixtureModel, Scene, Any]:
    """A model of boxes, a scene with detections missing, and a guide."""
    n_sources, n_frames, n_detections = draw.randint(1, 3), draw.randint(1, 4), draw.randint(1, 3)
    n_scenes = draw.choice((1, 1, 2))
    unit = draw.choice((torch.ones_like, torch.ones_like, CentreLogSize().unit))
    if draw.random() < 0.2:
        network: Any = KinematicNetwork(hidden=5)
    else:
        network = ConstantVelocity(4, draw.uniform(0.02, 0.2), draw.uniform(0.05, 0.3), damping=draw.uniform(0.5, 1.0))
    sources = KinematicSources(network, unit, draw.uniform(0.1, 0.6))
    assignment = draw.choice(
        (
            IndependentAssignment(n_sources),
            IndependentAssignment(n_sources, draw.uniform(0.05, 0.4)),
            ExclusiveAssignment(n_sources, draw.uniform(0.5, 0.95), draw.uniform(0.05, 1.0)),
            PersistentAssignment(n_sources, draw.uniform(0.5, 0.95), draw.uniform(0.05, 1.0), 0.2, 0.3),
            LearnedWeights(n_sources, draw.uniform(0.5, 3.0), draw.choice((0.0, 0.5))),
        )
    )
    likelihood = draw.choice((Normal, Normal, Normal, Normal, StudentT, Laplace, Huber))
    noise = RelativeNoise(CentreLogSize().unit, draw.uniform(0.05, 0.5), draw.choice(("start", "observation")))
    model = MixtureModel(sources, assignment, likelihood(noise), SizedClutter())
    centre = torch.tensor([0.5, 0.5, -2.3, -2.3])
    start = centre + 0.2 * torch.randn(n_scenes, n_sources, 4)
    path = start.unsqueeze(-2) + 0.03 * torch.randn(n_scenes, n_sources, n_frames, 4).cumsum(-2)
    whose = torch.randint(n_sources, (n_scenes, n_frames, n_detections, 1))
    seen = torch.take_along_dim(path.transpose(1, 2), whose, -2)
    seen = seen + 0.03 * torch.randn_like(seen)
    seen[torch.rand(seen.shape[:-1]) < draw.choice((0.0, 0.3))] = torch.nan
    present = torch.ones(n_scenes, n_frames, dtype=torch.bool)
    if n_scenes > 1 and n_frames > 1:
        present[-1, -1] = False
    guide = draw.choice((MeanField, MeanField, MeanField, Collapsed, Factorised))
    return model, Scene.of(seen, start, present), guide


def sounds(draw: random.Random) -> tuple[Any, Scene, Any]:
    """Networks of random weights, whose powers depend on what they are fed or not; one wins, or they add up."""
    n_sources, n_frames, n_frequencies = draw.randint(2, 3), draw.randint(1, 3), draw.randint(1, 3)
    networks = []
    for n in range(n_sources):
        network = SpectralSRNN(n_frequencies, 2, [5], 4 + n, [4], 5, [6], [7], [8, 4], floor=1e-3)
        if draw.random() < 0.7:
            with torch.no_grad():
                network.emission_log_power.weight.zero_()
        networks.append(network)
    likelihood = ComplexNormal(PowerNoise(draw.uniform(0.02, 0.3), 0.01))
    mixture = torch.randn(1, n_frames, n_frequencies, dtype=torch.complex128)
    scene = sound_scene(mixture, n_sources)
    if draw.random() < 0.5:
        return AdditiveModel(SoundSources(networks), likelihood), scene, AdditiveGuide
    return MixtureModel(SoundSources(networks), IndependentAssignment(n_sources), likelihood), scene, MeanField


def main() -> None:
    """Check so many scenes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scenes", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first")
    options = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    groups = [group for group in GROUPS if group != PATH]
    n_rows = n_alarms = n_scenes = 0
    started = time.process_time()
    for seed in range(options.first, options.first + options.scenes):
        torch.manual_seed(seed)
        draw = random.Random(seed)
        model, scene, guide = (sounds if draw.random() < 0.2 else boxes)(draw)
        with only_torch():
            found = check_elbo(model, scene, guide, groups=groups, seed=seed)
        n_scenes += 1
        n_rows += sum(row.verdict != "not checked" for row in found.rows)
        n_alarms += not found.is_right
        for row in found.wrong:
            where = f"{seed}: {type(model).__name__}, {guide.__name__}, {row.group}"
            print(f"{where}: {row.name}: {row.difference} {row.z} {row.hint}")
        if n_scenes % 20 == 0:
            print(f"# {n_scenes} scenes, {n_rows} rows, {n_alarms} scenes flagged", flush=True)
    seconds = (time.process_time() - started) / max(1, n_scenes)
    print(f"{n_alarms} of {n_scenes} right scenes flagged; {n_rows} rows; {seconds:.1f} s of CPU time a scene.")


if __name__ == "__main__":
    main()
