"""What a declaration is for, boxes or sounds, and which families make no sense for it."""

from typing import Any

from pyro_mixdvae.declaration.document import Task
from pyro_mixdvae.declaration.families import OfNetwork
from pyro_mixdvae.guides import AdditiveGuide
from pyro_mixdvae.inference.camera import Camera
from pyro_mixdvae.models import (
    AdaptiveIndependentAssignment,
    AdditiveModel,
    Clutter,
    ExclusiveAssignment,
    Labels,
    Likelihood,
    Noise,
    PowerNoise,
    Silence,
    SoundSources,
    SpectralLikelihood,
    SystematicError,
)


def reason_against(task: Task, made: Any) -> str | None:
    """Why a family is not for this task; None where it is."""
    kind = made.sources if isinstance(made, OfNetwork) else made
    if not isinstance(kind, type):
        return None
    reasons = _NOT_FOR_BOXES if task == "boxes" else _NOT_FOR_SOUNDS
    return next((reason for base, reason in reasons.items() if issubclass(kind, base)), None) or (
        _of_boxes(made, kind) if task == "sounds" else None
    )


def _of_boxes(made: Any, kind: type) -> str | None:
    if isinstance(made, OfNetwork) and not issubclass(kind, SoundSources):
        return "its networks are of boxes: use `mixdvae track`, or take spectral_srnn"
    if issubclass(kind, Likelihood) and not issubclass(kind, SpectralLikelihood):
        return "it is of real numbers, and what is observed of sounds are complex spectra: take complex_normal"
    if issubclass(kind, Noise) and not issubclass(kind, PowerNoise):
        return "it is in sizes of boxes, and the noise of a spectrum is relative to its power: take power"
    return None


_NOT_FOR_BOXES: dict[type, str] = {
    SpectralLikelihood: "it is of complex spectra, and boxes are four real numbers: take normal, say",
    PowerNoise: "it is relative to the power of a spectrum, which boxes have not: take estimated or relative",
    SoundSources: "its networks are of sounds: use `mixdvae separate`, or take kinematic, say",
    AdditiveModel: "sounds add up, and boxes do not: each is of one source, or of none; take persistent, say",
    Silence: "boxes that come and go are a matter of p(w): use --presence or --max-sources of `mixdvae track`",
    AdditiveGuide: "it is of sounds that add up, and boxes do not: take mean_field, collapsed or factorised",
}

_NOT_FOR_SOUNDS: dict[type, str] = {
    AdaptiveIndependentAssignment: "it tells clutter by frames with more detections than sources, and every frame of a "
    "spectrum has more: take independent",
    ExclusiveAssignment: "a source gives at most one detection a frame there, and a sound has all frequencies of a "
    "frame: take independent, learned_weights or additive",
    Clutter: "what is no source's in a spectrum is the noise of its likelihood: take none",
    Labels: "nobody draws labels into sounds: take none",
    SystematicError: "it is a detector's, and sounds have none: take none",
    Camera: "nobody films sounds: take none",
}
