"""The methods of the table of sounds, by name."""

from collections.abc import Callable, Sequence

from pyro_mixdvae.baselines.extras import require
from pyro_mixdvae.baselines.sounds.contract import Learner, SoundMethod
from pyro_mixdvae.baselines.sounds.ideal_masks import IdealBinaryMask, IdealWienerFilter, Mixture
from pyro_mixdvae.baselines.sounds.mixit import MixIT
from pyro_mixdvae.baselines.sounds.nmf import NMF
from pyro_mixdvae.baselines.sounds.supervised import Supervised
from pyro_mixdvae.baselines.sounds.temporal_nmf import TemporalNMF
from pyro_mixdvae.benchmark.sounds.deep_ar import DeepAR
from pyro_mixdvae.benchmark.sounds.learning import learned_by
from pyro_mixdvae.benchmark.sounds.mixdvae import MixDVAE
from pyro_mixdvae.benchmark.sounds.settings import SoundSettings
from pyro_mixdvae.benchmark.sounds.swapped_priors import OracleKalmanFilter, Start, StartedKalmanFilter
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.representations.stft import STFT
from pyro_mixdvae.separation.mixtures.mixing import RATE
from pyro_mixdvae.separation.separator import Separator
from pyro_mixdvae.separation.source_files import load_sources

MIXTURE = "mixture"

Make = Callable[[SoundSettings], SoundMethod]


def _separator(settings: SoundSettings, preset: str = "additive") -> Separator:
    return Separator(list(settings.weights), preset, seed=settings.seed)


def published(weights: Sequence[str], n_iterations: int | None = None, seed: int = 0) -> Separator:
    """The paper's algorithm; its estimates are posterior means, which need not sum to the mixture.

    Unlike the published code's, the likelihood has a floor: there one silent bin makes the whole mixture NaN.
    """
    return Separator(list(weights), "published", n_iterations=n_iterations, sums=False, seed=seed)


# In the order of the table: who learns nothing from clips here, and who does.
READY: dict[str, Make] = {
    MIXTURE: lambda settings: Mixture(),
    "ideal-binary": lambda settings: IdealBinaryMask(stft_of(settings)),
    "ideal-wiener": lambda settings: IdealWienerFilter(stft_of(settings)),
    "mixdvae": lambda settings: MixDVAE(_separator(settings)),
    "assignment": lambda settings: MixDVAE(_separator(settings, "assignment")),
    "published": lambda settings: MixDVAE(
        published(settings.published_weights or settings.weights, seed=settings.seed)
    ),
    "vkf-oracle": lambda settings: OracleKalmanFilter(_separator(settings, "assignment")),
    "dvae-init": lambda settings: Start(_separator(settings)),
    "vkf-dvae-init": lambda settings: StartedKalmanFilter(_separator(settings, "assignment")),
}
LEARNERS: dict[str, Callable[[SoundSettings], Learner]] = {
    "deep-ar": lambda settings: DeepAR(settings.weights),
    "nmf-is": lambda settings: NMF("itakura-saito"),
    "nmf-kl": lambda settings: NMF("kullback-leibler"),
    "temporal-nmf": lambda settings: TemporalNMF(),
    "mixit": lambda settings: MixIT(),
    "supervised": lambda settings: Supervised(),
}
_PACKAGES = {"nmf-is": "sklearn", "nmf-kl": "sklearn"}


def method_names() -> list[str]:
    """The methods that there are."""
    return [*READY, *LEARNERS]


def stft_of(settings: SoundSettings) -> STFT:
    """The transform of the networks of MixDVAE, which all rows work in.

    Raises:
        InputError: it is not at the rate of the mixtures.
    """
    stft = load_sources(settings.weights).stft
    if stft.rate != RATE:
        raise InputError(f"the models are of {stft.rate} samples a second: give some of {RATE}, as the mixtures are.")
    return stft


def make_method(name: str, settings: SoundSettings) -> SoundMethod:
    """The method of a name; one that learns has done so.

    Raises:
        InputError: it lacks weights or packages, or the networks are of another rate; says what to do.
    """
    stft = stft_of(settings)
    if name in READY:
        return READY[name](settings)
    return LEARNERS[name](settings).method(learned_by(name, settings, stft), stft)


def check_method(name: str, settings: SoundSettings) -> None:
    """Whether a method can be made, once it has learned.

    Raises:
        InputError: as `make_method`, or there is nothing to learn from.
    """
    if name in READY:
        make_method(name, settings)
    elif settings.clips is None:
        raise InputError(f"{name} learns from clean clips: give a folder of each sound with --train.")
    elif name in _PACKAGES:
        require(_PACKAGES[name])
