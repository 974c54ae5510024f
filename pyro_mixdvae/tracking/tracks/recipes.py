"""Pre-training of a motion prior for boxes: tracks, schedule and network put together."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.autoregressive import Autoregressive
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.kinematic import ConstantVelocity, KinematicNetwork
from pyro_mixdvae.networks.motion_categories import MotionCategories
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.representations.boxes import CentreLogSize, Coordinates, PublishedCorners
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.tracks.recorded import tracks_from_files
from pyro_mixdvae.tracking.tracks.trajectories import published_trajectories, rich_trajectories
from pyro_mixdvae.training.categories import fit_categories
from pyro_mixdvae.training.expectation_maximisation import fit_constants
from pyro_mixdvae.training.pretrain import Epoch, Pretrained, Schedule, pretrain

MOTIONS: dict[str, Callable[[int, int, list[int]], Array]] = {
    "rich": rich_trajectories,
    "published": published_trajectories,
}
HELD_OUT = 8  # one track in so many is for validation
VALIDATION_SEED = 2**31  # no epoch has this number


class Recipe(NamedTuple):
    """What goes with a network: its coordinates, how boxes become its content, and the defaults of training.

    Attributes:
        build: makes the untrained network.
        coordinates: of the boxes.
        of_displacements: the content is the displacement of the coordinates, and not the coordinates.
        motion: synthetic trajectories to learn from, by default.
        epochs: by default; iterations, where the network is fitted by EM.
        learning_rate: by default; None where the network is fitted by EM.
        objective: what training raises. With nothing latent, or q(z | y) exact and fitted by EM, it is the log
            likelihood.
    """

    build: Callable[[], nn.Module]
    coordinates: Coordinates
    of_displacements: bool
    motion: str
    epochs: int
    learning_rate: float | None
    objective: str = "ELBO"

    def content(self, boxes: Array) -> Tensor:
        """Boxes ``[*, T, 4]`` to content ``[*, T, 4]`` or, of displacements, ``[*, T-1, 4]``; single precision."""
        content = self.coordinates.content(torch.as_tensor(boxes))
        return (self.coordinates.displacements(content) if self.of_displacements else content).float()


RECIPES = {
    "kinematic": Recipe(KinematicNetwork, CentreLogSize(), True, "rich", 150, 0.01),
    "constant-velocity": Recipe(ConstantVelocity, CentreLogSize(), True, "rich", 300, None, "log likelihood"),
    "autoregressive": Recipe(Autoregressive, CentreLogSize(), True, "rich", 150, 0.01, "log likelihood"),
    "artist": Recipe(MotionCategories, CentreLogSize(), True, "rich", 40, 0.003, "log probability"),
    "srnn": Recipe(SRNN, PublishedCorners(), False, "published", 300, 0.001),
}


def schedule_of(
    network: str, epochs: int | None = None, batch_size: int = 256, learning_rate: float | None = None
) -> Schedule:
    """The schedule of a network's recipe; with few epochs its ramps are shortened in proportion.

    The SRNN's is the paper's: KL warm-up over 20 epochs, then scheduled sampling up to 1 at epoch 100, at a
    constant learning rate. The kinematic network knows its posterior exactly and needs no warm-up.

    Raises:
        TypeError: the network is fitted by EM, which has no schedule.
    """
    recipe = RECIPES[network]
    rate = learning_rate or recipe.learning_rate
    if rate is None:
        raise TypeError(f"{network} is fitted by EM, which has no schedule")
    epochs = epochs or recipe.epochs
    published = network == "srnn"
    warm_up = min(20, epochs // 8) if published else 0
    return Schedule(
        epochs=epochs,
        warm_up=warm_up,
        sampling_start=warm_up,
        sampling_end=min(100, epochs // 2) if published else min(30, epochs // 5),
        own_output_probability=1.0 if published else 0.3,
        batch_size=batch_size,
        learning_rate=rate,
        final_learning_rate=1.0 if published else 0.02,
        patience=50 if published else 30,
    )


class TrainingTracks(NamedTuple):
    """Content to learn from, and to validate on.

    Attributes:
        of_epoch: gives the training tracks [count, T, D] of an epoch.
        validation: held-out tracks [*, T, D].
        description: what they are, for the card.
        notes: sentences that the user should read.
    """

    of_epoch: Callable[[int], Tensor]
    validation: Tensor
    description: dict[str, Any]
    notes: tuple[str, ...] = ()


def synthetic_tracks(network: str, motion: str, count: int, n_frames: int, seed: int) -> TrainingTracks:
    """Fresh trajectories in every epoch, so that there is nothing to learn by heart."""
    draw, content = MOTIONS[motion], RECIPES[network].content
    return TrainingTracks(
        lambda epoch: content(draw(count, n_frames, [seed, epoch])),
        content(draw(max(1, count // HELD_OUT), n_frames, [seed, VALIDATION_SEED])),
        {"generator": motion, "count": count, "frames": n_frames, "seed": seed},
    )


def recorded_tracks(network: str, paths: Sequence[str | Path], count: int, n_frames: int, seed: int) -> TrainingTracks:
    """Windows of the tracks of files: an epoch draws `count` of them, with replacement.

    One track in eight, with all of its windows, is held out for validation.

    Raises:
        InputError: a file cannot be used, or fewer than two tracks are long enough.
    """
    recorded = tracks_from_files(paths, n_frames)
    names = np.unique(recorded.track)
    if len(names) < 2:
        raise InputError(
            f"only one track in {', '.join(map(str, paths))} is long enough, and one more is needed for "
            "validation: give more tracks, or ask for fewer frames."
        )
    shuffled = np.random.default_rng([seed, VALIDATION_SEED]).permutation(names)
    held_out = np.isin(recorded.track, shuffled[: max(1, len(names) // HELD_OUT)])
    content = RECIPES[network].content(recorded.boxes)
    training, validation = content[~held_out], content[held_out]

    def of_epoch(epoch: int) -> Tensor:
        return training[np.random.default_rng([seed, epoch]).integers(len(training), size=count)]

    files = [{"name": Path(path).name, "sha256": _sha256(path)} for path in paths]
    description = {"files": files, "count": count, "frames": n_frames, "seed": seed, "windows": len(content)}
    return TrainingTracks(of_epoch, validation, description, recorded.notes)


def _sha256(path: str | Path) -> str:
    path = Path(path)
    file = path / "gt" / "gt.txt" if path.is_dir() else path
    return hashlib.sha256(file.read_bytes()).hexdigest()


def new_network(network: str, seed: int) -> nn.Module:
    """An untrained network in single precision, drawn by a seed; torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return RECIPES[network].build().float()


