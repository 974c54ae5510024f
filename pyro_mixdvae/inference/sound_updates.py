"""Which updates a model of sounds takes, and whether its parts are what they know."""

from typing import Any

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides.additive import AdditiveGuide
from pyro_mixdvae.inference.additive_updates import AdditiveUpdates
from pyro_mixdvae.inference.assigned_updates import AssignedUpdates
from pyro_mixdvae.inference.spectral_updates import SpectralUpdates
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.likelihoods.spectral import SpectralLikelihood
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.sound import SoundSources


def sound_updates(model: Any, scene: Scene, guide: Any, first: int = 0) -> SpectralUpdates:
    """The updates of a model over `SoundSources` and a family of guides.

    Raises:
        InputError: they do not go together, or a part says something of its own that the updates do not know.
    """
    _check_parts(model, guide)
    kind = AdditiveUpdates if isinstance(model, AdditiveModel) else AssignedUpdates
    return kind(model, scene, guide, first)


def _check_parts(model: Any, guide: Any) -> None:
    others = "infer with a guide of your own and the algorithm SVI."
    if not isinstance(model.sources, SoundSources):
        raise InputError(f"The updates of sounds are for SoundSources, not {type(model.sources).__name__}: {others}")
    if isinstance(model, AdditiveModel) and type(model).forward is not AdditiveModel.forward:
        raise InputError(f"{type(model).__name__} has a `forward` of its own, which the updates do not know: {others}")
    if isinstance(model, AdditiveModel) and model.silence is not None and not model.likelihood.conjugate():
        raise InputError(
            f"{type(model.likelihood).__name__} is not Gaussian, and which sources are silent is weighed by Gaussian "
            f"evidences: take complex_normal, a model without silence, or {others}"
        )
    for method in ("init_state", "conditional", "update_state", "log_prob", "latent_posterior"):
        if getattr(type(model.sources), method) is not getattr(SoundSources, method):
            raise InputError(
                f"{type(model.sources).__name__} has a `{method}` of its own, and the updates ask the networks of "
                f"SoundSources: {others}"
            )
    for method in ("locate", "locate_variance"):
        if getattr(type(model.likelihood), method) is not getattr(SpectralLikelihood, method):
            raise InputError(
                f"{type(model.likelihood).__name__} sees contents through a `{method}` of its own, which the updates "
                f"do not know: {others}"
            )
    if isinstance(model, AdditiveModel) != issubclass(guide, AdditiveGuide):
        raise InputError(
            f"{guide.__name__} is no guide of {type(model).__name__}: sounds that add up go with AdditiveGuide, and "
            "those of which one wins with MeanField or Collapsed."
        )
    if isinstance(model, MixtureModel) and not model.assignment.per_observation:
        raise InputError(
            f"{type(model.assignment).__name__} is one choice a frame, and of a spectrum each frequency is one's: take "
            "an assignment that chooses for each by itself."
        )
