"""The steps of inference for sounds in PyTorch: any model over `SoundSources`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.distributions.markov_gaussian import MarkovGaussian
from pyro_mixdvae.engines.protocol import Record
from pyro_mixdvae.engines.spectral_protocol import Encoded, Gradients, NoisySum
from pyro_mixdvae.engines.torch.evaluator import RecordingELBO
from pyro_mixdvae.guides.contract import Guide
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.process_state import drawing, seeded


class TorchSpectralEngine:
    """`engines.spectral_protocol.SpectralEngine`, as the equations say it."""

    name = "torch"

    def __init__(self, model: Any, scene: Scene):
        self.model, self.scene = model, scene

    @torch.no_grad()
    def encode(self, power: Tensor) -> Encoded:
        """`SpectralSRNN.encode_power` of each network."""
        each = zip(self.model.sources.each(), power.unbind(1), strict=True)
        encoded = [network.encode_power(own, self.scene.present) for network, own in each]
        return Encoded([history for history, _ in encoded], [encoder.central_path() for _, encoder in encoded])

    def powers(self, encoded: Encoded) -> Tensor:
        """`SpectralSRNN.power` of each network."""
        each = zip(self.model.sources.each(), *encoded, strict=True)
        return torch.stack([network.power(history, latent) for network, history, latent in each], 1)

    @torch.no_grad()
    def reconstructed(self, power: Tensor) -> Tensor:
        """`SoundSources.reconstructed`."""
        present = self.scene.present.unsqueeze(1).expand(power.shape[:-1])
        found: Tensor = self.model.sources.reconstructed(power, present)
        return found

    def gradients(self, encoded: Encoded, seen: NoisySum) -> Gradients:
        """By autograd. Mixtures do not touch: the sum over them may stand for each."""
        power = squared_modulus(seen.value)

        def of_latents() -> Sequence[Tensor]:
            with torch.enable_grad():
                return torch.autograd.grad(self._log_joint(encoded, power, seen), list(encoded.latents))

        return of_latents

    def _log_joint(self, encoded: Encoded, power: Tensor, seen: NoisySum) -> Tensor:
        """log p(o, z), or its mean over v, up to a constant and summed over the mixtures."""
        per_frame = torch.zeros_like(power[..., 0])
        for chance, q in seen.given(self.powers(encoded)).states():
            expected = q.expected
            per_frame = per_frame - chance * (power / expected + expected.log()).sum(-1)
        joint = torch.where(self.scene.present, per_frame, 0.0).sum()
        for network, history, latent in zip(self.model.sources.each(), *encoded, strict=True):
            prior = MarkovGaussian(network.latent_prior, history, network.latent_dim, self.scene.present)
            joint = joint + prior.log_prob(latent).sum()
        return joint

    def record(self, guide: Guide, seed: int = 0) -> Record:
        """By TraceEnum_ELBO on the programs of model and guide."""
        with drawing(seeded(seed), self.scene.start.device):
            return RecordingELBO().evaluate(self.model, guide, self.scene)
