import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from pyro_mixdvae.benchmark.counts.calibration import (
    LEVELS,
    assignment_counts,
    calibration_columns,
    gaussian_crps,
    interval_counts,
)
from pyro_mixdvae.benchmark.counts.counting import columns, count, stack
from pyro_mixdvae.benchmark.counts.outcome import Outcome
from pyro_mixdvae.benchmark.samples.trials import ABSENT, CLUTTER, Trial
from pyro_mixdvae.benchmark.samples.triples import Sample
from pyro_mixdvae.reporting.bootstrap import bootstrap, weighted
from pyro_mixdvae.tracking.files.tracks import Tracks
from pyro_mixdvae.tracking.scores.clear import pool, score


def trial(truth: np.ndarray, owner: np.ndarray | None = None) -> Trial:
    owner = np.full((len(truth), 1), ABSENT) if owner is None else owner
    detections = np.where((owner != ABSENT)[..., None], 1.0, np.nan) * np.ones(4)
    sample = Sample("SEQ", 0, np.arange(truth.shape[1]), truth, truth, np.ones(truth.shape[:2]), (640, 480))
    return Trial(sample, detections, detections[..., 0], owner)


def walk(rng: np.random.Generator, n_frames: int = 20, n_targets: int = 3) -> np.ndarray:
    corner = 200 * rng.random((1, n_targets, 2)) + np.cumsum(rng.normal(0, 2, (n_frames, n_targets, 2)), axis=0)
    return np.concatenate([corner, corner + np.array([40, 80])], axis=-1)


def test_columns_are_those_of_the_scores(rng: np.random.Generator) -> None:
    pairs = [(walk(rng), walk(rng)) for _ in range(3)]
    pairs = [(truth, np.where(rng.random((20, 3, 1)) < 0.7, truth + 3, other)) for truth, other in pairs]
    counts = stack([count(Outcome(boxes), trial(truth)) for truth, boxes in pairs])
    total = columns(weighted(counts, np.ones(3)))
    pooled = pool(score(Tracks.from_boxes(boxes), Tracks.from_boxes(truth)).overall for truth, boxes in pairs)
    for name in ("MOTA", "MOTP", "IDF1", "#IDS", "%IDS", "MT", "ML", "#FP", "%FP", "#FN", "%FN", "mean IoU"):
        assert float(total[name]) == pytest.approx(pooled.columns[name]), name
    assert 0 < total["HOTA"] < 1


def test_bootstrap_of_a_mean_is_the_interval_of_the_central_limit_theorem(rng: np.random.Generator) -> None:
    values = rng.gamma(2.0, 1.0, 400)
    counts = {"sum": values, "n": np.ones(400)}

    def mean(summed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"mean": summed["sum"] / summed["n"]}

    low, high = bootstrap(counts, mean, ["mean"], seed=0, resamples=4000)["mean"]
    reach = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - reach, abs=0.1 * reach)
    assert high == pytest.approx(values.mean() + reach, abs=0.1 * reach)
    assert bootstrap(counts, mean, ["mean"], seed=5) == bootstrap(counts, mean, ["mean"], seed=5)


def test_bootstrap_is_the_loop_over_draws_of_samples(rng: np.random.Generator) -> None:
    counts = {"hits": rng.random((7, 2)), "n": rng.random(7) + 1}
    often = np.random.default_rng(3).multinomial(7, np.full(7, 1 / 7), 50)
    loop = []
    for row in often:
        drawn = np.repeat(np.arange(7), row)
        loop.append(counts["hits"][drawn, 1].sum() / counts["n"][drawn].sum())
    found = bootstrap(counts, lambda c: {"share": c["hits"][..., 1] / c["n"]}, ["share"], 3, 50)
    assert found["share"] == pytest.approx(tuple(np.quantile(loop, [0.025, 0.975])))


def test_gaussian_intervals_that_are_right_are_called_right(rng: np.random.Generator) -> None:
    truth = walk(rng, n_frames=2000)
    deviation = np.exp(rng.normal(-1, 0.5, truth.shape))
    boxes = (truth + deviation * rng.standard_normal(truth.shape))[:, [2, 0, 1]]
    observed = rng.random(truth.shape[:2]) < 0.7
    outcome = Outcome(boxes, deviation[:, [2, 0, 1]], observed)
    counts = interval_counts(outcome, trial(truth))
    shown = calibration_columns(counts)
    for kind, chosen in (("observed", observed), ("inferred", ~observed)):
        corners = 4 * chosen.sum()
        assert counts[f"{kind} corners"] == corners
        error = 4 * np.sqrt(LEVELS * (1 - LEVELS) / corners)
        assert (np.abs(counts[f"{kind} inside"] / corners - LEVELS) < error).all()
        assert shown[f"90 % {kind}"] == counts[f"{kind} inside"][17] / corners
        density = norm.logpdf(truth[:, [2, 0, 1]], boxes, deviation[:, [2, 0, 1]])[chosen]
        assert shown[f"NLL {kind}"] == pytest.approx(-density.mean(), rel=1e-12)
    assert interval_counts(Outcome(boxes), trial(truth)) == {}


@pytest.mark.parametrize("x", [-2.0, 0.0, 0.7])
def test_crps_is_the_integral_that_defines_it(x: float) -> None:
    below = quad(lambda y: norm.cdf(y) ** 2, -12, x)[0]
    above = quad(lambda y: norm.sf(y) ** 2, x, 12)[0]
    assert gaussian_crps(np.array(x)) == pytest.approx(below + above, abs=1e-9)


def test_brier_score_and_calibration_error_by_hand() -> None:
    truth = np.tile(np.array([[0.0, 0, 10, 10], [100.0, 0, 110, 10]]), (2, 1, 1))
    # Source 0 is target 1 and the other way round. Detections: of target 0, false; of target 1, none.
    owner = np.array([[0, CLUTTER], [1, ABSENT]])
    p = np.array([[[0.1, 0.8, 0.1], [0.0, 0.4, 0.6]], [[0.3, 0.5, 0.2], [np.nan] * 3]])
    counts = assignment_counts(Outcome(truth[:, ::-1], responsibilities=p), trial(truth, owner))
    shown = calibration_columns(counts)
    squares = (0.01 + 0.04 + 0.01) + (0.16 + 0.16) + (0.49 + 0.25 + 0.04)
    assert shown["Brier"] == pytest.approx(squares / 3)
    # Highest .8 (right), .6 (right) and .5 (wrong), each in a bin of its own.
    assert shown["ECE"] == pytest.approx((0.2 + 0.4 + 0.5) / 3)
    assert counts["detections"] == 3
