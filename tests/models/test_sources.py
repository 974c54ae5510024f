"""The priors that exist keep the contract of `Sources`."""

import torch
from contracts.sources import LinearSourcesContract, SourcesContract
from toys import EXACT, gentle_srnn, lively_autoregressive, lively_kinematic, relative_vkf, vkf

from pyro_mixdvae.distributions.kalman import Transition
from pyro_mixdvae.models import Sources, SRNNSources
from pyro_mixdvae.models.srnn_sources import SRNNMemory


class TestSRNN(SourcesContract):
    def make(self) -> SRNNSources:
        return gentle_srnn()

    def assert_same_step(self, sources: Sources, memory: object, at_once: Transition, t: int) -> None:
        """An SRNN knows s where it gives all transitions: it emits at the encoder's z, not at the prior's."""
        assert isinstance(memory, SRNNMemory)
        assert isinstance(sources, SRNNSources)
        if t == 0:
            one = sources.transition(memory)
            torch.testing.assert_close(at_once.offset[..., 0, :, :], one.offset, **EXACT)
            torch.testing.assert_close(at_once.noise[..., 0, :, :, :], one.noise, **EXACT)
        assert not at_once.matrix.any()

    def test_transitions_are_emissions_at_the_central_path_of_the_encoder(self) -> None:
        sources, s, _, start = self.example()
        at_once = sources.transitions(s, start)
        memory = sources.begin(start)
        for t in range(5):
            after = sources.remember(memory, s[..., t, :], None)  # its z is the encoder's mean
            mean, variance = sources.network.emission(memory.h, after.z)
            if t > 0:
                torch.testing.assert_close(at_once.offset[..., t, :, 0], mean, **EXACT)
                torch.testing.assert_close(at_once.noise[..., t, :, 0, 0], variance, **EXACT)
            memory = after

    def test_first_frame_is_the_start_and_as_narrow_as_it_is_told(self) -> None:
        sources, _, _, start = self.example()
        step = sources.transition(sources.begin(start))
        torch.testing.assert_close(step.offset.squeeze(-1), start)
        torch.testing.assert_close(step.noise[..., 0, 0], torch.full_like(start, sources.start_variance))


class TestKinematicNetwork(LinearSourcesContract):
    def make(self) -> Sources:
        return lively_kinematic()


class TestConstantVelocity(LinearSourcesContract):
    def make(self) -> Sources:
        return vkf()


class TestConstantVelocityInBoxSizes(LinearSourcesContract):
    def make(self) -> Sources:
        return relative_vkf()


class TestAutoregressive(SourcesContract):
    def make(self) -> Sources:
        return lively_autoregressive()
