"""A sound of any rate and of several channels, separated block by block in bounded memory."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pyro_mixdvae.separation.audio.reading import Samples
from pyro_mixdvae.separation.audio.resampling import Resampler
from pyro_mixdvae.separation.files.jobs import MixtureFile
from pyro_mixdvae.separation.files.posterior import PosteriorMeter
from pyro_mixdvae.separation.presence import Presence
from pyro_mixdvae.separation.separator import Separator

Stems = npt.NDArray[np.float32]


class BlockSeparation:
    """Stems of what is pushed, later and in blocks of other sizes: to the model's rate, its segments, and back.

    The channels keep in step. What lies above the model's band is in no stem yet: see `high_band`.

    Args:
        separator: what separates each channel.
        mixture: what is known of the sound.
        meters: of each channel.
        presence: when each source sounds.
    """

    def __init__(
        self,
        separator: Separator,
        mixture: MixtureFile,
        meters: Sequence[PosteriorMeter],
        presence: Presence | None = None,
    ):
        self._n_sources = len(separator.names)
        self._there = Resampler(mixture.rate, separator.stft.rate)
        self._back = Resampler(separator.stft.rate, mixture.rate, mixture.length)
        spans = separator.check_presence(presence, mixture.seconds)
        self._streams = [separator.stream(mixture.peak, meter, presence, spans) for meter in meters]

    def push(self, block: Samples) -> Stems:
        """Take samples [channels, n]; gives stems [N, channels, *] that are ready, perhaps none."""
        at_model_rate = self._there.push(block)
        ready = [stream.push(_tensor(channel)) for stream, channel in zip(self._streams, at_model_rate, strict=True)]
        return self._unflatten(self._back.push(self._flatten(ready)))

    def finish(self) -> Stems:
        """The rest [N, channels, *], after the last block."""
        at_model_rate = self._there.finish()
        ready = [
            [*stream.push(_tensor(channel)), *stream.finish()]
            for stream, channel in zip(self._streams, at_model_rate, strict=True)
        ]
        last = self._back.push(self._flatten(ready))
        return self._unflatten(np.concatenate([last, self._back.finish()], 1))

    def _flatten(self, ready: Sequence[Sequence[Tensor]]) -> Samples:
        """For each channel what its stream gave, to [N * channels, *]."""
        nothing = torch.empty(self._n_sources, 0)
        stems = torch.stack([torch.cat([nothing, *parts], 1) for parts in ready], 1)
        flat: Samples = stems.float().flatten(0, 1).numpy()
        return flat

    def _unflatten(self, flat: Samples) -> Stems:
        return flat.reshape(self._n_sources, len(self._streams), flat.shape[-1])


def _tensor(channel: Samples) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(channel))
