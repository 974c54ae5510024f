"""Pre-training of a motion prior for boxes: tracks, schedule and network put together."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.autoregressive import Autoregressive
from pyro_mixdvae.networks.constant_acceleration import ConstantAcceleration
from pyro_mixdvae.networks.dkf import DKF
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.hmm import HMM
from pyro_mixdvae.networks.kinematic import ConstantVelocity, KinematicNetwork
from pyro_mixdvae.networks.motion_categories import MotionCategories
from pyro_mixdvae.networks.random_walk import RandomWalk
from pyro_mixdvae.networks.rvae import RVAE
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.networks.storn import STORN
from pyro_mixdvae.networks.vae import VAE
from pyro_mixdvae.networks.vrnn import VRNN
from pyro_mixdvae.process_state import drawing, seeded
from pyro_mixdvae.representations.boxes import CentreLogSize, Coordinates, PublishedCorners
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.files.sequences import locate
from pyro_mixdvae.tracking.tracks.recorded import tracks_from_files
from pyro_mixdvae.tracking.tracks.trajectories import published_trajectories, rich_trajectories
from pyro_mixdvae.training.categories import CategoryTraining
from pyro_mixdvae.training.data import VALIDATION_EPOCH, TrainingData, checksums, split
from pyro_mixdvae.training.expectation_maximisation import ConstantsTraining, MeanSquareTraining
from pyro_mixdvae.training.loop import ELBO, LOG_LIKELIHOOD, Score, Training
from pyro_mixdvae.training.pretrain import Pretraining
from pyro_mixdvae.training.schedule import Schedule

MOTIONS: dict[str, Callable[[int, int, list[int]], Array]] = {
    "rich": rich_trajectories,
    "published": published_trajectories,
}
HELD_OUT = 8  # one track in so many is for validation


class Recipe(NamedTuple):
    """What goes with a network: its coordinates, how boxes become its content, and the defaults of training.

    Attributes:
        build: makes the untrained network.
        coordinates: of the boxes.
        of_displacements: the content is the displacement of the coordinates, and not the coordinates.
        motion: synthetic trajectories to learn from, by default.
        epochs: by default; iterations, where the network is fitted by EM.
        learning_rate: by default; None where the network is fitted by EM.
        score: what training raises. With nothing latent, or q(z | y) exact and fitted by EM, it is the log
            likelihood.
        warm_up: epochs over which the KL term is warmed up; scheduled sampling sets in after them.
        own_output_probability: of scheduled sampling, at its end; 0 where no recurrence is fed the content.
    """

    build: Callable[[], nn.Module]
    coordinates: Coordinates
    of_displacements: bool
    motion: str
    epochs: int
    learning_rate: float | None
    score: Score = ELBO
    warm_up: int = 0
    own_output_probability: float = 0.3

    def content(self, boxes: Array) -> Tensor:
        """Boxes ``[*, T, 4]`` to content ``[*, T, 4]`` or, of displacements, ``[*, T-1, 4]``; single precision."""
        content = self.coordinates.content(torch.as_tensor(boxes))
        return (self.coordinates.displacements(content) if self.of_displacements else content).float()


BOXES = CentreLogSize()
RECIPES = {
    "kinematic": Recipe(KinematicNetwork, BOXES, True, "rich", 150, 0.01),
    "constant-velocity": Recipe(ConstantVelocity, BOXES, True, "rich", 300, None, LOG_LIKELIHOOD),
    "constant-acceleration": Recipe(ConstantAcceleration, BOXES, True, "rich", 100, None, LOG_LIKELIHOOD),
    "random-walk": Recipe(RandomWalk, BOXES, True, "rich", 1, None, LOG_LIKELIHOOD),
    "hmm": Recipe(HMM, BOXES, True, "rich", 15, 0.02, LOG_LIKELIHOOD, own_output_probability=0),
    "autoregressive": Recipe(Autoregressive, BOXES, True, "rich", 150, 0.01, LOG_LIKELIHOOD),
    "artist": Recipe(MotionCategories, BOXES, True, "rich", 40, 0.003, Score("log probability", "nats a frame")),
    "vrnn": Recipe(VRNN, BOXES, True, "rich", 20, 0.005, warm_up=8),
    "storn": Recipe(STORN, BOXES, True, "rich", 15, 0.005, warm_up=8),
    "dkf": Recipe(DKF, BOXES, True, "rich", 25, 0.005, warm_up=8, own_output_probability=0),
    "rvae": Recipe(RVAE, BOXES, True, "rich", 20, 0.005, warm_up=8, own_output_probability=0),
    "vae": Recipe(VAE, BOXES, False, "rich", 40, 0.005, warm_up=8, own_output_probability=0),
    "srnn": Recipe(SRNN, PublishedCorners(), False, "published", 300, 0.001, warm_up=20, own_output_probability=1),
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
    warm_up = min(recipe.warm_up, epochs // 8)
    return Schedule(
        epochs=epochs,
        warm_up=warm_up,
        sampling_start=warm_up,
        sampling_end=min(100, epochs // 2) if published else warm_up + min(30, epochs // 5),
        own_output_probability=recipe.own_output_probability,
        batch_size=batch_size,
        learning_rate=rate,
        final_learning_rate=1.0 if published else 0.02,
        patience=50 if published else 30,
    )


def synthetic_tracks(network: str, motion: str, count: int, n_frames: int, seed: int) -> TrainingData[Tensor]:
    """Fresh trajectories in every epoch, so that there is nothing to learn by heart."""
    draw, content = MOTIONS[motion], RECIPES[network].content
    return TrainingData(
        lambda epoch: content(draw(count, n_frames, [seed, epoch])),
        content(draw(max(1, count // HELD_OUT), n_frames, [seed, VALIDATION_EPOCH])),
        {"generator": motion, "count": count, "frames": n_frames, "seed": seed},
    )


def recorded_tracks(
    network: str, paths: Sequence[str | Path], count: int, n_frames: int, seed: int
) -> TrainingData[Tensor]:
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
            "validation: give more tracks, or ask for fewer frames (--frames)."
        )
    held_out = np.isin(recorded.track, split(names, HELD_OUT, [seed, VALIDATION_EPOCH])[1])
    content = RECIPES[network].content(recorded.boxes)
    training, validation = content[~held_out], content[held_out]

    def of_epoch(epoch: int) -> Tensor:
        return training[np.random.default_rng([seed, epoch]).integers(len(training), size=count)]

    files = checksums((Path(path).name, locate(Path(path), "gt/gt.txt")[0]) for path in paths)
    description = {"files": files, "count": count, "frames": n_frames, "seed": seed, "windows": len(content)}
    return TrainingData(of_epoch, validation, description, recorded.notes)


def new_network(network: str, seed: int) -> nn.Module:
    """An untrained network in single precision, drawn by a seed; torch's generator is left as it was."""
    with drawing(seeded(seed)):
        return RECIPES[network].build().float()


