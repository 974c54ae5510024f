"""Deep AR: the default with an autoregressive p(s) in place of the DVAEs, that is without z."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pyro_mixdvae.baselines.sounds.contract import Learned, Lesson, SoundMethod
from pyro_mixdvae.benchmark.sounds.mixdvae import MixDVAE
from pyro_mixdvae.declaration.shipped import shipped, with_weights
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.sources.sound import SoundSources
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.process_state import drawing, seeded
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.presets import build
from pyro_mixdvae.separation.recordings.clips import Clips
from pyro_mixdvae.separation.recordings.examples import ClipExamples
from pyro_mixdvae.separation.separator import Separator

BATCH, FRAMES = 16, 50
LEARNING_RATE, CLIP = 2e-3, 100.0


@dataclass(frozen=True)
class DeepAR:
    """Learns, for each source, an SRNN of the sizes of ours that has no z: what comes next follows from the past.

    Like ours it is fed what separation will feed it: the mixture, or what an earlier pass has made of it.

    Args:
        weights: of our networks, in whose place these are put.
    """

    weights: Sequence[str]

    def learn(self, lesson: Lesson) -> dict[str, Tensor]:
        """The weights of all networks.

        Raises:
            InputError: no clip of a source is long enough.
        """
        long = [_long_enough(clips, lesson.stft) for clips in lesson.clips]
        networks = [
            _trained(ClipExamples(own, long[1 - n], lesson.stft, FRAMES, BATCH * lesson.n_steps, [lesson.seed, n]))
            for n, own in enumerate(long)
        ]
        return dict(nn.ModuleList(networks).state_dict())

    def method(self, learned: Learned, stft: STFT) -> SoundMethod:
        """The default separator with other networks."""
        networks = [_network(stft.n_frequencies) for _ in self.weights]
        nn.ModuleList(networks).load_state_dict(dict(learned))
        sources = SoundSources([network.eval() for network in networks])
        ours = build(with_weights(shipped("additive", "sounds"), list(self.weights)))
        preset = replace(ours, model=ours.model.replace(sources=sources))
        return MixDVAE(Separator(list(self.weights), preset))


def _long_enough(clips: Clips, stft: STFT) -> Clips:
    chosen = [i for i, samples in enumerate(clips.samples) if len(samples) > FRAMES * stft.hop]
    if not chosen:
        raise InputError(f"deep-ar learns from clips of {FRAMES} frames: {clips.paths[0].parent} holds none so long.")
    return clips.chosen(chosen)


def _network(n_frequencies: int) -> SpectralSRNN:
    with warnings.catch_warnings(), drawing(seeded(0)):
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        return SpectralSRNN(n_frequencies, latent_dim=0).float()


def _trained(examples: ClipExamples) -> SpectralSRNN:
    """By the likelihood of the next frame, a batch of fresh pieces a step."""
    network = _network(examples.stft.n_frequencies)
    batches = torch.arange(len(examples)).split(BATCH)
    network.begin_at(examples[batches[0]].content.abs().square().mean((0, 1)))
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(batches))
    generator = seeded(examples.key[0])
    for batch in batches:
        source, mixture = examples[batch]
        heard = network.seen_input(source, mixture, generator)
        h = network.history(network.teacher_forced(heard))
        loss = -network.density(h, h[..., :0]).log_prob(source).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        falling.step()
    return network
