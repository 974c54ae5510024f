"""Pieces of tracks, how they are put together, and which of them are the sources'."""

import math

import numpy as np
import pytest
import torch
from numpy.random import Generator

from pyro_mixdvae.engines.torch.chain import TorchChainEngine
from pyro_mixdvae.inference.association.choice import Drawn, choose_tracks, log_alike, named
from pyro_mixdvae.inference.association.linking import (
    COMES,
    RARE,
    THERE,
    Rates,
    come_back,
    link,
    log_comes,
    log_leaves,
    log_missed,
)
from pyro_mixdvae.inference.association.motion import (
    SPREADS,
    WEIGHTS,
    Belief,
    Detections,
    Floats,
    Motion,
    Place,
    Track,
    ahead,
    estimated,
    first_belief,
    followed,
    guessed,
    log_joined,
    log_predictive,
    updated,
)
from pyro_mixdvae.inference.association.pieces import CERTAIN, LEAST, find_pieces, pieces_of
from pyro_mixdvae.inference.association.recovery import Starts, recover, tracks_of
from pyro_mixdvae.inference.association.scenes import confirmed
from pyro_mixdvae.inference.association.visits import tracks_in
from pyro_mixdvae.inference.initialise import initialise
from pyro_mixdvae.models import ExclusiveAssignment, Scene
from pyro_mixdvae.testing.parts import toy_model, vkf

RATES = Rates(detection=0.95, clutter=0.05, hide=0.002, reappear=0.01)
MOTION = Motion(*(np.full(2, variance) for variance in (1e-4, 1e-4, 1e-3, 0.05)))


def scene_of(paths: list[Floats]) -> Detections:
    """Paths [T, 2] in an image of size 1, NaN where there is no detection; the unit is .02, clutter is anywhere."""
    content = np.stack(paths, 1)
    mask = ~np.isnan(content[..., 0])
    return Detections(np.nan_to_num(content), np.full(content.shape, 0.02), np.zeros(mask.shape), mask)


def walk(n_frames: int, start: tuple[float, float], speed: tuple[float, float], rng: Generator) -> Floats:
    """A straight walk, seen with noise."""
    there: Floats = np.array(start) + np.arange(n_frames)[:, None] * np.array(speed)
    return there + 5e-4 * rng.standard_normal(there.shape)


def hidden(path: Floats, since: int, until: int) -> Floats:
    """The same without the frames from `since` to before `until`."""
    path = path.copy()
    path[since:until] = np.nan
    return path


def slow_pieces(seen: Detections, motion: Motion) -> list[Track]:
    """`pieces_of`, by trying every joint event of two frames."""
    tracks: list[tuple[Track, Belief]] = []
    done: list[Track] = []
    for t in range(len(seen.mask)):
        columns = np.flatnonzero(seen.mask[t])
        moved = [(track, ahead(motion, belief, seen.unit[track[-1]], np.float64(1))) for track, belief in tracks]
        gain = np.full((len(columns), len(moved)), -np.inf)
        for i, k in enumerate(columns):
            for j, (_, belief) in enumerate(moved):
                density = log_predictive(motion, belief, seen.content[t, k], seen.unit[t, k])
                gain[i, j] = density - seen.clutter[t, k] - LEAST
        best, event = best_of(gain)
        tracks, taken = [], set()
        for i, k in enumerate(columns):
            j = event[i]
            without = gain.copy()
            if j >= 0:
                without[i, j] = -np.inf
            is_alone = j >= 0 and (gain[i] > 0).sum() == 1 and (gain[:, j] > 0).sum() == 1
            if j >= 0 and (is_alone or best - best_of(without)[0] > CERTAIN):
                track, belief = moved[j]
                taken.add(j)
                seen_now = updated(motion, belief, seen.content[t, k], seen.unit[t, k])
                tracks.append(([*track, (t, int(k))], seen_now))
            else:
                fresh = first_belief(motion, seen.content[t, k], seen.unit[t, k])
                tracks.append(([(t, int(k))], fresh))
        done += [track for j, (track, _) in enumerate(moved) if j not in taken]
    return sorted(done + [track for track, _ in tracks])


