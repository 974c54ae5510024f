"""What inference gives."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from pyro_mixdvae.distributions.kalman import Transition
from pyro_mixdvae.engines.protocol import PseudoObservation, Record
from pyro_mixdvae.models.assignments.present import Presence
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.silence import Sounding


class Conditioned(NamedTuple):
    """The linear-Gaussian chains of p(s, z), their memory fed, and what all detections together say of each source."""

    transitions: Transition
    observation: PseudoObservation


@dataclass(frozen=True)
class Posterior:
    """The posterior of a batch of scenes.

    Attributes:
        model: as it was fitted to the scenes: rates, noise, and what SVI has learned.
        scene: the batch, with the start that the model was given.
        guide: q itself.
        mean, variance: of q(s_tn): contents [B, N, T, D]; of sounds spectra [B, N, T, F], the mean complex, of what is
            heard of each where sources may be silent.
        responsibilities: `eta_tkc = q(w_tk = c)` [B, T, K, C]; of sounds that add up, each source's share [B, T, F, N].
        records: the ELBO of every iteration, its terms and standard error; after SVI, whose records are of its own
            draws, one more of the guide that it ends with.
        engine: "numba" or "torch".
        note: a sentence where the compiled engine could not serve; says which part it does not know.
        conditioned: what q(s, z) is the posterior of, where closed-form updates found it; else None.
    """

    model: Any
    scene: Scene
    guide: Any
    mean: Tensor
    variance: Tensor
    responsibilities: Tensor
    records: list[Record]
    engine: str
    note: str | None = None
    conditioned: Conditioned | None = None

    @property
    def presence(self) -> Tensor | None:
        """The probability that each source is in the picture, or sounds, [B, N, T]; None in a model in which all do."""
        latent = getattr(self.guide, "latent", None)
        return latent.presence() if isinstance(latent, Presence | Sounding) else None
