"""The steps of inference for sounds, compiled: for the parts that ship, known by their exact types.

Each step gives what the one in `engines.torch.spectral` gives (held to it in a test), records from the same draws.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import as_spectrum, squared_modulus
from pyro_mixdvae.distributions.markov_gaussian import Conditional, MarkovGaussian
from pyro_mixdvae.engines.numba import spectra
from pyro_mixdvae.engines.numba.compiled import array
from pyro_mixdvae.engines.numba.weights import latent_path_of
from pyro_mixdvae.engines.protocol import Record
from pyro_mixdvae.engines.spectral_protocol import Encoded, Gradients, NoisySum
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.guides.contract import Guide
from pyro_mixdvae.guides.mean_field import MeanField
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.assignments.independent import IndependentAssignment
from pyro_mixdvae.models.likelihoods.complex_normal import ComplexNormal
from pyro_mixdvae.models.likelihoods.complex_student_t import ComplexStudentT
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.sound import SoundSources
from pyro_mixdvae.networks.layers import GaussianNetwork
from pyro_mixdvae.networks.spectral_srnn import LOUDEST, SpectralSRNN
from pyro_mixdvae.networks.stationary_noise import StationaryNoise


def unknown_part(model: Any, guide: object, scene: Scene) -> str | None:
    """Which part kernels do not know, in words; None where they know all of model, guide and scene."""
    if type(model) not in (AdditiveModel, MixtureModel):
        return f"the model {type(model).__name__}"
    if type(model) is AdditiveModel and model.silence is not None:
        return "sources that may be silent"
    if type(model.sources) is not SoundSources:
        return f"the sources {type(model.sources).__name__}"
    for network in model.sources.each():
        if type(network) is StationaryNoise:
            continue
        if type(network) is not SpectralSRNN:
            return f"the network {type(network).__name__}"
        if network.latent_dim == 0:
            return "a network without z"
        if not network.encoder_network.hidden.linear():
            return "an encoder without hidden layers"
    if type(model) is MixtureModel and type(model.assignment) is not IndependentAssignment:
        return f"the assignment {type(model.assignment).__name__}"
    known = (ComplexNormal,) if type(model) is AdditiveModel else (ComplexNormal, ComplexStudentT)
    if type(model.likelihood) not in known:
        return f"the likelihood {type(model.likelihood).__name__}"
    if guide is not (AdditiveGuide if type(model) is AdditiveModel else MeanField):
        return f"the guide {getattr(guide, '__name__', type(guide).__name__)}"
    tensors = [scene.observations.real, scene.start, *model.parameters(), *model.sources.buffers()]
    dtype = scene.start.dtype
    if any(tensor.device.type != "cpu" for tensor in tensors):
        return "tensors that are not on the CPU"
    if dtype not in (torch.float32, torch.float64) or any(tensor.dtype != dtype for tensor in tensors):
        return "numbers of different precisions"
    return None


class NumbaSpectralEngine:
    """`engines.spectral_protocol.SpectralEngine` by kernels."""

    name = "numba"

    def __init__(self, model: Any, scene: Scene):
        self.model, self.scene = model, scene
        self.networks: list[SpectralSRNN | StationaryNoise] = list(model.sources.each())
        # How the networks' heads are read.
        read = [(*network.head_units, LOUDEST, network.floor) for network in self.networks]
        self._heads = spectra.Heads(*map(array, torch.tensor(read, dtype=scene.start.dtype).unbind(1)))
        self._draws: dict[int, list[Tensor]] = {}

    @torch.no_grad()
    def encode(self, power: Tensor) -> Encoded:
        """The recursion of each path in a kernel."""
        encoded = [self._encode(n, own) for n, own in enumerate(power.unbind(1))]
        return Encoded([history for history, _ in encoded], [self._path(q) for _, q in encoded])

    def _encode(self, n: int, power: Tensor) -> tuple[Tensor, MarkovGaussian]:
        return self.networks[n].encode_power(power, self.scene.present)

    def _path(self, encoder: MarkovGaussian, noise: Tensor | None = None) -> Tensor:
        """The path that noise [B, T, L] makes, or the central one."""
        if noise is None:
            features = encoder.features
            noise = features.new_zeros(*features.shape[:-1], self.model.sources.latent_dim)
        if not isinstance(encoder.conditional, GaussianNetwork):
            return encoder.path(noise)
        return latent_path_of(encoder.conditional, encoder.features, noise)

    def powers(self, encoded: Encoded) -> Tensor:
        """`SpectralSRNN.power` of each network."""
        each = zip(self.networks, *encoded, strict=True)
        return torch.stack([network.power(history, latent) for network, history, latent in each], 1)

    @torch.no_grad()
    def reconstructed(self, power: Tensor) -> Tensor:
        """The powers at the central paths."""
        return self.powers(self.encode(power))

    @torch.no_grad()
    def gradients(self, encoded: Encoded, seen: NoisySum) -> Gradients:
        """What histories add is computed once, and the gradient in what the heads give by formula."""
        latents = list(encoded.latents)
        each = list(zip(self.networks, encoded.histories, strict=True))
        emissions = [network.head_given(history) for network, history in each]
        priors = [
            MarkovGaussian(
                _of_latent(network.latent_prior_given(history)), history, network.latent_dim, self.scene.present
            )
            for network, history in each
        ]
        parts = (squared_modulus(seen.value), seen.noise, self.scene.present)
        flat = tuple(array(part.flatten(0, 1)) for part in parts)

        def of_latents() -> Sequence[Tensor]:
            with torch.enable_grad():
                emitted = [emission(latent).flatten(0, 1) for emission, latent in zip(emissions, latents, strict=True)]
                prior = torch.stack([q.log_prob(latent).sum() for q, latent in zip(priors, latents, strict=True)])
            slopes = spectra.ascent(tuple(map(array, emitted)), self._heads, *flat)
            moved = [
                (own, slope) for own, slope in zip(emitted, torch.from_numpy(slopes), strict=True) if own.requires_grad
            ]
            outputs, gradients = zip((prior, torch.ones_like(prior)), *moved, strict=True)
            return torch.autograd.grad(outputs, latents, gradients)

        return of_latents

    @torch.no_grad()
    def record(self, guide: Guide, seed: int = 0) -> Record:
        """In closed form, from the draws that Pyro's would be; they are made once, and kept."""
        terms = self._of_sum(guide, seed) if isinstance(guide, AdditiveGuide) else self._of_mixture(guide, seed)
        return {**terms, "elbo": torch.stack(list(terms.values())).sum(0)}

    def _of_sum(self, guide: AdditiveGuide, seed: int) -> Record:
        """`E log p(o | s) + E[log p(s, z) - log q(s | o) - log q(z | s)]`."""
        powers, mixture, noise = (array(part) for part in (guide.log_powers.exp(), guide.total, guide.noise))
        dtype = guide.total.dtype
        before, error, *of_latents = self._drawn(seed, [(guide.log_powers.shape, dtype), (guide.total.shape, dtype)])
        drawn = spectra.draw(powers, mixture, noise, array(before), array(error))
        log_prior, log_encoder = self._sources(torch.from_numpy(drawn.power), of_latents)
        log_seen, log_drawn = (self._total(torch.from_numpy(term)) for term in (drawn.log_seen, drawn.log_drawn))
        return {"log p(s,z)": log_prior, "log p(o|s)": log_seen, "- log q(s,z)": -log_drawn - log_encoder}

    def _of_mixture(self, guide: Guide, seed: int) -> Record:
        """The same, and `E[log p(w) - log q(w)]` by q(w)."""
        assert isinstance(guide, MeanField)  # `unknown_part` has said so
        assert guide.logits is not None
        chain, mask = guide.chain(), self.scene.mask
        noise, *of_latents = self._drawn(seed, [(guide.centre.shape, guide.centre.dtype)])
        state = chain.path(noise)
        s = state.squeeze(-1)
        log_prior, log_encoder = self._sources(squared_modulus(as_spectrum(s)), of_latents)
        log_q = guide.logits.log_softmax(-1)
        eta = log_q.exp() * mask.unsqueeze(-1)
        chosen = eta * (self.model.assignment.prior(mask).logits - log_q)
        seen = eta * self.model.log_likelihood(self.scene, s)
        return {
            "log p(s,z)": log_prior,
            "log p(w) - log q(w)": chosen.sum((-3, -2, -1)),
            "log p(o|w,s)": seen.sum((-3, -2, -1)),
            "- log q(s,z)": -chain.log_prob(state).sum(-1) - log_encoder,
        }

    def _drawn(self, seed: int, first: Sequence[tuple[torch.Size, torch.dtype]]) -> list[Tensor]:
        """Noise of the shapes that are named, and of each source's path, in the order in which the guide draws."""
        if seed not in self._draws:
            path = (*self.scene.present.shape, self.model.sources.latent_dim)
            shapes = [*first, *[(torch.Size(path), self.scene.start.dtype)] * len(self.networks)]
            generator = torch.Generator().manual_seed(seed)
            self._draws[seed] = [torch.randn(shape, dtype=dtype, generator=generator) for shape, dtype in shapes]
        return self._draws[seed]

    def _sources(self, power: Tensor, noise: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """log p(s, z) and log q(z | s) of all sources, [B] each, at |s|^2 [B, N, T, F] and draws of z."""
        each = [self._source(n, own, noise[n]) for n, own in enumerate(power.unbind(1))]
        log_prior, log_encoder = torch.stack(each).sum(0)
        return log_prior, log_encoder

    def _source(self, n: int, power: Tensor, noise: Tensor) -> Tensor:
        """The same of the n-th source, [2, B]; what prior and encoder both take of s is computed once."""
        network, present = self.networks[n], self.scene.present
        h, encoder = self._encode(n, power)
        z = self._path(encoder, noise)
        latent = MarkovGaussian(network.latent_prior, h, network.latent_dim, present).log_prob(z)
        seen, head = (array(part.flatten(0, 1)) for part in (power, network.head(h, z)))
        emitted = torch.from_numpy(spectra.log_density(seen, head, self._heads, n)).view(present.shape)
        return torch.stack([latent + self._total(emitted), encoder.log_prob(z)])

    def _total(self, per_frame: Tensor) -> Tensor:
        """The sum over the frames that are present: [B, T] to [B]."""
        return torch.where(self.scene.present, per_frame, 0.0).sum(-1)


def _of_latent(given: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Conditional:
    """A conditional whose features are in it already."""
    return lambda _, z_before: given(z_before)