def best_of(gain: Floats) -> tuple[float, list[int]]:
    """The greatest sum over exclusive pairs, and the column of each row, -1 for none."""
    if not len(gain):
        return 0.0, []
    rest = gain[1:]
    total, columns = best_of(rest)
    best, event = total, [-1, *columns]
    for j in np.flatnonzero(gain[0] > 0):
        without = rest.copy()
        without[:, j] = -np.inf
        total, columns = best_of(without)
        if total + gain[0, j] > best:
            best, event = total + gain[0, j], [int(j), *columns]
    return best, event


@pytest.mark.parametrize("seed", range(5))
def test_pieces_are_those_of_all_joint_events(seed: int) -> None:
    rng = np.random.default_rng(seed)
    paths = [walk(15, tuple(rng.uniform(0.4, 0.6, 2)), tuple(rng.normal(0, 0.01, 2)), rng) for _ in range(4)]
    for path in paths:
        path[rng.random(15) < 0.15] = np.nan
    seen = scene_of(paths)
    assert sorted(pieces_of(seen, MOTION)) == slow_pieces(seen, MOTION)


def test_a_belief_some_frames_ahead_is_that_of_single_steps() -> None:
    belief = updated(MOTION, first_belief(MOTION, np.zeros(2), np.full(2, 0.02)), np.full(2, 0.01), np.full(2, 0.02))
    at_once = ahead(MOTION, belief, np.full(2, 0.02), np.float64(7))
    for _ in range(7):
        belief = ahead(MOTION, belief, np.full(2, 0.02), np.float64(1))
    for one, other in zip(belief, at_once, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-15)


def test_joined_beliefs_integrate_their_product() -> None:
    rng = np.random.default_rng(0)
    halves = rng.normal(size=(2, 1, 2, 2)) * 0.1
    one, other = (Belief(rng.normal(size=(1, 2)) * 0.1, half @ half.mT + 0.01 * np.eye(2)) for half in halves)
    covariance, apart = (one.covariance + other.covariance)[0], (one.mean - other.mean)[0]
    square = apart @ np.linalg.solve(covariance, apart)
    terms = [
        weight * math.exp(-0.5 * square / spread**2) / (2 * math.pi * spread**2 * np.linalg.det(covariance) ** 0.5)
        for spread, weight in zip(SPREADS, WEIGHTS, strict=True)
    ]
    assert log_joined(one, other) == pytest.approx(math.log(sum(terms)), abs=1e-9)


def test_motion_is_estimated_from_second_differences() -> None:
    rng = np.random.default_rng(1)
    n_frames, unit = 4000, 0.02
    velocity = np.cumsum(0.02 * rng.standard_normal((n_frames, 2)), 0)
    place = np.cumsum(unit * (velocity + 0.1 * rng.standard_normal((n_frames, 2))), 0)
    seen = scene_of([place + unit * 0.05 * rng.standard_normal(place.shape)])
    found = estimated(seen, [[(t, 0) for t in range(n_frames)]], MOTION)
    # Gross steps count less, and so do the largest of those that are none.
    np.testing.assert_allclose(found.position, 0.1**2, rtol=0.4)
    assert (found.noise > 0.05**2 / 2).all()
    assert (found.noise < 2 * 0.05**2).all()
    assert estimated(seen, [[(0, 0), (1, 0)]], MOTION) is MOTION


def test_pieces_on_either_side_of_a_gap_are_linked() -> None:
    rng = np.random.default_rng(2)
    paths = [
        hidden(walk(60, (0.1, 0.2), (0.01, 0.0), rng), 25, 33),
        hidden(walk(60, (0.9, 0.3), (-0.01, 0.0), rng), 26, 31),
        hidden(walk(60, (0.5, 0.8), (0.0, -0.002), rng), 40, 60),
    ]
    seen = scene_of(paths)
    pieces, motion = find_pieces(seen)
    linked = come_back(link(seen, pieces, motion, RATES, 2), RATES)
    columns = [{k for number in track for _, k in pieces[number]} for track in linked.named + linked.bystanders]
    assert sorted(columns, key=min) == [{0}, {1}, {2}]
    assert len(linked.named) == 2


