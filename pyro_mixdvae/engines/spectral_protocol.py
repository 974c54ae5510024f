"""What inference asks of an engine for sounds: what networks make of powers, gradients in the latents, and records.

An engine is made for a model and a batch of mixtures, once a run (`registry.spectral_engine`).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from pyro_mixdvae.distributions.shared_sum import SharedSum
from pyro_mixdvae.distributions.silent_sum import SilentSum
from pyro_mixdvae.engines.protocol import Record
from pyro_mixdvae.guides.contract import Guide
from pyro_mixdvae.models.scene import Scene

Gradients = Callable[[], Sequence[Tensor]]
"""Of log p(o, z) in the latents of each source [B, T, L], where these are when it is called."""


class Encoded(NamedTuple):
    """What the networks of N sources make of powers: the histories h [B, T, H] of each, and the latents [B, T, L].

    The latents are at first the central paths of q(z | s).
    """

    histories: Sequence[Tensor]
    latents: Sequence[Tensor]


class NoisySum(NamedTuple):
    """What is seen of the sum of the sources, complex, and the variance of its noise: [B, T, F] each.

    Where sources may be silent, `chances` are those of the joint states of all, [B, T, 2^N].
    """

    value: Tensor
    noise: Tensor
    chances: Tensor | None = None

    def given(self, powers: Tensor) -> SharedSum | SilentSum:
        """q(s | o) of sources of powers v [B, N, T, F]."""
        whole = SharedSum(powers, self.value, self.noise)
        return whole if self.chances is None else SilentSum(whole, self.chances)


class SpectralEngine(Protocol):
    """The steps of inference in a model over `SoundSources`.

    Attributes:
        name: "torch" or "numba".
        model: whose networks are asked.
        scene: the batch; frames that are not present do not count, and no network sees them.
    """

    name: str
    model: Any
    scene: Scene

    def encode(self, power: Tensor) -> Encoded:
        """What the networks make of powers |s|^2 [B, N, T, F]."""

    def powers(self, encoded: Encoded) -> Tensor:
        """v(h, z) of p(s | z), [B, N, T, F]."""

    def reconstructed(self, power: Tensor) -> Tensor:
        """v where the encoder puts the latents, the networks being fed |s|^2: [B, N, T, F] -> same."""

    def gradients(self, encoded: Encoded, seen: NoisySum) -> Gradients:
        """Those of `log N_c(o; 0, sum_n v_n(h_n, z_n) + v_o) + sum_n log p(z_n | h_n)`, s being summed out.

        Where sources may be silent the first is a mean over their joint states, the sum being of those that sound.

        The latents are tensors that may be moved in place from call to call, and take a gradient.
        """

    def record(self, guide: Guide, seed: int = 0) -> Record:
        """The ELBO and its terms; the noise of (s, z) is the same each time, so that records can be compared."""
