"""The model with w summed out by the assignment's own algorithm, for frames with too many joint events to list."""

import pyro

from pyro_mixdvae.models.mixture import MixtureModel, plates
from pyro_mixdvae.models.scene import Scene


class SummedMixtureModel(MixtureModel):
    """`p(o | s) p(s, z)` with `p(o | s) = sum_w p(o | w, s) p(w)`, frame by frame.

    The sum is exact for up to 10 sources whatever the number of detections, and the Bethe approximation beyond
    (`distributions.exclusive`). The bound is that of the collapsed guide: q(w) is the exact posterior given s.
    """

    def forward(self, scene: Scene, generate: bool = False) -> None:  # type: ignore[override]
        """Observe B scenes; drawing scenes is for `MixtureModel`."""
        if generate:
            raise ValueError("a model with w summed out draws no detections: use MixtureModel to generate scenes")
        scenes, time, _ = plates(scene)

        # p(s, z)
        with scenes:
            sz = pyro.sample("sz", self.sources.sequence(scene.start[:, None, None], scene.present[:, None, None]))
        s, _ = sz.split([self.sources.content_dim, self.sources.latent_dim], -1)
        self.observe_labels(scene, s, scenes)

        # sum_w p(o | w, s) p(w)
        points = s[..., 0, 0, :, :, :]
        log_likelihood = self.likelihood.expected_log_prob(
            scene, points, points.new_zeros(()).expand_as(points), self.assignment.has_clutter
        )
        evidence = self.assignment.log_evidence(log_likelihood, scene.mask)
        with scenes, time:
            pyro.factor("o", evidence.unsqueeze(-1))
