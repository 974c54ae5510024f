"""Points that come frame by frame: their motion and noise are those of the frames so far."""

import numpy as np
import pytest
import torch
from points import walk

from pyro_mixdvae import Tracker
from pyro_mixdvae.declaration.shipped import of_parts, shipped
from pyro_mixdvae.engines.registry import only_torch
from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.models.scene import Scene
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.live import learning
from pyro_mixdvae.tracking.live.learning import FramesSoFar
from pyro_mixdvae.tracking.live.tracker import LiveResult, LiveTracker
from pyro_mixdvae.tracking.presets import build

SIZE = (400, 300)


@pytest.fixture(autouse=True)
def _single_precision() -> None:
    torch.set_default_dtype(torch.float32)


def run(tracker: LiveTracker, frames: Array) -> list[LiveResult]:
    with only_torch():
        results = [tracker.update(frame) for frame in frames] + tracker.flush()
    return [result for result in results if result is not None]


def test_points_are_followed_in_whatever_unit_they_move(rng: np.random.Generator) -> None:
    scale = 30.0
    true, seen = walk(10, rng, scale)
    tracker = LiveTracker(2, (400 * scale, 300 * scale), lag=3, start=true[0], preset="points")
    results = run(tracker, seen)
    assert [result.frame for result in results] == list(range(10))
    found = np.stack([result.boxes for result in results])
    assert np.linalg.norm(found - true, axis=-1).max() < 4 * scale
    assert sum(int(result.observed.sum()) for result in results) == (~np.isnan(seen[..., 0])).sum()


def test_while_frames_are_few_it_is_the_filtering_pass_with_what_was_learned(rng: np.random.Generator) -> None:
    """After 8 frames the first 8 are filtered anew: the same as by a whole pass with the constants of these."""
    true, seen = walk(8, rng)
    tracker = LiveTracker(2, SIZE, lag=7, start=true[0], preset="points")
    first = run(tracker, seen)[0]
    model, start = tracker._known, torch.as_tensor(true[:1] / 400, dtype=torch.float32)
    assert model.sources.tails != tracker.preset.model.sources.tails
    frames = torch.as_tensor(seen[None] / 400, dtype=torch.float32)
    engine = TorchChainEngine(tracker._model, Scene.of(frames, start))
    filtered = engine.filter()
    chain = engine.smooth(*(filtered.transitions, engine.observe(filtered.responsibilities, None)))
    assert first.boxes / 400 == pytest.approx(chain.mean[0, :, 0, :, 0].numpy(), abs=2e-5)


def test_the_latest_frames_are_what_is_learned_from(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    """By each doubling at first, then as often as all of them are others; a fast target is then a fast one."""
    monkeypatch.setattr(learning, "LATEST", 8)
    model = build(shipped("points"), 1).model
    so_far = FramesSoFar(model, torch.tensor([[[0.202, 0.5]]]))
    due, place = [], 0.2
    for t in range(24):
        place += 0.002 if t < 16 else 0.02
        so_far.add(torch.tensor([[place, 0.5]]))
        if so_far.is_due:
            due.append(t + 1)
            torch.testing.assert_close(so_far.scene().start[0], so_far.contents[0])
        so_far.found(torch.tensor([[[place, 0.5]]]))
        if t == 15:
            with only_torch():
                slow = so_far.model()
    assert due == [2, 4, 8, 16, 24]
    assert not so_far.are_few
    with only_torch():
        fast = so_far.model()
    speed = [float(each.sources.network.first_velocity[0]) ** 0.5 for each in (slow, fast)]
    assert speed[1] > 5 * speed[0]


def test_what_cannot_be_followed_is_a_sentence() -> None:
    poses = of_parts(shipped("poses"), 3)
    with pytest.raises(InputError, match="Poses need whole sequences"):
        LiveTracker(1, SIZE, preset=poses)
    with pytest.raises(InputError, match='points, and the model is of boxes: take the preset "points"'):
        LiveTracker(1, SIZE).update(np.zeros((1, 2)))
    with pytest.raises(InputError, match='boxes, and the model is of points: take the preset "default"'):
        LiveTracker(1, SIZE, preset="points").update(np.zeros((1, 4)))


def test_detections_and_starts_of_another_shape_are_refused() -> None:
    tracker = LiveTracker(2, SIZE, preset="points")
    with pytest.raises(InputError, match=r"have the shape \(2, 3\): give \[K, 2\]"):
        tracker.update(np.zeros((2, 3)))
    for shape in ((2, 4), (3, 2)):
        with pytest.raises(InputError, match=r"`start` has the shape .*: give where each of the sources is, \[2, 2\]"):
            LiveTracker(2, SIZE, preset="points", start=np.zeros(shape))


def test_an_empty_frame_is_one_of_points_too(rng: np.random.Generator) -> None:
    true, seen = walk(6, rng)
    frames = [*seen[:4], np.zeros((0, 4)), []]
    tracker = LiveTracker(2, SIZE, start=true[0], preset="points")
    results = run(tracker, frames)  # type: ignore[arg-type]
    assert [result.boxes.shape for result in results] == [(2, 2)] * 6
    assert not results[-1].observed.any()
    assert Tracker(2).tracker_of(seen).preset.representation.name == tracker.preset.representation.name
