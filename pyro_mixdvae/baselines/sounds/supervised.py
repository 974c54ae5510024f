"""A mask network trained on synthetic mixtures of the clips, with their sources: what pairs buy."""

from dataclasses import dataclass

import torch
from torch import Tensor

from pyro_mixdvae.baselines.sounds.contract import Estimates, Learned, Lesson
from pyro_mixdvae.baselines.sounds.ideal_masks import masked
from pyro_mixdvae.baselines.sounds.mask_network import MaskNetwork, error_decibels, restored, trained
from pyro_mixdvae.baselines.sounds.synthetic import source_spectra
from pyro_mixdvae.representations.stft import STFT


class Supervised:
    """Learns the masks of the N sources, in their order."""

    def learn(self, lesson: Lesson) -> dict[str, Tensor]:
        """The weights, and how many sources they are of."""
        n_sources = len(lesson.clips)

        def loss(network: MaskNetwork, step: int) -> Tensor:
            sources = source_spectra(lesson, step)
            mixture = sources.sum(1)
            return error_decibels(sources, network(mixture) * mixture.unsqueeze(1)).mean()

        network = trained(lesson.stft.n_frequencies, n_sources, loss, lesson.n_steps, lesson.seed)
        return dict(network.state_dict())

    def method(self, learned: Learned, stft: STFT) -> "Masked":
        """As `Learner.method`."""
        n_outputs = len(learned["output.bias"]) // stft.n_frequencies
        return Masked(restored(dict(learned), stft.n_frequencies, n_outputs), stft)


@dataclass(frozen=True)
class Masked:
    """The mixture through the masks of a network."""

    network: MaskNetwork
    stft: STFT

    @torch.no_grad()
    def separate(self, mixtures: Tensor, truth: Tensor) -> Estimates:
        """As `SoundMethod.separate`."""
        return Estimates(masked(mixtures, self.network(self.stft.spectrum(mixtures)), self.stft))
