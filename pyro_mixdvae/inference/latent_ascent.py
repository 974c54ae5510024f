"""E-Z by gradient: the latents that explain the mixture best, where an encoder only guesses them.

With s summed out, `log p(o, z) = log N_c(o; 0, sum_n v_n(h_n, z_n) + v_o) + sum_n log p(z_n | h_n)` for given histories
h, which hear the expected power of their source: EM, whose M-step (for z) is Adam's.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.distributions.markov_gaussian import Conditional, MarkovGaussian
from pyro_mixdvae.distributions.shared_sum import SharedSum
from pyro_mixdvae.engines.numba import spectra
from pyro_mixdvae.engines.numba.compiled import array, can_serve
from pyro_mixdvae.inference.adam import Adam
from pyro_mixdvae.models.sound_sources import SoundSources

Gradients = Callable[[], Sequence[Tensor]]


class LatentAscent:
    """Latents of N sources, which begin where encoders put them, and the optimiser that moves them.

    Args:
        sources: p(s, z), whose weights stay as they are.
        mixture: o, complex [B, T, F].
        noise: v_o [B, T, F].
        present: [B, T], False in the padding after the end.
        powers: v [B, N, T, F]: histories and encoders hear the power that each source is expected to have by it.
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
        self.sources, self.networks = sources, sources.each()
        self.noise, self.present = noise, present
        self.observed = squared_modulus(mixture)
        with torch.no_grad():
            heard = SharedSum(powers, mixture, noise).power.unbind(1)
            listened = [network.listen(power, present) for network, power in zip(self.networks, heard, strict=True)]
            self.histories = [history for history, _ in listened]
            self.paths = [encoder.central_path().clone().requires_grad_() for _, encoder in listened]
        self._gradients = self._make_gradients()
        self._optimiser = Adam(self.paths, learning_rate)

    def climb(self, n_steps: int) -> None:
        """So many steps."""
        for _ in range(n_steps):
            self._optimiser.climb(self._gradients())

    def powers(self) -> Tensor:
        """v(h, z) [B, N, T, F], where the latents are."""
        each = zip(self.networks, self.histories, self.paths, strict=True)
        return torch.stack([network.power(history, path) for network, history, path in each], 1)

    def _make_gradients(self) -> Gradients:
        """What gives those of log p(o, z) in the latents of each source, [B, T, L], where these are when it is called.

        Mixtures do not touch: the sum over them may stand for each.
        """
        with torch.no_grad():
            if can_serve(self.observed, self.noise, *self.sources.parameters()):
                return self._fast_gradients()

        def gradients() -> Sequence[Tensor]:
            with torch.enable_grad():
                return torch.autograd.grad(self._log_joint(), self.paths)

        return gradients

    def _log_joint(self) -> Tensor:
        """log p(o, z), up to a constant and summed over the mixtures."""
        expected = self.powers().sum(1) + self.noise
        per_frame = -(self.observed / expected + expected.log()).sum(-1)
        joint = torch.where(self.present, per_frame, 0.0).sum()
        for network, history, path in zip(self.networks, self.histories, self.paths, strict=True):
            prior = MarkovGaussian(network.latent_prior, history, network.latent_dim, self.present)
            joint = joint + prior.log_prob(path).sum()
        return joint

    def _fast_gradients(self) -> Gradients:
        """The same: what histories add is computed once, and the gradient in what the heads give by formula."""
        each = list(zip(self.networks, self.histories, strict=True))
        emissions = [network.head_given(history) for network, history in each]
        priors = [
            MarkovGaussian(_of_latent(network.prior_network.given(history)), history, network.latent_dim, self.present)
            for network, history in each
        ]
        heads = self.sources.heads(self.noise)
        seen, noise, present = (array(part.flatten(0, 1)) for part in (self.observed, self.noise, self.present))

        def gradients() -> Sequence[Tensor]:
            with torch.enable_grad():
                emitted = [emission(path).flatten(0, 1) for emission, path in zip(emissions, self.paths, strict=True)]
                prior = torch.stack([each.log_prob(path).sum() for each, path in zip(priors, self.paths, strict=True)])
            slopes = spectra.ascent(tuple(map(array, emitted)), heads, seen, noise, present)
            return torch.autograd.grad(
                [*emitted, prior], self.paths, [*torch.from_numpy(slopes), torch.ones_like(prior)]
            )

        return gradients


def _of_latent(given: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Conditional:
    """A conditional whose features are in it already."""
    return lambda _, z_before: given(z_before)
