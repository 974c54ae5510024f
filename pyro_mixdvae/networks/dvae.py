"""The contract of a dynamical VAE of one source: a state, the densities that it sets, and an encoder.

A network works on the *content* y of one source. For published boxes y is the box itself; for most networks of boxes it
is the displacement from one frame to the next, in units of the box's size; for sound it is the complex spectrum.

The family, its names and its graphs are those of Girin et al. (2021), "Dynamical variational autoencoders: a
comprehensive review". One step is written for each network; whole sequences follow from it.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from pyro.distributions import Normal, TorchDistribution
from torch import Tensor, nn

from pyro_mixdvae.networks.latent_sequence import LatentSequence

State: TypeAlias = Any
"""A named tuple of tensors [*, width]: all that the next step depends on."""


class DVAE(nn.Module, ABC):
    """`p(y, z) = prod_t p(z_t | state_t) p(y_t | state_t, z_t)`, `state_{t+1} = f(state_t, y_t, z_t)`, and `q(z | y)`.

    Which of y and z the state holds, and which of it each density looks at, makes the member of the family.

    What a network writes: `init_state`, `update_state`, `prior_step`, `emission_step` and, where L > 0, `encoder_step`
    (and `encode`, if the encoder sees the future). `states` is a loop over these, overridden where all frames can be
    had at once; `sequence_prior`, `sequence_emission`, `sequence_posterior` and scheduled sampling follow.

    The recurrence is fed `inputs` [*, T, D]: y one frame late (`teacher_forced`), some frames of it replaced by the
    network's own output (`scheduled_inputs`).

    Attributes:
        content_dim: D, the width of y.
        latent_dim: L, the width of z; 0 where there is none.
        emits: what y is of a source's content s: "content", s itself; or "displacement", from s_{t-1} to s_t, in units
            of displacement at s_{t-1} (`Coordinates.unit`).
    """

    content_dim: int
    latent_dim: int
    emits: ClassVar[Literal["content", "displacement"]] = "content"

    @abstractmethod
    def init_state(self, first_input: Tensor) -> State:
        """The state before the first frame, whose input is [*, D]: zero, or where the source starts."""

    @abstractmethod
    def update_state(self, state: State, y: Tensor, z: Tensor) -> State:
        """The state before frame t + 1, given that before frame t, y_t [*, D] and z_t [*, L]."""

    @abstractmethod
    def prior_step(self, state: State) -> Normal:
        """p(z_t | state): batch [*, L]."""

    @abstractmethod
    def emission_step(self, state: State, z: Tensor) -> TorchDistribution:
        """p(y_t | state, z_t): batch [*, D], or batch [*] and event (D,) where coordinates depend on one another."""

    def encode(self, y: Tensor, present: Tensor | None = None) -> Tensor:
        """What the encoder takes of y at each frame, the future included if it sees that: [*, T, D] -> [*, T, E].

        Frames not `present` [*, T], padding after the end, are not seen by those before. By default y itself.
        """
        return y

    def encoder_step(self, state: State, code: Tensor) -> Normal:
        """q(z_t | state, y): batch [*, L]; the code [*, E] is that of frame t. Without z, of no width."""
        if self.latent_dim > 0:
            raise TypeError(f"the encoder of {type(self).__name__} takes whole sequences: sequence_posterior")
        nothing = code[..., :0]
        return Normal(nothing, torch.ones_like(nothing))

    def states(self, inputs: Tensor, z: Tensor) -> State:
        """The states before all frames: inputs [*, T, D], z [*, T, L] -> fields [*, T, width].

        A field that no density looks at may come with width 0.
        """
        state = self.init_state(inputs[..., 0, :])
        all_states = [state]
        for x, z_before in zip(inputs.unbind(-2)[1:], z.unbind(-2), strict=False):
            state = self.update_state(state, x, z_before)
            all_states.append(state)
        return type(state)(*(torch.stack(field, -2) for field in zip(*all_states, strict=True)))

    def sequence_prior(self, inputs: Tensor) -> TorchDistribution:
        """p(z_t | state_t) of all frames, y being fed as `inputs` [*, T, D]: event (T, L)."""
        return LatentSequence(self, self.prior_step, inputs)

    def sequence_emission(self, inputs: Tensor, z: Tensor) -> TorchDistribution:
        """p(y_t | state_t, z_t) of all frames: inputs [*, T, D], z [*, T, L] -> event (T, D)."""
        emission = self.emission_step(self.states(inputs, z), z)
        return emission.to_event(2 - emission.event_dim)

    def sequence_posterior(self, inputs: Tensor, y: Tensor, present: Tensor | None = None) -> TorchDistribution:
        """q(z | y): inputs and y [*, T, D] -> event (T, L); frames not `present` [*, T] do not count."""
        return LatentSequence(self, self.encoder_step, inputs, self.encode(y, present), present)

    def seen_input(self, y: Tensor, observed: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """What recurrence and encoder are given of content y in pre-training, `observed` being what is seen of it.

        By default that as it is. Shapes [*, T, D]; no gradient flows through it.
        """
        return observed

    def teacher_forced(self, y: Tensor) -> Tensor:
        """The inputs of the recurrence under teacher forcing: y [*, T, D] one frame late, zero at the first."""
        return torch.cat([torch.zeros_like(y[..., :1, :]), y[..., :-1, :]], -2)

    def predict(self, state: State, code: Tensor, y: Tensor, replaced: Tensor) -> tuple[Tensor, Tensor]:
        """One frame of scheduled sampling: the network's own output, and the latent that it carries on.

        By default the emission at the encoder's mean: the reconstruction that E-S works with, as the paper has it; the
        prediction, where there is no z.

        Shapes: code [*, E] and y [*, D] of the frame, replaced [*, 1] True where the recurrence will be fed the own
        output -> own output [*, D] and z [*, L].
        """
        z = self.encoder_step(state, code).mean
        return self.emission_step(state, z).mean, z

    @torch.no_grad()
    def scheduled_inputs(
        self, y: Tensor, own_output_probability: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Inputs of the recurrence under scheduled sampling (Bengio et al. 2015): y [*, T, D] -> [*, T, D].

        Like `teacher_forced`, but with the given probability a frame is replaced by the network's own output.
        """
        if own_output_probability <= 0:
            return self.teacher_forced(y)
        chance = torch.rand(*y.shape[:-1], 1, generator=generator, dtype=y.dtype).to(y.device)
        replaced = chance < own_output_probability
        codes = self.encode(y)
        x = torch.zeros_like(y[..., 0, :])
        state = self.init_state(x)
        inputs = [x]
        for t in range(y.shape[-2] - 1):
            own, z = self.predict(state, codes[..., t, :], y[..., t, :], replaced[..., t, :])
            x = torch.where(replaced[..., t, :], own, y[..., t, :])
            inputs.append(x)
            state = self.update_state(state, x, z)
        return torch.stack(inputs, -2)

    @torch.no_grad()
    def mixed_inputs(
        self, y: Tensor, own_output_probability: float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Inputs of the recurrence in pre-training: y [*, T, D] -> [*, T, D].

        Those of scheduled sampling; displacements are blurred on top, as in use they are those of estimates. The
        inputs are data for the step that follows: no gradient flows through them.
        """
        inputs = self.scheduled_inputs(y, own_output_probability, generator)
        return as_estimated(inputs, generator) if self.emits == "displacement" else inputs


def as_estimated(displacements: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Displacements as a recurrence is fed them in use, where positions are estimates: [*, T, D] -> [*, T, D].

    Each sequence draws the jitter of its positions log-uniformly between .001 and .03 box sizes.
    """
    y = displacements
    scale = torch.rand(*y.shape[:-2], 1, 1, generator=generator, dtype=y.dtype).to(y.device)
    error = torch.randn(y.shape, generator=generator, dtype=y.dtype).to(y.device) * 0.001 * 30**scale
    before = torch.cat([torch.zeros_like(error[..., :1, :]), error[..., :-1, :]], -2)
    return y + error - before
