"""The SRNN of the paper for sound: it emits the power of each frequency, and its encoder sees the future too."""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from pyro_mixdvae.distributions.complex_normal import squared_modulus
from pyro_mixdvae.distributions.markov_gaussian import MarkovGaussian
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.networks.layers import BackwardHistory, GaussianNetwork, History, TanhMLP
from pyro_mixdvae.networks.spectral_network import SpectralNetwork

# Log powers of sound at full scale lie about here; networks learn best from numbers of order one.
LOG_CENTRE = -4.0
LOG_SCALE = 4.0

LEAST_FLOOR = 1e-30
"""Of a logarithm in single precision."""


class SpectralSRNN(SpectralNetwork):
    """`s_tf ~ N_c(0, v_s,f)(h_t, z_t)`, `h_t = LSTM(MLP(|s_{t-1}|^2), h_{t-1})`, and `q(z_t | g_t, z_{t-1})`.

    `g` is an LSTM that runs backwards over h and |s|^2. The default sizes are those of the paper (884,993 weights).

    Args:
        content_dim: F, frequencies.
        latent_dim: L.
        input_sizes: widths of the MLP before the LSTM.
        hidden: width of the LSTM.
        backward_sizes, backward_hidden: the same of the encoder's LSTM.
        prior_sizes, emission_sizes, encoder_sizes: widths of the hidden layers of each density's MLP.
        encoder_input: "power": the LSTMs are fed |s|^2, as in the paper; "log-power": its logarithm, about zero and of
            order one, so that quiet sounds count too.
        floor: added to the emitted power (and to the power whose logarithm is taken): silence stays finite.
        power_shape: as in `SpectralNetwork`; what training measures when it is done.
    """

    history: History

    def __init__(
        self,
        content_dim: int = 513,
        latent_dim: int = 16,
        input_sizes: Sequence[int] = (256,),
        hidden: int = 128,
        backward_sizes: Sequence[int] = (256,),
        backward_hidden: int = 128,
        prior_sizes: Sequence[int] = (64, 32),
        emission_sizes: Sequence[int] = (256,),
        encoder_sizes: Sequence[int] = (64, 32),
        encoder_input: Literal["power", "log-power"] = "log-power",
        floor: float = 1e-6,
        power_shape: float = math.inf,
    ):
        super().__init__()
        if encoder_input not in ("power", "log-power"):
            raise ValueError(f"encoder_input is {encoder_input!r}: it is 'power' or 'log-power'")
        if not (LEAST_FLOOR <= floor <= 1 or (floor == 0 and encoder_input == "power")):
            raise InputError(
                f"a floor of {floor}: give one from {LEAST_FLOOR} to 1, the power of a sound at full scale."
            )
        if not power_shape > 0:
            raise InputError(f"a power_shape of {power_shape}: give a positive one.")
        self.content_dim, self.latent_dim = content_dim, latent_dim
        self.encoder_input, self.floor, self.power_shape = encoder_input, floor, power_shape
        self.history = History([content_dim, *input_sizes], hidden)
        self.backward = BackwardHistory([hidden + content_dim, *backward_sizes], backward_hidden)
        self.prior_network = GaussianNetwork([hidden + latent_dim, *prior_sizes], latent_dim)
        self.emission_hidden = TanhMLP([hidden + latent_dim, *emission_sizes])
        self.emission_log_power = nn.Linear([hidden + latent_dim, *emission_sizes][-1], content_dim)
        self.encoder_network = GaussianNetwork([backward_hidden + latent_dim, *encoder_sizes], latent_dim)

    @torch.no_grad()
    def begin_at(self, power: Tensor) -> None:
        """Set the head's bias so that an untrained network emits about this power [F]."""
        self.emission_log_power.bias.copy_(self._as_head((power + self.floor).log()))

    def _as_head(self, log_power: Tensor) -> Tensor:
        """Log power as the head gives it: about zero and of order one, except in the paper's units."""
        centre, scale = self.head_units
        return (log_power - centre) / scale

    def to_input(self, power: Tensor) -> Tensor:
        """What the LSTMs are fed of power |s|^2: [*, F] -> [*, F]."""
        if self.encoder_input == "power":
            return power
        return self._as_head((power + self.floor).log())

    def latent_prior(self, h: Tensor, z_before: Tensor) -> tuple[Tensor, Tensor]:
        """p(z_t | h_t, z_{t-1})."""
        return self.prior_network(h, z_before)

    def latent_prior_given(self, h: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """`latent_prior` as a function of z_{t-1}, what h adds being computed once."""
        return self.prior_network.given(h)

    def head(self, h: Tensor, z: Tensor) -> Tensor:
        """The logarithm that `power` makes v_s of, in `head_units`: h [*, H], z [*, L] -> [*, F]."""
        return self.emission_log_power(self.emission_hidden(torch.cat([h, z], -1)))  # type: ignore[no-any-return]

    def head_given(self, h: Tensor) -> Callable[[Tensor], Tensor]:
        """`head` as a function of z, what h adds being computed once."""
        hidden = self.emission_hidden.given(h)
        return lambda z: self.emission_log_power(hidden(z))

    def power(self, h: Tensor, z: Tensor) -> Tensor:
        """v_s of p(s_t | h_t, z_t): h [*, H], z [*, L] -> [*, F]."""
        centre, scale = self.head_units
        log_power = centre + scale * self.head(h, z)
        return log_power.clamp(max=LOUDEST).exp() + self.floor

    @property
    def head_units(self) -> tuple[float, float]:
        """Where the log power is, of which the head gives zero, and what its 1 is."""
        return (0.0, 1.0) if self.encoder_input == "power" else (LOG_CENTRE, LOG_SCALE)

    def latent_posterior(self, h: Tensor, y: Tensor, present: Tensor | None = None) -> MarkovGaussian:
        """q(z | s): `g_t = LSTM(h_t, |s_t|^2, g_{t+1})`, then `q(z_t | g_t, z_{t-1})`; y = |s|^2 [*, T, F].

        Frames not `present` [*, T], padding after the end, do not count and are not seen by those before.
        """
        return self._encoder(h, self.to_input(y), present)

    def _encoder(self, h: Tensor, inputs: Tensor, present: Tensor | None) -> MarkovGaussian:
        """`latent_posterior`, its LSTM being fed inputs made of |s|^2 (`to_input`)."""
        g = self.backward(torch.cat([h, inputs], -1), present)
        return MarkovGaussian(self.encoder_network, g, self.latent_dim, present)

    def encode_power(self, power: Tensor, present: Tensor | None = None) -> tuple[Tensor, MarkovGaussian]:
        """h [*, T, H] and q(z | s), both fed |s|^2 [*, T, F]: what `history` and `latent_posterior` give of it."""
        inputs = self.to_input(power)
        silence = self.to_input(torch.zeros_like(power[..., :1, :]))
        features = self.history.features(inputs)
        late = torch.cat([self.history.features(silence), features[..., :-1, :]], -2)
        h = self.history.scan(late)
        return h, self._encoder(h, inputs, present)

    @torch.no_grad()
    def seen_input(self, y: Tensor, observed: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The power that the network is fed of a source in a mixture: its complex spectrum y and the mixture's.

        In use a network is fed the mixture first, and then what the Wiener filter has left of it. So some sequences
        are given the power of the mixture; the others the expected power of the source after one pass of the network,
        everything else being known only roughly (`blurred`). Shapes [B, T, F].
        """
        power = squared_modulus(observed)
        again = torch.rand(len(y), generator=generator) < SECOND_PASSES
        if not again.any():
            return power
        others = blurred(squared_modulus(observed[again] - y[again]), generator)
        power[again] = expected_power(power[again], self.reconstructed(power[again]), others)
        return power

    @torch.no_grad()
    def mixed_inputs(
        self, y: Tensor, own_output_probability: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Scheduled sampling, all frames at once (Duckworth et al. 2019): y = |s|^2 [B, T, F] -> [B, T, F].

        A first pass under teacher forcing gives the model's own output for every frame; with the given probability
        a frame of the second pass's inputs is replaced by it. Below a half, only some sequences take part, half of
        whose frames are replaced: the first pass is spared for the others.
        """
        some = torch.rand(len(y), generator=generator) < 2 * own_output_probability
        if not some.any():
            return self.teacher_forced(y)
        share = max(0.5, own_output_probability)  # of the frames of these sequences
        chance = torch.rand(int(some.sum()), y.shape[-2], 1, generator=generator, dtype=y.dtype).to(y.device)
        mixed = y.clone()
        mixed[some] = torch.where(chance < share, self.reconstructed(y[some]), y[some])
        return self.teacher_forced(mixed)


def expected_power(power: Tensor, own: Tensor, others: Tensor) -> Tensor:
    """E[|s|^2] given a mixture of power |o|^2 and the variances of s and of all else, all [*]: `g^2 |o|^2 + v (1 - g)`.

    g is the Wiener filter `v / (v + v_others)`.
    """
    gain = own / (own + others)
    return gain.square() * power + own * (1 - gain)


def blurred(power: Tensor, generator: torch.Generator | None) -> Tensor:
    """Power [B, T, F] as a model of the other sounds might give it: smoothed, and off by a slowly varying factor."""
    width = 2 * int(torch.randint(3, (1,), generator=generator)) + 1
    smooth = nn.functional.avg_pool2d(power.unsqueeze(1), width, 1, width // 2, count_include_pad=False)
    n_frames, n_frequencies = power.shape[-2:]
    coarse = torch.randn(len(power), 1, n_frames // 5 + 1, n_frequencies // 8 + 1, generator=generator)
    size = 0.8 * torch.rand(len(power), 1, 1, 1, generator=generator)
    error = nn.functional.interpolate((size * coarse).to(power), (n_frames, n_frequencies), mode="bilinear")
    return (smooth * error.exp()).squeeze(1)


SECOND_PASSES = 0.4
"""Share of the training sequences that are fed in through the Wiener filter."""

LOUDEST = 30.0
"""Log power that no sound has; beyond it the exponential would overflow in single precision."""
