"""MixIT (Wisdom et al. 2020): a mask network that learns from mixtures of mixtures, and never meets a clean source."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from pyro_mixdvae.baselines.sounds.contract import Estimates, Learned, Lesson
from pyro_mixdvae.baselines.sounds.ideal_masks import masked
from pyro_mixdvae.baselines.sounds.mask_network import MaskNetwork, decibels_of, restored, trained
from pyro_mixdvae.baselines.sounds.synthetic import BATCH, source_spectra
from pyro_mixdvae.representations.stft import STFT


class MixIT:
    """Learns to take the sum of two mixtures apart, so that its outputs can be dealt to them.

    The mixtures are those of the supervised network, two at a time; of their sources only the sums are looked at.
    """

    def learn(self, lesson: Lesson) -> dict[str, Tensor]:
        """The weights."""

        def loss(network: MaskNetwork, step: int) -> Tensor:
            mixtures = source_spectra(lesson, step, 2 * BATCH).sum(1).unflatten(0, (BATCH, 2))
            both = mixtures.sum(1)
            return _best_dealt(network(both) * both.unsqueeze(1), mixtures).amin(-1).mean()

        n_outputs = 2 * len(lesson.clips)
        return dict(trained(lesson.stft.n_frequencies, n_outputs, loss, lesson.n_steps, lesson.seed).state_dict())

    def method(self, learned: Learned, stft: STFT) -> "DealtMasks":
        """As `Learner.method`."""
        n_outputs = len(learned["output.bias"]) // stft.n_frequencies
        return DealtMasks(restored(dict(learned), stft.n_frequencies, n_outputs), stft)


@dataclass(frozen=True)
class DealtMasks:
    """The outputs of a network that does not know which source is which: the truth deals them, as in the paper.

    A better number than a user would get, who has no truth.
    """

    network: MaskNetwork
    stft: STFT

    @torch.no_grad()
    def separate(self, mixtures: Tensor, truth: Tensor) -> Estimates:
        """As `SoundMethod.separate`."""
        spectrum = self.stft.spectrum(mixtures)
        masks = self.network(spectrum)
        best = _best_dealt(masks * spectrum.unsqueeze(1), self.stft.spectrum(truth)).argmin(-1)
        ways = torch.stack(list(_ways(masks.shape[1], truth.shape[1])))[best]  # [B, N, M]
        return Estimates(masked(mixtures, torch.einsum("bnm,bmtf->bntf", ways, masks), self.stft))


def _best_dealt(outputs: Tensor, references: Tensor) -> Tensor:
    """Error in decibels, the mean over references [B, N, T, F], of each way to deal the outputs [B, M, T, F]: [B, W].

    Of an error's power only inner products are needed, of which there are few.
    """
    flat = torch.cat([outputs, references], 1).flatten(-2)
    products = (flat @ flat.mH).real
    m = outputs.shape[1]
    among, across, own = products[:, :m, :m], products[:, m:, :m], products[:, m:, m:].diagonal(dim1=1, dim2=2)
    errors = []
    for way in _ways(m, references.shape[1]):
        squared = torch.einsum("nm,bmk,nk->bn", way, among, way) - 2 * torch.einsum("nm,bnm->bn", way, across) + own
        errors.append(decibels_of(squared.clamp(min=0), own).mean(-1))
    return torch.stack(errors, -1)


def _ways(n_outputs: int, n_references: int) -> Iterator[Tensor]:
    """All ways to deal outputs to references, as matrices [N, M] of zeros and ones."""
    for whose in product(range(n_references), repeat=n_outputs):
        yield torch.nn.functional.one_hot(torch.tensor(whose), n_references).T.float()
