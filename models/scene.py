"""What the model sees of a batch of scenes."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scene:
    """A batch of B scenes of T frames with up to K observations a frame of N sources.

    Attributes:
        observations: o [B, T, K, D]; zeros (or anything finite) where `mask` is False, and where `given` is False a
            guess, which the start looks at and no density.
        mask: [B, T, K], False where there is no observation.
        start: [B, N, D], where each source is expected at the first frame.
        present: [B, T], False in the padding after the end of a shorter scene.
        labels: [B, N, T, D], contents that a person has given; anything finite where `label_mask` is False.
        label_mask: [B, N, T].
        given: [B, T, K, D], False where an observation lacks a coordinate, as the place of a part that was not seen,
            and where there is no observation.
        label_given: the same of labels, [B, N, T, D].
    """

    observations: Tensor
    mask: Tensor
    start: Tensor
    present: Tensor
    labels: Tensor
    label_mask: Tensor
    given: Tensor
    label_given: Tensor

    @property
    def n_sources(self) -> int:
        """N."""
        return self.start.shape[-2]

    @property
    def n_frames(self) -> int:
        """T."""
        return self.observations.shape[-3]

    @classmethod
    def of(
        cls,
        observations: Tensor,
        start: Tensor,
        present: Tensor | None = None,
        labels: Tensor | None = None,
        guess: Tensor | None = None,
    ) -> "Scene":
        """A scene from observations [B, T, K, D] with NaN where there is none, and start [B, N, D].

        A row of NaN is no observation; one that holds other numbers too lacks those coordinates. `present` [B, T]
        defaults to all frames; `labels` [B, N, T, D], likewise, to none; `guess` [B, T, K, D] stands where an
        observation lacks a coordinate, zero if it is not given.
        """
        batch, n_frames = observations.shape[:2]
        n_sources, content_dim = start.shape[-2:]
        if present is None:
            present = torch.ones(batch, n_frames, dtype=torch.bool, device=observations.device)
        if labels is None:
            labels = start.new_zeros(batch, n_sources, n_frames, content_dim)
            label_given = torch.zeros_like(labels, dtype=torch.bool)
        else:
            label_given = ~labels.isnan()
            labels = torch.where(label_given, labels, 0.0)
        given = ~observations.isnan() & present[..., None, None]
        mask = given.any(-1)
        lacking = torch.zeros_like(observations) if guess is None else guess
        lacking = torch.where(mask.unsqueeze(-1), lacking, 0.0)
        return cls(
            torch.where(given, observations, lacking),
            mask,
            start,
            present,
            labels,
            label_given.any(-1),
            given,
            label_given,
        )

    def starting_at(self, start: Tensor) -> "Scene":
        """The same scene with another start [B, N, D]."""
        return replace(self, start=start)

    def scenes(self, index: Tensor) -> "Scene":
        """Some scenes of the batch, in the order of `index` [M]."""
        return Scene(*(getattr(self, field.name)[index] for field in fields(self)))

    def windows(self, scenes: Tensor, frames: Tensor) -> "Scene":
        """M stretches of L frames each: of scene `scenes` [M] the frames [M, L]; those beyond its end are not present.

        The start stays what it is.
        """
        there, own = frames < self.n_frames, scenes.unsqueeze(-1)
        frames = frames.clamp(max=self.n_frames - 1)
        return Scene(
            self.observations[own, frames],
            self.mask[own, frames] & there.unsqueeze(-1),
            self.start[scenes],
            self.present[own, frames] & there,
            self.labels.transpose(1, 2)[own, frames].transpose(1, 2),
            self.label_mask.transpose(1, 2)[own, frames].transpose(1, 2) & there.unsqueeze(1),
            self.given[own, frames] & there[..., None, None],
            self.label_given.transpose(1, 2)[own, frames].transpose(1, 2) & there[:, None, :, None],
        )

    def frames(self, index: slice | Tensor) -> "Scene":
        """The given frames, in the given order; the start stays what it is."""
        return replace(
            self,
            observations=self.observations[:, index],
            mask=self.mask[:, index],
            present=self.present[:, index],
            labels=self.labels[:, :, index],
            label_mask=self.label_mask[:, :, index],
            given=self.given[:, index],
            label_given=self.label_given[:, :, index],
        )
