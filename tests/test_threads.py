"""Results in threads are those alone, bit for bit; what the process keeps for all threads stays as it was."""

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from pyro.distributions import Normal
from walkers import SIZE

from pyro_mixdvae import Separator, Tracker
from pyro_mixdvae.engines.numba.interrupts import deferral, deferring
from pyro_mixdvae.inference.algorithms import SVI
from pyro_mixdvae.models import IndependentAssignment, LearnedScale, LearnedWeights, Scene
from pyro_mixdvae.networks.kinematic import KinematicNetwork
from pyro_mixdvae.process_state import alone, drawing, seeded
from pyro_mixdvae.testing.parts import relative_noise, toy_model, vkf
from pyro_mixdvae.testing.scenes import toy_scene
from pyro_mixdvae.tracking.live.tracker import LiveTracker
from pyro_mixdvae.tracking.presets import default
from pyro_mixdvae.tracking.result import TrackingResult
from pyro_mixdvae.training.loop import train
from pyro_mixdvae.training.pretrain import Pretraining
from pyro_mixdvae.training.schedule import Schedule

N_THREADS = 8
# Python 3.12 warns of what this file is about.
FORKS = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
]


def boxes() -> np.ndarray:
    step = np.arange(6)[:, None, None]
    found = np.array([[10, 50, 30, 90], [210, 60, 230, 100]]) + step * np.array([[4, 0, 4, 0], [-4, 0, -4, 0]])
    return np.where(step == 3, np.nan, found)


def own_guide(scene: Scene) -> None:
    """Parameters by name, which start anywhere."""
    start = scene.start.unsqueeze(-2).expand(-1, -1, scene.n_frames, -1)
    start = torch.cat([start, torch.zeros_like(start)], -1)  # z is a velocity
    place = pyro.param("place", lambda: start + 0.01 * torch.randn(start.shape))
    with pyro.plate("scenes", len(start), dim=-3):
        pyro.sample("sz", Normal(place[:, None, None], 0.01).to_event(3))


def tracked(algorithm: str, seed: int = 3) -> list[Any]:
    return numbers(Tracker(2, algorithm=algorithm, n_iterations=2, seed=seed).track(boxes(), SIZE, n_samples=2))


def numbers(result: TrackingResult) -> list[Any]:
    return [result.boxes, result.lower, result.upper, result.responsibilities, result.samples, result.records]


def followed() -> list[Any]:
    live = LiveTracker(2, SIZE, lag=2)
    results = [live.update(frame) for frame in boxes()] + live.flush()
    return [(result.boxes, result.upper) for result in results if result is not None]


def separated() -> list[Any]:
    wave = np.sin(np.arange(3000) ** 1.3).astype(np.float32)
    return [Separator(algorithm="svi", n_iterations=1).separate(wave, 16000).stems]


def trained() -> list[Any]:
    with drawing(seeded(0)):
        network = KinematicNetwork(hidden=4)
    tracks = 0.1 * torch.randn(12, 5, 4, generator=seeded(1))
    plan = Schedule(
        epochs=2,
        warm_up=0,
        sampling_start=0,
        sampling_end=0,
        own_output_probability=0.3,
        batch_size=4,
        learning_rate=0.01,
    )
    result = train(Pretraining(network, lambda epoch: tracks, tracks, plan))
    return [result.curve, *(value.numpy() for value in network.state_dict().values())]


def shared_tracker() -> Callable[[], list[Any]]:
    """One tracker for all threads, of parts with parameters of their own, which PyTorch's path runs."""
    preset = default(2, None)
    likelihood = LearnedScale(preset.model.likelihood.noise)
    model = preset.model.replace(assignment=LearnedWeights(2, 2.0, 0.5), likelihood=likelihood)
    tracker = Tracker(2, preset=replace(preset, model=model, algorithm=SVI(2)))
    alike = preset.model.replace(assignment=IndependentAssignment(2, 0.5))
    program = Tracker(2, preset=replace(preset, model=alike, guide=own_guide, algorithm=SVI(2)))
    coordinate = Tracker(2, preset=replace(preset, model=model))
    return lambda: [numbers(each.track(boxes(), SIZE)) for each in (tracker, program, coordinate)]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other if isinstance(one, str) else np.array_equal(one, other, equal_nan=True)