def training_of(
    name: str,
    data: TrainingData[Tensor],
    seed: int = 0,
    epochs: int | None = None,
    batch_size: int = 256,
    learning_rate: float | None = None,
) -> Training[Any]:
    """The training of a recipe's network: by SVI on its ELBO or, where all is linear and Gaussian, by EM
    (the random walk's variance is a mean square).

    EM sees the tracks of one epoch, over and over. ArTIST's network, which is no DVAE, learns by cross-entropy.
    Arguments as in `schedule_of`.
    """
    network, recipe = new_network(name, seed), RECIPES[name]
    if isinstance(network, RandomWalk):
        return MeanSquareTraining(network, data.of_epoch(0), data.validation, seed)
    if isinstance(network, (ConstantVelocity, ConstantAcceleration)):
        return ConstantsTraining(network, data.of_epoch(0), data.validation, epochs or recipe.epochs, seed=seed)
    if isinstance(network, MotionCategories):
        rate = learning_rate or recipe.learning_rate
        assert rate is not None
        count = epochs or recipe.epochs
        return CategoryTraining(network, data.of_epoch, data.validation, count, batch_size, rate, seed)
    assert isinstance(network, DVAE)
    schedule = schedule_of(name, epochs, batch_size, learning_rate)
    return Pretraining(network, data.of_epoch, data.validation, schedule, seed)
