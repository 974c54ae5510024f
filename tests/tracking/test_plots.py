import io
from dataclasses import replace

import matplotlib
import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from pyro_mixdvae.reporting.palette import PALETTE, colour_of
from pyro_mixdvae.tracking.boxes import Array
from pyro_mixdvae.tracking.doubts import Doubt
from pyro_mixdvae.tracking.report.excerpt import Excerpts
from pyro_mixdvae.tracking.report.plots import centre_band, picture
from pyro_mixdvae.tracking.result import TrackingResult


def scene(n_frames: int, n_sources: int) -> tuple[Array, TrackingResult]:
    """Sources that walk to the right, each seen once a frame but for a gap; one more detection is clutter."""
    random = np.random.default_rng(0)
    start = random.uniform(50, 400, (n_sources, 2))
    path = start + np.arange(n_frames)[:, None, None] * np.array([2.0, 0.5])
    boxes = np.concatenate([path, path + np.array([20.0, 50.0])], axis=-1)
    seen = np.concatenate([boxes, np.full((n_frames, 1, 4), [5.0, 5, 15, 30])], axis=1)
    observed = np.ones((n_frames, n_sources), dtype=bool)
    observed[n_frames // 3 : n_frames // 2] = False
    seen[:, :-1][~observed] = np.nan
    responsibilities = np.tile(np.eye(n_sources + 1), (n_frames, 1, 1))
    responsibilities[np.isnan(seen[..., 0])] = np.nan
    spread = np.where(observed, 2.0, 15.0)[..., None]
    return seen, TrackingResult(
        boxes,
        boxes - spread,
        boxes + spread,
        0.9,
        observed,
        responsibilities,
        (),
        np.zeros((0, n_frames, n_sources, 4)),
    )


def pixels(content: bytes) -> Array:
    return matplotlib.image.imread(io.BytesIO(content), format="png")[..., :3]


def has(image: Array, colour: str) -> bool:
    return bool((np.abs(image - np.array(to_rgb(colour))).max(-1) < 0.02).any())


def test_every_source_stands_out_and_the_bytes_repeat() -> None:
    seen, result = scene(30, 3)
    content = picture(seen, result, (640, 480), "A_name^with $signs")
    image = pixels(content)
    assert image.shape == (700, 1400, 3)
    assert [has(image, colour) for colour in PALETTE[:4]] == [True, True, True, False]
    assert picture(seen, result, (640, 480), "A_name^with $signs") == content
    assert b"matplotlib" not in content.lower()


@pytest.mark.parametrize(("n_frames", "n_sources"), [(1, 1), (2, 12)])
def test_few_frames_and_many_sources(n_frames: int, n_sources: int) -> None:
    seen, result = scene(n_frames, n_sources)
    assert has(pixels(picture(seen, result, (640, 480))), PALETTE[0])


def test_no_detections_at_all() -> None:
    _, result = scene(5, 2)
    seen = np.full((5, 1, 4), np.nan)
    result.responsibilities[:] = np.nan
    bare = TrackingResult(**{**vars(result), "responsibilities": np.full((5, 1, 3), np.nan)})
    assert picture(seen, bare, (640, 480)).startswith(b"\x89PNG")


def test_global_state_of_matplotlib_stays() -> None:
    before = dict(matplotlib.rcParams), matplotlib.get_backend(auto_select=False)
    picture(*scene(4, 2), (640, 480))
    assert (dict(matplotlib.rcParams), matplotlib.get_backend(auto_select=False)) == before


def test_the_band_of_the_centre_is_never_too_narrow() -> None:
    # Exact where the edges move together, wider than needed where they move apart.
    _, result = scene(3, 2)
    low, high = centre_band(result)
    assert low.shape == (3, 2, 2)
    centre = (result.boxes[..., :2] + result.boxes[..., 2:]) / 2
    np.testing.assert_allclose(high - centre, np.broadcast_to((result.upper - result.boxes)[..., :2], low.shape))


def test_colours_repeat_after_ten() -> None:
    assert len(set(PALETTE)) == 10
    assert colour_of(11) == colour_of(1)


def long_scene(n_frames: int) -> TrackingResult:
    """Two sources, of which the first is inferred in a tenth of the film; three doubts."""
    seen, result = scene(n_frames, 2)
    result.observed[:] = True
    result.observed[n_frames // 2 : n_frames // 2 + n_frames // 10, 0] = False
    doubts = (Doubt(900, 905, (0, 1), 0.4), Doubt(2500, 3500, (1,), 0.3), Doubt(1, 1, (0, 1), 0.1))
    return replace(result, detections=seen, doubts=doubts, size=(10_000.0, 4000.0))


def test_of_a_long_film_lanes_show_when_and_moments_show_paths() -> None:
    figure = long_scene(6000).plot("long")
    lanes, entropy, *others = figure.axes
    picture_of_lanes = lanes.images[0].get_array()
    blue = np.array(to_rgb(PALETTE[0]))
    row = picture_of_lanes[2]
    np.testing.assert_allclose(row[10], blue)
    np.testing.assert_allclose(row[int(0.55 * len(row))], 1 - 0.25 * (1 - blue))
    assert [axes.get_title() for axes in others] == [
        "where 1 was",
        "where 2 was",
        "1. frames 901-906 (1 and 2, 40 %)",
        "2. frames 2501-3501 (2 and none of them, 30 %)",
        "3. frames 2 (1 and 2, 10 %)",
    ]
    assert entropy.get_xlim() == (0.5, 6000.5)


def test_lanes_of_a_long_film_are_white_where_a_source_is_absent() -> None:
    result = long_scene(6000)
    presence = np.ones(result.observed.shape)
    presence[1500:3000, 1] = 0.1
    observed = result.observed & (presence > 0.5)
    lanes, *_ = replace(result, presence=presence, observed=observed).plot("long").axes
    image = lanes.images[0].get_array()
    row = image[-3]
    np.testing.assert_allclose(row[int(0.4 * len(row))], 1)
    np.testing.assert_allclose(row[int(0.6 * len(row))], to_rgb(PALETTE[1]))
    assert "absent (white)" in lanes.get_title()
    assert "absent" not in long_scene(6000).plot("long").axes[0].get_title()


def test_moments_of_a_film_in_pieces_are_the_likeliest_of_all() -> None:
    result = long_scene(6000)
    assert result.detections is not None
    excerpts = Excerpts(6000)
    for since in (0, 3000):
        own = slice(since, since + 3000)
        doubts = tuple(doubt for doubt in result.doubts if since <= doubt.first < since + 3000)
        more = tuple(Doubt(since + 50 * n, since + 50 * n, (0,), 0.2 + n / 100) for n in range(5))
        piece = replace(
            result, first=since, boxes=result.boxes[own], lower=result.lower[own], upper=result.upper[own],
            observed=result.observed[own], responsibilities=result.responsibilities[own],
            doubts=tuple(sorted((*doubts, *more), key=lambda doubt: -doubt.probability)),
        )  # fmt: skip
        excerpts.add(result.detections[own], piece)
    shown = excerpts.excerpt()
    assert [moment.doubt.probability for moment in shown.moments] == pytest.approx([0.4, 0.3, 0.24, 0.24, 0.23, 0.23])
    first, second, third, *_ = shown.moments
    assert (first.result.first, len(first.result.boxes)) == (870, 66)
    assert (second.result.first, len(second.result.boxes)) == (2900, 100)  # as far as the piece goes
    np.testing.assert_array_equal(first.boxes, result.detections[870:936])
    assert third.result.first in (170, 3170)
    assert shown.seen.shape == (2002, 2)  # two stretches begin and end where the pieces do
    assert shown.seen[:, 0].mean() == pytest.approx(0.9, abs=1e-3)
