"""How the guide moves: an algorithm is an object with the numbers that it needs."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from pyro_mixdvae.engines.protocol import Record
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.errors import InputError, require_positive
from pyro_mixdvae.guides.contract import N_DRAWS, Guide, Program
from pyro_mixdvae.inference.association.recovery import Recovered
from pyro_mixdvae.inference.chain_updates import ChainUpdates, expected_responsibilities, is_updated_in_closed_form
from pyro_mixdvae.inference.posterior import Posterior
from pyro_mixdvae.inference.records import with_errors
from pyro_mixdvae.inference.sound_updates import sound_updates
from pyro_mixdvae.inference.spectral_posterior import spectral_posterior
from pyro_mixdvae.inference.svi import optimise
from pyro_mixdvae.models.additive import AdditiveModel
from pyro_mixdvae.models.mixture import MixtureModel
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.models.sources.sound import SoundSources
from pyro_mixdvae.process_state import drawing, seeded

MOST_PARTICLES = 1000


class Algorithm(Protocol):
    """What `infer` asks of an algorithm.

    One that keeps what gradients are taken of says so, `keeps_gradients = True`: memory is reckoned by it.
    """

    def run(self, model: Any, scene: Scene, guide: Any, first: int, seed: int) -> Posterior:
        """The posterior of a checked model and scene; `guide` is a family, or a program."""


@dataclass(frozen=True)
class Coordinate:
    """Closed-form updates of one factor after the other, each at its optimum given the others.

    Attributes:
        n_iterations: of E-S, E-V, E-W and M.
    """

    n_iterations: int = 2

    def __post_init__(self) -> None:
        _check_count("iterations", self.n_iterations)

    def run(self, model: Any, scene: Scene, guide: Any, first: int, seed: int) -> Posterior:
        """From a filtering pass; see `ChainUpdates`."""
        updates = _updates(model, scene, guide, first)
        return updates.posterior(_iterate(updates, self.n_iterations))


@dataclass(frozen=True)
class Looks:
    """`Coordinate` of sounds for pieces that have to be ready in time: no gradients, and no records.

    Latents are where the encoders put them, every step is taken as it is, and no ELBO says which was the best.

    Attributes:
        n_iterations: looks of the encoders at what they are to explain; the first is at the mixture.
    """

    n_iterations: int = 2

    def __post_init__(self) -> None:
        _check_count("iterations", self.n_iterations)

    def run(self, model: Any, scene: Scene, guide: Any, first: int, seed: int) -> Posterior:
        """See `SpectralUpdates.look`."""
        updates = sound_updates(model, scene, guide, first)
        for iteration in range(self.n_iterations):
            updates.look()
            if iteration < self.n_iterations - 1:
                updates.fit_noise()
        return updates.posterior([])


@dataclass(frozen=True)
class AlongTracks:
    """`Coordinate`, but what it starts from is known: whose each detection is, to be judged anew by every E-W.

    Attributes:
        tracks: of each scene.
        n_iterations: of E-S, E-V, E-W and M.
    """

    tracks: Sequence[Recovered]
    n_iterations: int = 2

    def run(self, model: Any, scene: Scene, guide: Any, first: int, seed: int) -> Posterior:
        """See `ChainUpdates`."""
        _require_updates(guide)
        updates = ChainUpdates(model, scene, guide, first, self.tracks)
        return updates.posterior(_iterate(updates, self.n_iterations))


@dataclass(frozen=True)
class SVI:
    """Adam on `TraceEnum_ELBO`, in all that is free in guide and model (a copy of it: two runs give the same).

    A guide of Gaussian chains begins where one update of each factor puts it: without a place to start it would have
    nothing to refine. A program of one's own begins where it is.

    Attributes:
        n_steps: of Adam.
        learning_rate: in posterior standard deviations and logits.
        n_particles: draws a step.
        fine_tunes_prior: also move the weights of p(s, z), at a tenth of the rate.
    """

    keeps_gradients: ClassVar[bool] = True

    n_steps: int = 100
    learning_rate: float = 0.02
    n_particles: int = 1
    fine_tunes_prior: bool = False

    def __post_init__(self) -> None:
        _check_count("steps", self.n_steps)
        _check_count("particles", self.n_particles)
        if self.n_particles > MOST_PARTICLES:
            raise InputError(f"{self.n_particles} particles are too many for memory: give {MOST_PARTICLES} or fewer.")
        require_positive(self.learning_rate, f"a learning rate of {self.learning_rate}")

    def run(self, model: Any, scene: Scene, guide: Any, first: int, seed: int) -> Posterior:
        """A step of closed-form updates first, where the guide has them."""
        if is_updated_in_closed_form(guide):
            return self.refine(Coordinate(1), model, scene, guide, first, seed)
        model = deepcopy(model)
        if isinstance(model, MixtureModel):
            model = model.replace(assignment=model.assignment.fitted(scene))
        if is_of_sounds(model):
            model = model.replace(sources=model.sources.begun(scene))
        if isinstance(guide, type) and issubclass(guide, Guide):
            with drawing(seeded(seed), scene.start.device):
                program = guide(model, scene)
        else:
            program = Program(guide, scene, model.sources.content_dim)
        return program_posterior(model, scene, program, self.optimise(model, program, scene, seed))

    def refine(self, start: Algorithm, model: Any, scene: Scene, guide: Any, first: int, seed: int) -> Posterior:
        """From where another algorithm has put the guide."""
        model = deepcopy(model)
        if isinstance(start, Coordinate):
            updates = _updates(model, scene, guide, first)
            records = _iterate(updates, start.n_iterations)
            updates.fit_noise()
            records += self.optimise(updates.model, updates.guide, updates.scene, seed)
            return updates.refreshed(records)
        found = start.run(model, scene, guide, first, seed)
        records = found.records + self.optimise(found.model, found.guide, found.scene, seed)
        engine = TorchChainEngine(found.model, found.scene)
        records.append(engine.record(found.guide))
        records = with_errors(records, records[-1]["elbo"], lambda: engine.record(found.guide, seed=1))
        mean, variance = found.guide.marginals()
        responsibilities = found.guide.responsibilities()
        return replace(found, mean=mean, variance=variance, responsibilities=responsibilities, records=records)

    def optimise(self, model: Any, guide: Any, scene: Scene, seed: int) -> list[Record]:
        """Move model and guide, in place; a record a step."""
        return optimise(
            model, guide, scene, self.n_steps, self.learning_rate, self.n_particles, self.fine_tunes_prior, seed
        )


@dataclass(frozen=True)
class Hybrid:
    """Closed-form updates, then SVI from where they end.

    Attributes:
        start: `Coordinate`, or another algorithm that moves the guide.
        svi: what follows.
    """

    keeps_gradients: ClassVar[bool] = True

    start: Algorithm = field(default_factory=Coordinate)
    svi: SVI = field(default_factory=SVI)

    def run(self, model: Any, scene: Scene, guide: Any, first: int, seed: int) -> Posterior:
        """One, then the other."""
        _require_updates(guide)
        return self.svi.refine(self.start, model, scene, guide, first, seed)


def program_posterior(model: MixtureModel, scene: Scene, guide: Guide, records: list[Record]) -> Posterior:
    """Moments and responsibilities of a guide that is a program, by its draws."""
    engine = TorchChainEngine(model, scene)
    records = with_errors(records, engine.record(guide)["elbo"], lambda: engine.record(guide, seed=1))
    if is_of_sounds(model):
        return spectral_posterior(model, scene, guide, records, "torch")
    mean, variance = guide.marginals()
    responsibilities = guide.responsibilities()
    if responsibilities is None:
        responsibilities = expected_responsibilities(model, scene, guide)
    name = getattr(guide, "name", type(guide).__name__)
    note = f"The guide {name} is read by its draws: moments of {N_DRAWS} of them, computed in PyTorch."
    return Posterior(model, scene, guide, mean, variance, responsibilities, records, "torch", note)


def _iterate(updates: Any, n_iterations: int) -> list[Record]:
    """Steps and their records, the noise fitted after every one but the last."""
    records = []
    for iteration in range(n_iterations):
        records.append(updates.step())
        if iteration < n_iterations - 1:
            updates.fit_noise()
    return records


def _updates(model: Any, scene: Scene, guide: Any, first: int) -> Any:
    """The closed-form updates of a model and a family of guides."""
    _require_updates(guide)
    return (sound_updates if is_of_sounds(model) else ChainUpdates)(model, scene, guide, first)


def is_of_sounds(model: Any) -> bool:
    """Whether the observations of a model are spectra."""
    return isinstance(model, AdditiveModel) or isinstance(model.sources, SoundSources)


def _require_updates(guide: Any) -> None:
    if not is_updated_in_closed_form(guide):
        name = getattr(guide, "__name__", type(guide).__name__)
        raise InputError(f"The guide {name} has no closed-form updates: infer with the algorithm SVI.")


def _check_count(what: str, count: int) -> None:
    if count < 1:
        raise InputError(f"{count} {what} are too few: give 1 or more.")
