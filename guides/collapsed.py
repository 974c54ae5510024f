"""q(s | o) q(z | s) q(v): the factors of the guide that stand for the sites "sz" and "v"; w is left to the model."""

from typing import Any

import pyro
import torch
from pyro.distributions import Delta
from torch import Tensor, nn

from pyro_mixdvae.distributions.gaussian_chain import GaussianChain
from pyro_mixdvae.distributions.kalman import Chain, Transition
from pyro_mixdvae.distributions.small_matrices import cholesky
from pyro_mixdvae.guides.contract import Guide
from pyro_mixdvae.models.mixture import plates
from pyro_mixdvae.models.part import closed_form
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.contract import Sources


class Collapsed(Guide):
    """`q(s | o)` a Gaussian chain over time and `q(z | s)` the encoder; or `q(s, z | o)` one chain, where z is a state.

    The parameters are those of the chain in units of its own marginal standard deviations, as they were when
    `set_chain` was called last: an optimiser's step of .01 is then a hundredth of a standard deviation everywhere.
    With gains of zero the frames are independent: the fully factorised q(s) of the paper.

    Without q(w) the bound is the collapsed one, which is tighter; `MeanField` adds q(w).

    Args:
        model: p(o, w, s, z); it gives the encoder, and the factors of what the assignment brings (`Assignment.factor`).
        scene: the batch that this guide is for.
    """

    def __init__(self, model: Any, scene: Scene):
        super().__init__(model, scene)
        self.sources: Sources = model.sources
        size = self.sources.state_size
        shape = (*scene.start.shape[:2], scene.n_frames, self.sources.content_dim, size)
        like = scene.start
        self.register_buffer("present", scene.present.unsqueeze(1).expand(shape[:3]).clone())
        self.register_buffer("centre", like.new_zeros(shape))
        self.register_buffer("spread", like.new_ones(shape))
        self.offset = nn.Parameter(like.new_zeros(shape))
        self.gain = nn.Parameter(like.new_zeros(*shape, size))
        self.log_scale = nn.Parameter(like.new_zeros(shape))
        self.below = nn.Parameter(like.new_zeros(*shape[:-1], size * (size - 1) // 2))
        has_latent = model.assignment.latent_name is not None
        self.latent = model.assignment.factor(scene) if has_latent else None

    def project(self, chain: Chain, transitions: Transition, precision: Tensor) -> Chain:
        """The member of this family nearest to an exact posterior chain: here the chain itself."""
        return chain

    @torch.no_grad()
    def set_chain(self, chain: Chain) -> None:
        """Take over the chain of an E-S step: mean [B, N, T, D, S] and so on."""
        linked = self._linked()
        conditional = torch.where(linked, chain.conditional, chain.covariance)
        spread = torch.diagonal(chain.covariance, dim1=-2, dim2=-1).sqrt()
        self.centre.copy_(chain.mean)
        self.spread.copy_(spread)
        self.offset.zero_()
        after = torch.cat([spread[..., 1:, :, :], spread[..., -1:, :, :]], -3)
        self.gain.copy_(chain.gain * after.unsqueeze(-2) / spread.unsqueeze(-1))
        factor = cholesky(conditional) / spread.unsqueeze(-1)
        diagonal = torch.diagonal(factor, dim1=-2, dim2=-1)
        self.log_scale.copy_(diagonal.log())
        rows, columns = _below_diagonal(spread.shape[-1])
        self.below.copy_(factor[..., rows, columns] / diagonal[..., rows])

    def chain(self) -> GaussianChain:
        """q over the state of every coordinate: event (T, D, S), batch [B, N]."""
        scale = self.log_scale.exp()
        factor = torch.diag_embed(scale)
        rows, columns = _below_diagonal(scale.shape[-1])
        if len(rows):
            factor = factor.clone()
            factor[..., rows, columns] = self.below * scale[..., rows]
        after = torch.cat([self.spread[..., 1:, :, :], self.spread[..., -1:, :, :]], -3)
        return GaussianChain(
            self.centre + self.spread * self.offset,
            self.gain * self._linked() * self.spread.unsqueeze(-1) / after.unsqueeze(-2),
            factor * self.spread.unsqueeze(-1),
            self.present,
        )

    def _linked(self) -> Tensor:
        """Whether the next frame exists, so that a frame may lean on it: [B, N, T, 1, 1, 1]."""
        nothing = torch.zeros_like(self.present[..., :1])
        return torch.cat([self.present[..., 1:], nothing], -1)[..., None, None, None]

    @closed_form("forward", "draw_sources", "chain")
    @torch.no_grad()
    def marginals(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of q(s_tn), backwards through the chain, each [B, N, T, D]."""
        chain = self.chain()
        noise = chain.scale_tril @ chain.scale_tril.mT
        covariance = [noise[..., -1, :, :, :]]
        for gain, own in reversed(list(zip(chain.gain.unbind(-4), noise.unbind(-4), strict=True))[:-1]):
            covariance.append(own + gain @ covariance[-1] @ gain.mT)
        variance = torch.stack(covariance[::-1], -4)[..., 0, 0]
        return chain.mean[..., 0], variance

    @closed_form("forward", "draw_sources", "chain")
    @torch.no_grad()
    def sample(self, n_samples: int, generator: torch.Generator) -> Tensor:
        """Draws of the contents s, [n_samples, B, N, T, D]."""
        like = self.centre
        noise = torch.randn(n_samples, *like.shape, generator=generator, dtype=like.dtype)
        return self.chain().path(noise.to(like.device))[..., 0]

    def forward(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """Draw "sz" (and v) for the scene of this guide. Returns s [*, B, 1, 1, N, T, D] and z."""
        scenes = plates(scene).scenes
        s, z = self.draw_sources(scene, scenes)
        self.draw_latent(scenes)
        return s, z

    def draw_sources(self, scene: Scene, scenes: pyro.plate) -> tuple[Tensor, Tensor]:
        """The statements of q(s | o) q(z | s)."""
        with scenes:
            chain = _per_scene(self.chain()).to_event(1)
            if self.sources.state_size > 1:
                state = pyro.sample("q_sz", chain, infer={"is_auxiliary": True})
                s, z = state[..., 0], state[..., 1:].mT.flatten(-2)
            else:
                s = pyro.sample("q_s", chain, infer={"is_auxiliary": True}).squeeze(-1)
                z = draw_encoded(self.sources, scene, s) if self.sources.latent_dim else s[..., :0]
            pyro.sample("sz", Delta(torch.cat([s, z], -1), event_dim=3))
        return s, z

    def draw_latent(self, scenes: pyro.plate) -> None:
        """The statement of what the assignment brings, q(v)."""
        if self.latent is not None:
            with scenes:
                self.latent()


def draw_encoded(sources: Sources, scene: Scene, s: Tensor) -> Tensor:
    """The statement of q(z | s), within the plate of scenes: s [*, B, 1, 1, N, T, D] -> z [*, B, 1, 1, N, T, L]."""
    start = scene.start[:, None, None].expand(s.shape[:-2] + s.shape[-1:])
    present = scene.present[:, None, None, None].expand(s.shape[:-1])
    encoder = sources.latent_posterior(s, start, present).to_event(1)
    z: Tensor = pyro.sample("q_z", encoder, infer={"is_auxiliary": True})
    return z


def _per_scene(chain: GaussianChain) -> GaussianChain:
    """Batch [B, N] to [B, 1, 1, N]: time and observations have plates of their own, on the right."""
    present = None if chain.present is None else chain.present[:, None, None]
    return GaussianChain(chain.mean[:, None, None], chain.gain[:, None, None], chain.scale_tril[:, None, None], present)


def _below_diagonal(size: int) -> tuple[Tensor, Tensor]:
    rows, columns = torch.tril_indices(size, size, offset=-1)
    return rows, columns
