import math

import numpy as np
import pytest

from pyro_mixdvae.separation.scores.measures import SCORES
from pyro_mixdvae.separation.scores.rows import Item, Row, mean_with_interval, rows_of


def item(source: str, value: float, n_frames: int | None = None, snr: float | None = None, before: float = 1.0) -> Item:
    return Item("mix", source, dict.fromkeys(SCORES, value), dict.fromkeys(SCORES, before), snr, n_frames)


def labels(rows: list[Row]) -> list[tuple[str, int | None, float | None, int]]:
    return [(row.source, row.n_frames, row.snr, row.items) for row in rows]


def test_gain_is_positive_where_it_is_better() -> None:
    gain = item("a", 3.0).gain
    assert gain == {"SI-SDR": 2, "RMSE": -2, "PESQ": 2, "ESTOI": 2}


def test_rows_are_means_of_each_source_length_and_ratio() -> None:
    items = [item(s, v, t, r) for s in "ab" for t in (50, 100) for r in (-5.0, 5.0) for v in (1.0, 2.0 * t)]
    rows = rows_of(items)
    assert labels(rows)[:9] == [
        ("a", 50, -5, 2), ("a", 50, 5, 2), ("a", 50, None, 4),
        ("a", 100, -5, 2), ("a", 100, 5, 2), ("a", 100, None, 4),
        ("a", None, -5, 4), ("a", None, 5, 4), ("a", None, None, 8),
    ]  # fmt: skip
    assert rows[2].columns["SI-SDR"].value == pytest.approx(50.5)
    assert rows[5].columns["PESQ"].value == pytest.approx(100.5)
    assert rows[8].columns["PESQ"].value == pytest.approx(75.5)
    assert rows[8].columns["PESQ gain"].value == pytest.approx(74.5)
    assert rows[8].columns["RMSE gain"].value == pytest.approx(-74.5)


def test_what_is_not_known_or_the_same_makes_no_rows_of_its_own() -> None:
    assert labels(rows_of([item("a", 1), item("a", 2)])) == [("a", None, None, 2)]
    assert labels(rows_of([item("a", 1, 50, 0.0), item("a", 2, 50, 0.0)])) == [("a", 50, 0, 2)]
    one_length = [item("a", 1, 50, 0.0), item("a", 2, 50, 5.0)]
    assert labels(rows_of(one_length)) == [("a", 50, 0, 1), ("a", 50, 5, 1), ("a", 50, None, 2)]


def test_missing_values_are_left_out_and_counted() -> None:
    mean = rows_of([item("a", 1), item("a", math.nan), item("a", 3)])[0].columns["PESQ"]
    assert (mean.value, mean.missing) == (2, 1)
    assert 1 <= mean.low <= 2 <= mean.high <= 3
    nothing = mean_with_interval(np.array([math.nan]), 0)
    assert nothing.missing == 1
    assert all(math.isnan(number) for number in nothing[:3])
    single = mean_with_interval(np.array([4.0]), 0)
    assert single.value == 4
    assert math.isnan(single.low)


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    """95 % of 400 intervals, to four standard errors and the known shortfall of percentiles at n = 30."""
    random = np.random.default_rng(0)
    means = [mean_with_interval(random.standard_normal(30), seed) for seed in range(400)]
    covered = np.mean([mean.low <= 0 <= mean.high for mean in means])
    assert 0.93 - 4 * np.sqrt(0.05 * 0.95 / 400) < covered < 0.95 + 4 * np.sqrt(0.05 * 0.95 / 400)