@pytest.fixture
def _busy() -> Iterator[None]:
    """Threads take turns as often as Python lets them."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def _unchanged() -> Iterator[None]:
    """Generators and settings of the process are afterwards what they were."""
    pyro.set_rng_seed(11)
    pyro.param("mine", torch.tensor(1.0))

    def kept() -> list[Any]:
        settings = {name: value for name, value in pyro.settings.get().items() if isinstance(value, (bool, int, float))}
        store, (kind, *numpy_state) = dict(pyro.get_param_store().items()), np.random.get_state()  # noqa: NPY002
        return [torch.get_rng_state().numpy(), kind == "MT19937", numpy_state, settings, list(store)]

    before = kept()
    yield
    assert same(kept(), before)
    assert not pyro.poutine.runtime._PYRO_STACK


@pytest.mark.usefixtures("_busy", "_unchanged")
def test_results_in_threads_are_those_alone() -> None:
    runs = [partial(tracked, algorithm) for algorithm in ("coordinate", "svi", "hybrid")]
    runs += [partial(tracked, "svi", 4), followed, separated, trained, shared_tracker()]
    expected = [run() for run in runs]
    filters = list(warnings.filters)
    with ThreadPoolExecutor(N_THREADS) as pool:
        jobs = [pool.submit(run) for run in [*runs, *runs[:3]]]
        found = [job.result() for job in jobs]
    assert [same(*pair) for pair in zip(found, [*expected, *expected[:3]], strict=True)] == [True] * len(found)
    assert list(warnings.filters) == filters


def test_a_model_can_be_copied_and_read_while_it_runs_in_another_thread() -> None:
    """Pyro makes a statement of a parameter that is read while its module runs, in whichever thread."""
    scene = toy_scene(1, 3, 2, 2)
    model = toy_model(2, vkf(), likelihood=LearnedScale(relative_noise()))
    waits, goes_on = threading.Event(), threading.Event()

    class Slow(type(model)):  # type: ignore[misc]
        def forward(self, scene: Scene) -> Any:
            waits.set()
            goes_on.wait(0.2)
            return super().forward(scene)

    slow = Slow(model.sources, model.assignment, model.likelihood, model.clutter)
    traces: list[Any] = []
    thread = threading.Thread(target=lambda: traces.append(pyro.poutine.trace(slow).get_trace(scene)))
    thread.start()
    waits.wait()
    copy, scale = deepcopy(slow), slow.likelihood.log_factor
    goes_on.set()
    thread.join()
    assert torch.equal(copy.likelihood.log_factor, scale)
    assert "sz" in traces[0].nodes


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a forked process gives."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(function, *arguments).result(timeout=120)


@pytest.mark.parametrize("algorithm", ["coordinate", "svi"])
@FORKS[0]
@FORKS[1]
def test_a_forked_process_gives_the_same(algorithm: str) -> None:
    """After kernels have run here, and while another thread is in the midst of a program."""
    expected = tracked(algorithm)
    holds, ends = threading.Event(), threading.Event()

    def hold() -> None:
        while not ends.is_set():
            with alone, pyro.poutine.trace():
                holds.set()
                ends.wait(0.01)

    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait()
    try:
        assert same(in_child(tracked, algorithm), expected)
    finally:
        ends.set()
        thread.join()


def product() -> float:
    """Large enough for PyTorch to share it among its threads."""
    return float(torch.ones(600, 600).mm(torch.ones(600, 600)).exp().add(1).log().sum())


@FORKS[0]
@FORKS[1]
def test_a_forked_process_does_not_wait_for_threads_that_it_does_not_have() -> None:
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert in_child(product) == pytest.approx(product())
        assert in_child(torch.get_num_threads) == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(n_threads)


@FORKS[0]
@FORKS[1]
def test_a_process_forked_by_another_thread_while_a_kernel_runs_has_its_handlers() -> None:
    """Else nothing but SIGKILL would end it."""
    codes = []

    def fork() -> None:
        if pid := os.fork():
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        else:
            is_own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
            os._exit(0 if is_own and not deferral.is_running else 1)

    def kernel() -> None:
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()

    deferring(kernel)()
    assert codes == [0]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_draws_are_those_of_torch_s_own_generator_after_the_same_seed() -> None:
    torch.manual_seed(5)
    expected = [torch.rand(3), torch.randn(2)]
    generator, before = seeded(5), torch.get_rng_state()
    with drawing(generator):
        first = torch.rand(3)
    with drawing(generator):
        second = torch.randn(2)
    assert torch.equal(first, expected[0])
    assert torch.equal(second, expected[1])
    assert torch.equal(torch.get_rng_state(), before)
