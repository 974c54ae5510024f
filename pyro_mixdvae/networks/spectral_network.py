"""What a prior of a source of sound is asked: the power of each frequency, given what was heard of it."""

import math
from abc import abstractmethod

import torch
from torch import Tensor

from pyro_mixdvae.distributions.complex_normal import ComplexNormal
from pyro_mixdvae.distributions.markov_gaussian import MarkovGaussian
from pyro_mixdvae.networks.recurrent import RecurrentDVAE


class SpectralNetwork(RecurrentDVAE):
    """`s_tf ~ N_c(0, v_tf)(h_t, z_t)`: a DVAE whose content is a complex spectrum, and that is fed its powers.

    Attributes:
        power_shape: k of the factor `tau ~ Gamma(k, k)`, by which the power of the source in a mixture is another than
            the v that is found of it (`CompoundSum`); infinite: v is taken for known.
    """

    power_shape: float = math.inf

    def begun(self, power: Tensor, present: Tensor) -> "SpectralNetwork":
        """With constants of B mixtures, of power |o|^2 [B, T, F] where `present` [B, T]; by default as it is."""
        return self

    def steady_power(self, like: Tensor) -> Tensor:
        """The part of v that is known whatever is heard, of the shape of powers [*, T, F]; by default none, zero."""
        return torch.zeros_like(like)

    @abstractmethod
    def to_input(self, power: Tensor) -> Tensor:
        """What the memory is fed of `|s|^2`: [*, F] -> [*, F]."""

    @abstractmethod
    def power(self, h: Tensor, z: Tensor) -> Tensor:
        """v of p(s_t | h_t, z_t): h [*, H], z [*, L] -> [*, F]."""

    @abstractmethod
    def encode_power(self, power: Tensor, present: Tensor | None = None) -> tuple[Tensor, MarkovGaussian]:
        """h [*, T, H] and q(z | s), both fed `|s|^2` [*, T, F]: what `history` and `latent_posterior` give of it."""

    def emission(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (zero) and variance of p(s_t | h_t, z_t), [*, F] each."""
        power = self.power(h, z)
        return torch.zeros_like(power), power

    def density(self, h: Tensor, z: Tensor) -> ComplexNormal:
        """p(s_t | h_t, z_t): complex, batch shape [*, F]."""
        return ComplexNormal(None, self.power(h, z))

    def reconstructed(self, power: Tensor, present: Tensor | None = None) -> Tensor:
        """v_s at the central path of q(z | s), all networks being fed `|s|^2`: [*, T, F] -> [*, T, F].

        `present` as in `latent_posterior`.
        """
        h, encoder = self.encode_power(power, present)
        return self.power(h, encoder.central_path())

    def teacher_forced(self, y: Tensor) -> Tensor:
        """The inputs of the history: `y = |s|^2` [*, T, F] one frame late, as it is fed in; silence at the first."""
        return self.to_input(super().teacher_forced(y))