class Trained(NamedTuple):
    """A trained network, its learning curve, and the settings that it was trained with, for the card."""

    network: nn.Module
    result: Pretrained
    settings: dict[str, Any]


def train(
    name: str,
    data: TrainingTracks,
    seed: int = 0,
    *,
    epochs: int | None = None,
    batch_size: int = 256,
    learning_rate: float | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    report: Callable[[Epoch], None] = lambda epoch: None,
) -> Trained:
    """Train the network of a recipe on tracks: by SVI on its ELBO or, where all is linear and Gaussian, by EM.

    EM sees the tracks of one epoch, over and over. ArTIST's network, which is no DVAE, learns by cross-entropy.
    Arguments as in `schedule_of` and `pretrain`.
    """
    network = new_network(name, seed)
    kept = _Kept(checkpoint, resume, {"network": name, "data": data.description})
    if isinstance(network, ConstantVelocity):
        iterations = epochs or RECIPES[name].epochs
        result = fit_constants(network, data.of_epoch(0), data.validation, iterations, report=report, **kept._asdict())
        return Trained(network, result, {"algorithm": "EM", "iterations": iterations})
    if isinstance(network, MotionCategories):
        return _train_categories(network, name, data, seed, epochs, batch_size, learning_rate, kept, report)
    assert isinstance(network, DVAE)
    schedule = schedule_of(name, epochs, batch_size, learning_rate)
    result = pretrain(network, data.of_epoch, data.validation, schedule, seed, report=report, **kept._asdict())
    return Trained(network, result, schedule.model_dump())


class _Kept(NamedTuple):
    """Where an interrupted training is kept, whether it is gone on with, and the settings that must be the same."""

    checkpoint: str | Path | None
    resume: bool
    settings: dict[str, Any]


def _train_categories(
    network: MotionCategories,
    name: str,
    data: TrainingTracks,
    seed: int,
    epochs: int | None,
    batch_size: int,
    learning_rate: float | None,
    kept: _Kept,
    report: Callable[[Epoch], None],
) -> Trained:
    recipe = RECIPES[name]
    rate = learning_rate or recipe.learning_rate
    assert rate is not None
    count = epochs or recipe.epochs
    result = fit_categories(
        network, data.of_epoch, data.validation, count, batch_size, rate, seed, report=report, **kept._asdict()
    )
    settings = {"algorithm": "k-means, then cross-entropy", "epochs": count, "batch_size": batch_size}
    return Trained(network, result, {**settings, "learning_rate": rate})
