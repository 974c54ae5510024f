"""Sounds that add up frame by frame, with `pyro.markov`: the executable specification, v enumerated."""

import pyro
import torch
from pyro import poutine
from pyro.distributions import Categorical
from pyro.ops.indexing import Vindex
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import as_spectrum
from pyro_mixdvae.distributions.silence import joint_states, log_known
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.likelihoods.spectral import shared_scale
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.stepwise import SourceStep


class StepwiseAdditiveModel(AdditiveModel):
    """`prod_t p(s_t, z_t | s_<t, z_<t) p(v_t | v_{t-1}) p(o_t | s_t, v_t)`, one frame after another.

    Sites `sz_0`, `v_0`, `u_0` (what is known of v), `o_0`, `sz_1`, ...; v_t is one variable a frame, of 2^N values,
    whose bit n says whether source n sounds. For teaching and tests, with a model of silence, T up to 20 or so.
    """

    def forward(self, scene: Scene, generate: bool = False) -> Tensor:
        """Arguments and returns as `AdditiveModel.forward`; it draws no mixtures (`generate`)."""
        assert self.silence is not None
        assert not generate
        n_scenes, n_frames, n_frequencies = scene.mask.shape
        scenes = pyro.plate("scenes", n_scenes, dim=-3)
        prior = self.silence.prior(scene)
        first, matrix = prior.rates.log_first().exp(), prior.rates.log_matrix().exp()
        told = log_known(prior.known).to(first)
        states = joint_states(scene.n_sources).to(first)
        state = self.sources.init_state(scene.start[:, None, None])
        v: Tensor | None = None
        contents = []
        for t in pyro.markov(range(n_frames)):
            frame = scene.frames(slice(t, t + 1))
            one = pyro.plate(f"frame_{t}", 1, dim=-2)
            frequencies = pyro.plate(f"frequencies_{t}", n_frequencies, dim=-1)

            # p(s_t, z_t | s_<t, z_<t)
            with scenes, poutine.mask(mask=scene.present[:, t, None, None]):
                sz = pyro.sample(f"sz_{t}", SourceStep(self.sources, state, scene.n_sources))
            s, z = sz.split([self.sources.content_dim, self.sources.latent_dim], -1)
            state = self.sources.update_state(state, s, z)
            contents.append(s)

            # p(v_t | v_{t-1}), and what is known of it
            chance = first[:, None, None] if v is None else Vindex(matrix[:, None, None])[..., v, :]
            with scenes:
                v = pyro.sample(f"v_{t}", Categorical(chance), infer={"enumerate": "parallel"})
                pyro.factor(f"u_{t}", Vindex(told[:, t, None, None])[..., v])

            # p(o_t | s_t, v_t): of the sum of those that sound
            who = states[v]  # [*, B, 1, 1, N], of which the first axes are those of v
            spectrum = as_spectrum(s)  # [B, 1, 1, N, F]
            total = (spectrum * who.unsqueeze(-1)).sum(-2)[..., 0, 0, :].unsqueeze(-2).unsqueeze(-1)
            with scenes, one, frequencies, poutine.mask(mask=frame.mask):
                density = self.likelihood.observe(total, shared_scale(self.likelihood, frame))
                pyro.sample(f"o_{t}", density, obs=frame.observations)
        return torch.stack(contents, -2)[..., 0, 0, :, :, :]
