"""Runs of detections that nobody explains: their evidence by hand."""

import numpy as np

from pyro_mixdvae.inference.unexplained import SURE, Runs, Weights, matched

DETECTED, MISSED, OTHERS, BESIDE = 1.5, -2.5, -9.0, -8.0


def frame(number: int, begin: np.ndarray, own: np.ndarray) -> Weights:
    return Weights(number, begin, np.full(len(own), -20.0), own, DETECTED, MISSED, OTHERS, BESIDE)


def test_evidence_is_that_of_the_best_frame_to_begin_in(rng: np.random.Generator) -> None:
    """`max_tau` of the sum from tau on, against clutter; another target has explained the run from its start on."""
    n_frames, n_sources = 12, 2
    begin = rng.normal(-8, 3, (n_frames, 1, n_sources))
    own = rng.normal(0, 2, (n_frames, n_sources))
    density = rng.normal(1, 3, n_frames)
    runs = Runs.none(n_sources).joined_by(np.array([0]), frame(0, begin[0], own[0]))
    gains = [DETECTED]
    for t in range(1, n_frames):
        runs = runs.followed(density[t : t + 1, None], np.array([True]), frame(t, begin[t], own[t]))
        score = DETECTED - MISSED + density[t]
        gains.append(MISSED + max(score, 0.0))
    seen = [True, *(DETECTED - MISSED + density[1:] > 0)]
    per_frame = np.array(gains)[:, None] - own
    ways = np.array([DETECTED + begin[t, 0] - own[t] + per_frame[t + 1 :].sum(0) for t in range(n_frames) if seen[t]])
    np.testing.assert_allclose(runs.against_clutter[0], ways.max(0), rtol=1e-12)
    places = np.flatnonzero(seen)[ways.argmax(0)]
    np.testing.assert_array_equal(runs.since[0], places)
    assert runs.evidence[0] <= SURE


def test_a_source_that_was_seen_elsewhere_is_not_the_run() -> None:
    """However long it has been out of sight since."""
    runs = Runs.none(1).joined_by(np.array([0]), frame(0, np.array([[-10.0]]), np.array([8.0])))
    for t in range(1, 200):
        own = np.array([8.0 if t < 30 else -2.5 if t < 33 else 0.0])
        runs = runs.followed(np.array([[6.0]]), np.array([True]), frame(t, np.array([[-5.0]]), own))
        assert runs.returned()[0] == []


def test_two_runs_and_two_sources_return_each_once() -> None:
    """The best pair first; the run that is left over has to be better than what explains its source now."""
    runs = Runs.none(2).joined_by(np.arange(3), frame(4, np.full((3, 2), -4.0), np.zeros(2)))
    runs = Runs(
        runs.evidence,
        np.array([[30.0, 5.0], [28.0, 6.0], [3.0, 2.0]]),
        np.array([[9.0, 3.0], [8.0, 4.0], [3.0, 2.0]]),
        np.full((3, 2), -20.0),
        runs.since,
        runs.taken,
        runs.is_known,
    )
    found, left = runs.returned()
    assert [(one.source, one.run, one.since) for one in found] == [(0, 0, 4), (1, 1, 4)]
    np.testing.assert_allclose(left.against_clutter[2], [3 - 30, 2 - 6])


def test_runs_end_where_no_evidence_is_left() -> None:
    runs = Runs.none(1).joined_by(np.array([0, 1]), frame(0, np.zeros((2, 1)), np.zeros(1)))
    for t in range(1, 5):
        runs = runs.followed(np.array([[2.0, -9.0]]), np.array([True]), frame(t, np.zeros((1, 1)), np.zeros(1)))
    assert runs.alive().tolist() == [True, False]
    assert runs.taken.tolist() == [0, -1]


def test_a_detection_belongs_to_one_run() -> None:
    score = np.array([[3.0, 4.0], [-1.0, 3.5], [-np.inf, 1.0]])
    assert matched(score).tolist() == [0, 1]


def test_where_nobody_else_comes_a_run_becomes_some_source() -> None:
    """Also where that source was seen while the run was: it was another's way then; not where strangers come often."""
    for others, is_found in ((-9.9, True), (-4.0, False)):
        runs = Runs.none(1).joined_by(np.array([0]), frame(0, np.array([[-10.0]]), np.array([8.0])))
        found = []
        for t in range(1, 60):
            is_hidden = t > 33
            own = np.array([0.0 if is_hidden else 8.0 if t < 30 else -2.0])
            exchanged = np.array([-7.6 if is_hidden else -13.8])
            weights = Weights(t, np.array([[-5.0]]), exchanged, own, DETECTED, MISSED, others, others)
            runs = runs.followed(np.array([[6.0]]), np.array([True]), weights)
            found += runs.returned()[0]
        assert bool(found) == is_found