def test_a_source_that_was_lost_goes_on_in_what_nobody_explains() -> None:
    rng = np.random.default_rng(3)
    source, passer = walk(80, (0.1, 0.5), (0.01, 0.0), rng), walk(80, (0.9, 0.1), (-0.01, 0.0), rng)
    seen = scene_of([hidden(source, 38, 43), passer])
    owners = np.full(seen.mask.shape, -1)
    owners[:38, 0] = 0  # the filter does not find it again
    starts = Starts(source[:1], np.full((1, 2), 0.02), np.full((1, 2), 0.02), 0)
    found = recover(seen, owners, starts, RATES)
    assert tracks_of(found.owners, 0) == [(t, 0) for t in range(80) if not 38 <= t < 43]
    assert [{k for _, k in track} for track in found.bystanders] == [{1}]


def test_a_filter_that_leaves_nothing_unexplained_is_left_alone() -> None:
    rng = np.random.default_rng(4)
    seen = scene_of([walk(20, (0.1, 0.5), (0.01, 0.0), rng)])
    owners = np.zeros(seen.mask.shape, int)
    starts = Starts(seen.content[0, :1], np.full((1, 2), 0.02), np.full((1, 2), 0.02), 0)
    found = recover(seen, owners, starts, RATES)
    assert found.owners is owners
    assert not found.bystanders


def test_who_stands_still_is_none_of_those_who_run() -> None:
    rng = np.random.default_rng(5)
    angle = np.arange(200)[:, None] / 20 + np.array([0.0, np.pi / 2])

    def circle(radius: float, phase: float) -> Floats:
        path: Floats = 0.5 + radius * np.sin(angle + phase)
        return path + 5e-4 * rng.standard_normal(path.shape)

    runners = [circle(0.1, 0.0), circle(0.2, 2.0), circle(0.3, 4.0)]
    referee = np.array([0.5, 0.9]) + 5e-4 * rng.standard_normal((200, 2))
    tracks = choose_tracks(scene_of([referee, *runners]), RATES, 3)
    assert tracks is not None
    assert {k for track in tracks.tracks for _, k in track} == {1, 2, 3}
    assert choose_tracks(scene_of([referee]), RATES, 2) is None


@pytest.mark.parametrize("late", [0, 1, 3])
def test_nor_who_stands_still_and_is_first_seen_late(late: int) -> None:
    """To be missed in a frame or two says as little of a bystander as of a source."""
    rng = np.random.default_rng(6)
    runs = [walk(100, (0.1, 0.2 * n), (0.006 + 0.001 * n, 0.002), rng) for n in range(1, 4)]
    stands = hidden(hidden(walk(100, (0.5, 0.9), (0.0, 0.0), rng), 0, late), 100 - late, 100)
    found = choose_tracks(scene_of([*runs, stands]), RATES, 3)
    assert found is not None
    assert {k for track in found.tracks for _, k in track} == {0, 1, 2}


def test_who_is_first_seen_late_came_then_or_was_there() -> None:
    before = np.array([0, 1, 40])
    missed = log_missed(RATES, before)
    expected = np.log(np.array([0.0, COMES, COMES]) + THERE * np.exp(missed))
    np.testing.assert_allclose(log_comes(RATES, RARE, before), expected)
    expected = np.log(np.array([0.0, COMES, COMES]) + np.exp(missed))
    np.testing.assert_allclose(log_leaves(RATES, RARE, before), expected)


def test_traits_of_one_kind_are_likelier_together() -> None:
    alike, apart = np.array([[0.0], [0.1], [-0.1]]), np.array([[0.0], [0.1], [-4.0]])
    assert log_alike(alike) > log_alike(apart)
    each = log_alike(apart[:, None])
    assert log_alike(apart) < log_alike(apart[:2]) + each[2]


