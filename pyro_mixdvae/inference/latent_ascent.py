"""E-Z by gradient: the latents that explain the mixture best, where an encoder only guesses them.

With s summed out, `log p(o, z) = log N_c(o; 0, sum_n v_n(h_n, z_n) + v_o) + sum_n log p(z_n | h_n)` for given histories
h, which hear the expected power of their source anew every few steps: EM, whose M-step (for z) is Adam's.
"""

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.distributions.markov_gaussian import MarkovGaussian
from pyro_mixdvae.distributions.shared_sum import SharedSum
from pyro_mixdvae.models.sound_sources import SoundSources


class LatentAscent:
    """Latents of N sources, and the optimiser that moves them.

    Args:
        sources: p(s, z), whose weights stay as they are.
        mixture: o, complex [B, T, F].
        noise: v_o [B, T, F].
        present: [B, T], False in the padding after the end.
        powers: v [B, N, T, F] to begin with.
        learning_rate: of Adam.
    """

    def __init__(
        self,
        sources: SoundSources,
        mixture: Tensor,
        noise: Tensor,
        present: Tensor,
        powers: Tensor,
        learning_rate: float = 0.05,
    ):
        self.networks = sources.each()
        self.mixture, self.noise, self.present, self.powers = mixture, noise, present, powers
        with torch.no_grad():
            heard = self._heard()
            paths = [
                network.latent_posterior(history, power, present).central_path()
                for network, history, power in zip(self.networks, self._histories(heard), heard, strict=True)
            ]
        self.paths = [path.clone().requires_grad_() for path in paths]
        self.optimiser = torch.optim.Adam(self.paths, learning_rate)

    def step(self, n_steps: int) -> Tensor:
        """So many steps with the same histories; gives the new v [B, N, T, F]."""
        with torch.no_grad():
            histories = self._histories(self._heard())
        for _ in range(n_steps):
            with torch.enable_grad():
                loss = -self._log_joint(histories)
                gradients = torch.autograd.grad(loss, self.paths)
            for path, gradient in zip(self.paths, gradients, strict=True):
                path.grad = gradient
            self.optimiser.step()
        with torch.no_grad():
            self.powers = self._powers(histories)
        return self.powers

    def _heard(self) -> tuple[Tensor, ...]:
        """Expected power `|m|^2 + V` of each source, [B, T, F]."""
        posterior = SharedSum(self.powers, self.mixture, self.noise)
        return (squared_modulus(posterior.mean) + posterior.variance).unbind(1)

    def _histories(self, heard: tuple[Tensor, ...]) -> list[Tensor]:
        """h of each source, [B, T, H]."""
        return [
            network.history(network.teacher_forced(power)) for network, power in zip(self.networks, heard, strict=True)
        ]

    def _powers(self, histories: list[Tensor]) -> Tensor:
        each = zip(self.networks, histories, self.paths, strict=True)
        return torch.stack([network.power(history, path) for network, history, path in each], 1)

    def _log_joint(self, histories: list[Tensor]) -> Tensor:
        """log p(o, z), up to a constant and summed over the mixtures: they do not touch."""
        expected = self._powers(histories).sum(1) + self.noise
        per_frame = -(squared_modulus(self.mixture) / expected + expected.log()).sum(-1)
        joint = torch.where(self.present, per_frame, 0.0).sum()
        for network, history, path in zip(self.networks, histories, self.paths, strict=True):
            prior = MarkovGaussian(network.latent_prior, history, network.latent_dim, self.present)
            joint = joint + prior.log_prob(path).sum()
        return joint
