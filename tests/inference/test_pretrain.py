"""Pre-training: what it learns, what it keeps, and that an interrupted run ends as an uninterrupted one."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyro
import pytest
import torch
from pydantic import ValidationError
from pyro.distributions import Independent, Normal
from pyro.infer import Trace_ELBO
from sounds import complex_normal, spectral_srnn
from torch import Tensor

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.guides.single_source import SingleSourceGuide
from pyro_mixdvae.models.single_source import SingleSource
from pyro_mixdvae.networks.dvae import DVAE
from pyro_mixdvae.networks.kinematic import KinematicNetwork
from pyro_mixdvae.networks.spectral_srnn import SpectralSRNN
from pyro_mixdvae.networks.srnn import SRNN
from pyro_mixdvae.process_state import seeded
from pyro_mixdvae.training.data import Example, Tracks
from pyro_mixdvae.training.loop import Checkpoint, Epoch, Pretrained, programs_run, train
from pyro_mixdvae.training.objectives import SourceElbo, objective_of, score
from pyro_mixdvae.training.pretrain import Pretraining
from pyro_mixdvae.training.schedule import Schedule


def pretrain(
    network: DVAE,
    tracks: Callable[[int], Tracks],
    validation: Tracks,
    plan: Schedule,
    seed: int = 0,
    report: Callable[[Epoch], None] = lambda epoch: None,
    **checkpoint: object,
) -> Pretrained:
    return train(Pretraining(network, tracks, validation, plan, seed), Checkpoint(**checkpoint), report)


def schedule(**changes: float) -> Schedule:
    settings = {
        "epochs": 6,
        "warm_up": 0,
        "sampling_start": 0,
        "sampling_end": 2,
        "own_output_probability": 0.3,
        "batch_size": 16,
        "learning_rate": 0.01,
    }
    return Schedule(**{**settings, **changes})


def walk(count: int, seed: int) -> Tensor:
    """Displacements of a velocity that lasts: [count, 6, 4]."""
    generator = torch.Generator().manual_seed(seed)
    velocity = 0.1 * torch.randn(count, 1, 4, generator=generator, dtype=torch.float64)
    return velocity + 0.01 * torch.randn(count, 6, 4, generator=generator, dtype=torch.float64)


def tracks(epoch: int) -> Tensor:
    return walk(40, epoch)


VALIDATION = walk(20, 1000)


def new_network(kind: type[DVAE] = KinematicNetwork) -> DVAE:
    torch.manual_seed(1)
    return kind() if kind is SRNN else KinematicNetwork(hidden=8)


def same_weights(a: DVAE, b: DVAE) -> bool:
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


def test_the_objective_of_each_epoch() -> None:
    plan = schedule(
        epochs=200,
        warm_up=20,
        sampling_start=20,
        sampling_end=100,
        own_output_probability=0.8,
        final_learning_rate=0.1,
    )
    assert plan.finished_at == 100
    assert [plan.kl_scale(epoch) for epoch in (0, 10, 20, 150)] == pytest.approx([1 / 21, 11 / 21, 1, 1])
    assert [plan.probability(epoch) for epoch in (0, 20, 60, 100, 199)] == pytest.approx([0, 0, 0.4, 0.8, 0.8])
    assert [plan.rate(epoch) for epoch in (0, 100, 200)] == pytest.approx([0.01, 0.0055, 0.001])
    assert schedule(own_output_probability=0.5, sampling_end=0).probability(0) == 0.5
    assert schedule(warm_up=0).kl_scale(0) == 1
    weighted = schedule(warm_up=4, kl_weight=0.1)
    assert [weighted.kl_scale(epoch) for epoch in (0, 3, 4, 50)] == pytest.approx([0.02, 0.08, 0.1, 0.1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"kl_weight": 0},
        {"kl_weight": 1.1},
        {"learning_rate": 0},
        {"own_output_probability": 1.1},
        {"patience": 0},
        {"speed": 1},
    ],
    ids=str,
)
def test_schedules_that_make_no_sense(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        schedule(**wrong)


@pytest.mark.parametrize("kind", [KinematicNetwork, SRNN])
def test_training_raises_the_validation_elbo(kind: type[DVAE]) -> None:
    network = new_network(kind)
    before = score(SourceElbo(network), VALIDATION, 0.3)
    state = torch.random.get_rng_state()
    result = pretrain(network, tracks, VALIDATION, schedule(epochs=8))
    assert result.best_score > before + 0.5
    assert len(result.curve) == 8
    assert result.best_score == result.curve[result.best_epoch - 1].validation
    # The caller's generator and parameter store are as they were.
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not pyro.get_param_store()


def test_the_network_ends_with_the_weights_of_the_best_epoch() -> None:
    """A rate this large throws the weights about: the last ones are not the best."""
    network = new_network()
    result = pretrain(network, tracks, VALIDATION, schedule(epochs=4, learning_rate=1.0, sampling_end=0))
    assert result.best_epoch < 4
    assert result.best_score == max(point.validation for point in result.curve)
    assert score(SourceElbo(network), VALIDATION, 0.3, seed=0) == pytest.approx(result.best_score, rel=1e-12)


def test_weights_from_before_the_end_of_the_schedule_are_not_the_best() -> None:
    """The first six epochs see tracks like the held-out ones, the last two do not."""
    result = pretrain(
        new_network(),
        lambda epoch: tracks(epoch) if epoch < 6 else 30 * tracks(epoch),
        VALIDATION,
        schedule(epochs=8, sampling_end=6, learning_rate=0.02),
    )
    assert result.best_epoch == 7
    assert result.curve[5].validation > result.best_score == result.curve[6].validation > result.curve[7].validation


def test_a_schedule_that_does_not_finish_keeps_the_last_weights() -> None:
    result = pretrain(new_network(), tracks, VALIDATION, schedule(epochs=4, learning_rate=0.3, sampling_end=50))
    assert result.best_epoch == 4


def test_patience_counts_from_the_end_of_the_schedule() -> None:
    # With a rate this small nothing changes: the validation ELBO stays where it is.
    idle = schedule(epochs=10, learning_rate=1e-30, sampling_end=2, patience=3)
    result = pretrain(new_network(), tracks, VALIDATION, idle)
    assert (len(result.curve), result.best_epoch) == (6, 3)


def test_the_seed_decides() -> None:
    one, same, other = new_network(SRNN), new_network(SRNN), new_network(SRNN)
    for network, seed in ((one, 3), (same, 3), (other, 4)):
        torch.manual_seed(id(network) % 1000)
        pretrain(network, tracks, VALIDATION, schedule(epochs=2), seed)
    assert same_weights(one, same)
    assert not same_weights(one, other)


class Killed(Exception):
    pass


PLAN = schedule(epochs=6, warm_up=2, patience=1)


@cache
def uninterrupted(kind: type[DVAE]) -> tuple[Pretrained, DVAE]:
    network = new_network(kind)
    return pretrain(network, tracks, VALIDATION, PLAN, 5), network


@pytest.mark.parametrize(
    ("kind", "epoch"), [(KinematicNetwork, 1), (KinematicNetwork, 3), (KinematicNetwork, 6), (SRNN, 3)]
)
def test_resumed_is_uninterrupted(tmp_path: Path, kind: type[DVAE], epoch: int) -> None:
    expected, whole = uninterrupted(kind)

    def stop(point: Epoch) -> None:
        if point.number == min(epoch, len(expected.curve)):
            raise Killed

    broken = new_network(kind)
    with pytest.raises(Killed):
        pretrain(broken, tracks, VALIDATION, PLAN, 5, path=tmp_path / "c", report=stop)
    torch.manual_seed(99)
    resumed = new_network(kind)
    result = pretrain(resumed, tracks, VALIDATION, PLAN, 5, path=tmp_path / "c", resume=True)
    assert result == expected
    assert same_weights(resumed, whole)


def test_other_settings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c"
    pretrain(new_network(), tracks, VALIDATION, schedule(epochs=1), path=path, settings={"data": "rich"})
    arguments = {"path": path, "resume": True}
    with pytest.raises(InputError, match=r"\(learning_rate 0\.01 instead of 0\.5\)"):
        pretrain(
            new_network(),
            tracks,
            VALIDATION,
            schedule(epochs=1, learning_rate=0.5),
            **arguments,
            settings={"data": "rich"},
        )
    with pytest.raises(InputError, match="data rich instead of published"):
        pretrain(new_network(), tracks, VALIDATION, schedule(epochs=1), **arguments, settings={"data": "published"})
    with pytest.raises(InputError, match=r"\(other data\)"):  # a list of files is no sentence
        pretrain(new_network(), tracks, VALIDATION, schedule(epochs=1), **arguments, settings={"data": ["a.wav"] * 99})
    with pytest.raises(InputError, match="seed 0 instead of 1"):
        pretrain(new_network(), tracks, VALIDATION, schedule(epochs=1), 1, **arguments, settings={"data": "rich"})


def test_an_elbo_that_is_no_number_stops_with_a_sentence() -> None:
    with pytest.raises(InputError, match="no longer a finite number in epoch 1"):
        pretrain(new_network(), lambda epoch: tracks(epoch) * float("nan"), VALIDATION, schedule())
    with pytest.raises(InputError, match="no longer a finite number in epoch 1"):
        pretrain(new_network(), tracks, VALIDATION * float("nan"), schedule())


def test_the_score_does_not_depend_on_the_batches_or_the_caller() -> None:
    network = new_network()
    one = score(SourceElbo(network), VALIDATION, batch_size=20)
    torch.manual_seed(7)
    # Without own outputs and with an exact posterior only the position_variance of the inputs is random.
    assert score(SourceElbo(network), VALIDATION, batch_size=20) == one
    halves = [score(SourceElbo(network), half, batch_size=10) for half in VALIDATION.split(10)]
    assert sum(halves) / 2 == pytest.approx(one, abs=0.2)


class AsExamples:
    """Tracks that are not a tensor: contents, and what is seen of them."""

    def __init__(self, contents: Tensor, observed: Tensor | None = None):
        self.contents, self.observed = contents, contents if observed is None else observed

    def __len__(self) -> int:
        return len(self.contents)

    def __getitem__(self, indices: Tensor, /) -> Example:
        return Example(self.contents[indices], self.observed[indices])


@pytest.mark.parametrize("kind", [KinematicNetwork, SRNN])
def test_examples_that_are_seen_as_they_are_train_as_a_tensor_does(kind: type[DVAE]) -> None:
    one, other = new_network(kind), new_network(kind)
    expected = pretrain(one, tracks, VALIDATION, schedule(epochs=3), 5)
    found = pretrain(other, lambda epoch: AsExamples(tracks(epoch)), AsExamples(VALIDATION), schedule(epochs=3), 5)
    assert found == expected
    assert same_weights(one, other)


def test_what_is_seen_is_what_history_and_encoder_are_given() -> None:
    """The content is explained all the same: the ELBO is that of the content, not of what is seen."""
    network = new_network(SRNN)
    y, seen = torch.rand(20, 6, 4), 5 * torch.randn(20, 6, 4)
    found = score(SourceElbo(network), AsExamples(y, seen), seed=3)
    with pyro.settings.context(module_local_params=True), torch.no_grad():
        torch.manual_seed(3)
        loss = Trace_ELBO()(SingleSource(network), SingleSourceGuide(network))
        expected = -float(loss(y, network.teacher_forced(seen), 1.0, seen)) / 120
    assert found == pytest.approx(expected, rel=1e-12)
    assert found != pytest.approx(score(SourceElbo(network), y, seed=3), rel=1e-3)


def test_a_lighter_kl_term_is_what_is_trained_and_validated() -> None:
    light, whole = new_network(SRNN), new_network(SRNN)
    result = pretrain(light, tracks, VALIDATION, schedule(kl_weight=0.01, sampling_end=0), 5)
    pretrain(whole, tracks, VALIDATION, schedule(sampling_end=0), 5)
    assert not same_weights(light, whole)
    assert score(SourceElbo(light), VALIDATION, 0.3, seed=5, kl_scale=0.01) == pytest.approx(
        result.best_score, rel=1e-12
    )
    assert score(SourceElbo(light), VALIDATION, 0.3, seed=5) < result.best_score


def sounds(epoch: int) -> AsExamples:
    """Noise in three bands whose loudness swells and ebbs, heard through noise that does not: [40, 8, 3]."""
    with torch.random.fork_rng():
        torch.manual_seed(epoch)
        swell = (3 * torch.sin(torch.arange(8.0) + 6 * torch.rand(40, 1))).unsqueeze(-1).exp()
        content = (torch.tensor([0.1, 1.0, 3.0]) * swell).sqrt() * complex_normal(40, 8, 3)
        return AsExamples(content, content + 0.3 * complex_normal(40, 8, 3))


@pytest.mark.parametrize("encoder_input", ["power", "log-power"])
def test_training_of_sounds_raises_the_validation_elbo(encoder_input: str) -> None:
    torch.manual_seed(1)
    network, held_out = spectral_srnn(encoder_input=encoder_input), sounds(1000)
    before = score(SourceElbo(network), held_out, 0.3)
    result = pretrain(network, sounds, held_out, schedule(epochs=8))
    assert result.best_score > before + 0.5


@pytest.mark.parametrize("epoch", [1, 3])
def test_resumed_training_of_sounds_is_uninterrupted(tmp_path: Path, epoch: int) -> None:
    plan, networks = schedule(epochs=4, warm_up=2, kl_weight=0.1), []
    for _ in range(3):
        torch.manual_seed(1)
        networks.append(spectral_srnn())
    whole, broken, resumed = networks
    expected = pretrain(whole, sounds, sounds(1000), plan, 5)

    def stop(point: Epoch) -> None:
        if point.number == epoch:
            raise Killed

    with pytest.raises(Killed):
        pretrain(broken, sounds, sounds(1000), plan, 5, path=tmp_path / "c", report=stop)
    assert not same_weights(broken, whole)
    torch.manual_seed(99)
    result = pretrain(resumed, sounds, sounds(1000), plan, 5, path=tmp_path / "c", resume=True)
    assert result == expected
    assert same_weights(resumed, whole)


def test_digital_silence_can_be_learnt_from() -> None:
    """Its ELBO is finite: all powers have a floor."""
    torch.set_default_dtype(torch.float32)
    silence = AsExamples(torch.zeros(20, 8, 3, dtype=torch.complex64))
    network = SpectralSRNN(3, 2, [5], 6, [4], 5, [4], [7], [6])
    result = pretrain(network, lambda epoch: silence, silence, schedule(epochs=3))
    assert all(torch.isfinite(torch.tensor(point[1:])).all() for point in result.curve)


class Broader(SRNN):
    """Its whole sequences are spread more than its steps."""

    def sequence_emission(self, inputs: Tensor, z: Tensor) -> Independent:
        emission = super().sequence_emission(inputs, z).base_dist
        return Normal(emission.mean, 2 * emission.stddev).to_event(2)


@pytest.mark.parametrize("kind", ["sound", KinematicNetwork, SRNN, Broader])
def test_the_objective_and_its_gradient_are_those_of_the_programs(kind: object) -> None:
    """Also of a class whose densities are others than those that the short cut knows."""
    network = spectral_srnn() if kind == "sound" else kind(hidden=8) if kind is KinematicNetwork else kind()
    y = complex_normal(3, 5, 3) if kind == "sound" else torch.randn(3, 5, 4)
    seen = y.abs().square() if kind == "sound" else y
    inputs = network.teacher_forced(seen)
    found = []
    with programs_run(seeded(0)):
        programs = Trace_ELBO()(SingleSource(network), SingleSourceGuide(network))
    for loss in (objective_of(network), programs):
        network.zero_grad()
        with programs_run(seeded(4)):
            value = loss(y, inputs, 0.3, seen)
        value.backward()
        found.append((value.detach(), [parameter.grad.clone() for parameter in network.parameters()]))
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)