def test_what_is_followed_is_predicted() -> None:
    rng = np.random.default_rng(6)
    seen = scene_of([walk(30, (0.1, 0.5), (0.01, 0.0), rng)])
    track = [(t, 0) for t in range(30)]
    motion = estimated(seen, [track], guessed(seen))
    forwards, backwards = (followed(motion, seen, [track], backwards=is_back)[0] for is_back in (False, True))
    np.testing.assert_allclose(forwards.belief.mean[:, 0], seen.content[-1, 0], atol=2e-3)
    np.testing.assert_allclose(backwards.belief.mean[:, 0], seen.content[0, 0], atol=2e-3)
    for found in (forwards, backwards):
        np.testing.assert_allclose(found.belief.mean[0, 1], 0.5, atol=0.1)  # half a unit a frame, as time runs
        assert (found.log_density[5:] > seen.clutter[5:, 0]).all()
    np.testing.assert_allclose(forwards.mean[10:], seen.content[11:, 0], atol=5e-3)
    (alone,) = followed(motion, seen, [track[:1]])
    assert alone.mean.shape == alone.variance.shape == (0, 2)
    assert alone.log_density.tolist() == [seen.clutter[0, 0]]


def test_tracks_are_followed_all_at_once_as_each_alone() -> None:
    rng = np.random.default_rng(7)
    seen = scene_of([walk(12, (0.1 * n, 0.5), (0.01, 0.0), rng) for n in range(1, 4)])
    tracks = [[(t, 0) for t in (2, 3, 7)], [(5, 1)], [(t, 2) for t in range(12)], [(0, 1), (11, 1)]]
    motion = estimated(seen, [[(t, n) for t in range(12)] for n in range(3)], guessed(seen))
    for is_back in (False, True):
        for track, found in zip(tracks, followed(motion, seen, tracks, backwards=is_back), strict=True):
            (alone,) = followed(motion, seen, [track], backwards=is_back)
            for one, other in ((found, alone), (found.belief, alone.belief)):
                for part, other_part in zip(one[-2:], other[-2:], strict=True):
                    np.testing.assert_allclose(part, other_part, rtol=1e-12)
            assert len(found.log_density) == len(track)
    assert followed(motion, seen, []) == []


def test_what_lies_still_says_nothing_of_how_others_move() -> None:
    def line(since: int, until: int, place: tuple[float, float], speed: tuple[float, float]) -> Floats:
        frames = np.arange(60)[:, None]
        path: Floats = np.array(place) + np.array(speed) * frames
        return np.where((frames >= since) & (frames < until), path, np.nan)

    lines = [line(0, 60, (0.1, 0.1), (0.0, 0.0)), line(0, 60, (0.5, 0.1), (0.004, 0.0))]
    lines.append(line(20, 50, (0.2, 0.9), (0.0, -0.006)))
    found = tracks_in(scene_of(lines))
    assert [len(track) for track in found.each] == [60, 60, 30]
    assert (found.odds > 0).all()


def drawn_at(seen: Detections, places: list[tuple[int, Place]]) -> Drawn:
    """Labels of sources 0 and 1 that lie on detections."""
    content, mask = np.zeros((2, *seen.content.shape[::2])), np.zeros((2, len(seen.mask)), np.bool_)
    for source, place in places:
        content[source, place[0]], mask[source, place[0]] = seen.content[place], True
    return Drawn(content, mask)


def test_with_labels_what_contradicts_them_or_follows_others_is_no_recovery() -> None:
    rng = np.random.default_rng(7)
    ways = [walk(20, (0.1, row), (0.01, 0.0), rng) for row in (0.2, 0.5, 0.8)]
    seen = scene_of([*ways[:2], hidden(ways[2], 0, 14)])
    drawn = drawn_at(seen, [(0, (0, 0)), (1, (0, 1)), (0, (10, 0))])
    before, right, all_seen, less, wrong = np.full((5, 20, 3), -1)
    for owners in (before, right, all_seen, less, wrong):
        owners[:9, 0], owners[:, 1] = 0, 1
    before[14:, 2] = 0  # who comes at the end would not be chosen
    right[9:12, 0] = all_seen[9:, 0] = wrong[9:, 0] = 0
    wrong[10, :2] = -1, 0
    for after in (right, all_seen):
        assert confirmed(before, after, seen, RATES, drawn)
    assert not confirmed(before, less, seen, RATES, drawn)
    assert not confirmed(before, wrong, seen, RATES, drawn)  # not the nearest to the label
    nobody = seen._replace(mask=np.zeros_like(seen.mask))
    assert not confirmed(before, right, nobody, RATES, drawn)


