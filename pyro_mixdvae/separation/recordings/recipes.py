"""Pre-training of the model of one source of sound: clips, schedule and network put together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.plurals import counted
from pyro_mixdvae.process_state import drawing, seeded
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.audio.skipping import told
from pyro_mixdvae.separation.recordings.clips import SHORTEST, Clips, hold_out, read_clips
from pyro_mixdvae.separation.recordings.examples import ClipExamples, KeptExamples, Mixing
from pyro_mixdvae.separation.recordings.quality import remarks
from pyro_mixdvae.training.data import VALIDATION_EPOCH, TrainingData
from pyro_mixdvae.training.pretrain import Pretraining
from pyro_mixdvae.training.schedule import Schedule
from pyro_mixdvae.training.separating import Separating

N_VALIDATION = 256
N_OF_OTHERS = 64


class TrainingClips(NamedTuple):
    """Clips of a source and of its interference, for training and for validation (in this order).

    `description` says what they are, for the card; `notes` are sentences that the user should read.
    """

    source: tuple[Clips, Clips]
    others: tuple[Clips, Clips] | None
    n_frames: int
    stft: STFT
    description: dict[str, Any]
    notes: list[str]

    def examples(self, count: int, seed: int) -> TrainingData[ClipExamples]:
        """So many fresh pieces in every epoch, and the held-out ones.

        Where there are others, nothing stands for them: a model of them learns along.
        """
        mixing = Mixing(synthetic=0.0)
        return TrainingData(
            lambda epoch: ClipExamples(*self._clips(0), self.stft, self.n_frames, count, [seed, epoch], mixing),
            KeptExamples(*self._clips(1), self.stft, self.n_frames, N_VALIDATION, [seed, VALIDATION_EPOCH], mixing),
            {**self.description, "count": count},
            self.notes,
        )

    def pieces_of_others(self, seed: int) -> ClipExamples:
        """Held-out pieces of the other sounds, heard through the source.

        Raises:
            ValueError: there are no others.
        """
        if self.others is None:
            raise ValueError("no other sounds were given")
        key = [seed, VALIDATION_EPOCH]
        return ClipExamples(self.others[1], self.source[1], self.stft, self.n_frames, N_OF_OTHERS, key)

    def _clips(self, part: int) -> tuple[Clips, Clips | None]:
        """Of the source and of the others, for training (0) or for validation (1)."""
        return self.source[part], self.others[part] if self.others else None


def training_clips(
    folders: Sequence[str | Path],
    against: Sequence[str | Path] = (),
    n_frames: int = 50,
    seed: int = 0,
    stft: STFT = STFT(),  # noqa: B008 - frozen
) -> TrainingClips:
    """Read and check the clips of a source, and of sounds that it may be mixed with.

    Raises:
        InputError: a folder has no clip, or only one, that can be used.
    """
    least = round(SHORTEST * stft.rate)
    clips = read_clips(folders, stft.rate, least)
    others = read_clips(against, stft.rate, least) if against else None
    minutes = clips.n_samples / stft.rate / 60
    n_short = sum(len(samples) < (n_frames - 1) * stft.hop for samples in clips.samples)
    joined = f", {n_short} of them shorter than pieces to learn from: they are joined" if n_short else ""
    notes = [
        f"{counted(len(clips.samples), 'clip')}, {minutes:.1f} min{joined}.",
        *remarks(clips.paths, clips.qualities),
    ]
    skipped = clips.skipped + (others.skipped if others else [])
    notes += told(skipped)
    description = {
        "files": clips.description(),
        "minutes": round(minutes, 2),
        "frames": n_frames,
        "against": others.description() if others else "noise and tones",
    }
    return TrainingClips(
        hold_out(clips, seed), hold_out(others, seed) if others else None, n_frames, stft, description, notes
    )


def schedule_of(epochs: int, batch_size: int = 16, learning_rate: float = 0.002) -> Schedule:
    """KL warm-up, then scheduled sampling, both over a fraction of the epochs; the learning rate falls along a cosine.

    Unlike the paper's, whose E-S step feeds each model its own output of the frame before, separation feeds the models
    what they made of the mixture in the last iteration (`SpectralSRNN.seen_input`), so that few frames are replaced.
    """
    return Schedule(
        epochs=epochs,
        warm_up=min(10, epochs // 10),
        sampling_start=min(10, epochs // 10),
        sampling_end=min(30, epochs // 5),
        kl_weight=0.01,  # the paper's: with the whole KL term z carries too little to resynthesise a voice
        own_output_probability=0.3,
        batch_size=batch_size,
        learning_rate=learning_rate,
        final_learning_rate=0.02,
        clip=100.0,
        patience=max(40, epochs // 4),
    )


def training_of(
    data: TrainingData[ClipExamples],
    seed: int = 0,
    epochs: int = 100,
    batch_size: int = 16,
    learning_rate: float = 0.002,
    start: SpectralSRNN | None = None,
    others: SpectralSRNN | None = None,
) -> Pretraining[SpectralSRNN]:
    """The training of the SRNN of one source: of a new one, or of `start`, in place.

    With a network of the other sounds it learns to be told from them, and they learn along, in place (`Separating`).
    Other arguments as in `schedule_of`.
    """
    schedule = schedule_of(epochs, batch_size, learning_rate)
    network = new_network(data.validation, seed) if start is None else start
    objective = None if others is None else Separating(network, others)
    return Pretraining(network, data.of_epoch, data.validation, schedule, seed, objective)


@torch.no_grad()
def new_network(pieces: ClipExamples, seed: int) -> SpectralSRNN:
    """An untrained network in single precision that emits the mean spectrum of the pieces, whatever its inputs."""
    with drawing(seeded(seed)):
        network = SpectralSRNN(pieces.stft.n_frequencies).float()
    spectrum = pieces[torch.arange(len(pieces))].content
    network.begin_at(spectrum.abs().square().mean((0, 1)))
    return network