def test_tracks_that_labels_do_not_lie_on_say_nothing_for_a_recovery() -> None:
    """Who is seen in all frames would be chosen; the person who is labelled is seen in most."""
    rng = np.random.default_rng(9)
    ways = [walk(20, (0.1, row), (0.01, 0.0), rng) for row in (0.2, 0.5, 0.8)]
    seen = scene_of([*ways[:2], hidden(ways[2], 0, 3)])
    before, other = np.full((2, 20, 3), -1)
    before[3:, 2] = other[5:, 0] = 0
    before[:, 1] = other[:, 1] = 1
    labelled = seen._replace(content=np.stack(ways, 1))  # in frame 0 a label is where nothing is seen yet
    assert not confirmed(before, other, seen, RATES, drawn_at(labelled, [(0, (0, 2)), (1, (0, 1))]))
    assert confirmed(before, other, seen, RATES, drawn_at(labelled, [(0, (0, 0)), (1, (0, 1))]))
    assert not confirmed(before, other, seen, RATES, drawn_at(labelled, [(1, (0, 1))]))  # nobody says who is 0
    assert confirmed(before, other, seen, RATES, drawn_at(labelled, [(0, (0, 0))]))


def test_labels_name_the_tracks_that_are_chosen_without_them() -> None:
    rng = np.random.default_rng(8)
    ways = [walk(60, (0.1, row), (0.01, 0.0), rng) for row in (0.2, 0.5, 0.8)]
    seen = scene_of([hidden(ways[0], 0, 4), ways[1], hidden(ways[2], 10, 60)])
    found = choose_tracks(seen, RATES, 2)
    assert found is not None
    first = seen._replace(content=np.stack(ways, 1))  # in frame 0 a label is where nothing is seen yet
    first.content[30, 2] = 0.05, 0.95

    def order(places: list[tuple[int, Place]]) -> list[int] | None:
        tracks = named(seen, found, RATES, drawn_at(first, places))
        return None if tracks is None else [track[-1][1] for track in tracks]

    assert order([(0, (0, 1)), (1, (0, 0))]) == [1, 0]
    assert order([(0, (0, 0)), (1, (0, 1)), (1, (30, 1))]) == [0, 1]
    assert order([(0, (0, 2)), (1, (0, 1))]) is None  # who is labelled was not chosen
    assert order([(0, (0, 0)), (1, (0, 1)), (1, (30, 2))]) is None  # no track goes there


@pytest.mark.parametrize("seed", [1, 31])
def test_frames_after_the_end_of_a_scene_say_nothing(seed: int) -> None:
    """In a batch with a longer one; whether somebody is a bystander is near to even in these scenes."""
    torch.manual_seed(seed)
    start = torch.tensor([0.5, 0.5, -2.3, -2.3]) + 0.2 * torch.randn(1, 1, 4)
    path = start.unsqueeze(-2) + 0.03 * torch.randn(1, 1, 4, 4).cumsum(-2)
    seen = path.transpose(1, 2).expand(1, 4, 2, 4) + 0.03 * torch.randn(1, 4, 2, 4)
    alone = Scene.of(seen, start)
    longer = torch.cat([seen, torch.full((1, 6, 2, 4), torch.nan)], 1)
    beside = Scene.of(longer, start, torch.arange(10)[None] < 4)
    model = toy_model(1, vkf(0.05, 0.1, 0.1), ExclusiveAssignment(1, 0.8, 0.5))
    one, other = (initialise(TorchChainEngine(model, scene)) for scene in (alone, beside))
    torch.testing.assert_close(other.filtered.responsibilities[:, :4], one.filtered.responsibilities)
    assert type(other.model.clutter) is type(one.model.clutter)
