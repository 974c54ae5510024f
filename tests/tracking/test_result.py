"""A result shows itself, is compared, and is saved."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pyro_mixdvae import Tracker
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.files.tracks import read_results
from pyro_mixdvae.tracking.result import TrackingResult


def tracked() -> TrackingResult:
    step = np.arange(20)[:, None, None]
    boxes = np.array([[10, 50, 30, 90], [210, 60, 230, 100]]) + step * np.array([[4, 0, 4, 0], [-4, 0, -4, 0]])
    return Tracker(n_sources=2).track(np.where(step % 7 == 5, np.nan, boxes), size=(320, 240), n_samples=2)


@pytest.fixture(scope="module")
def result() -> TrackingResult:
    return tracked()


def test_results_are_equal_where_all_that_they_hold_is(result: TrackingResult) -> None:
    assert np.isnan(result.responsibilities).any()
    assert tracked() == tracked()
    assert result != replace(result, boxes=result.boxes + 1e-9)
    assert result != replace(result, records=result.records[:-1])
    assert result != replace(result, detections=None)
    assert result != "a result"
    with pytest.raises(TypeError, match="unhashable"):
        hash(result)


def test_it_is_short_in_a_console_and_a_picture_with_a_verdict_in_a_notebook(result: TrackingResult) -> None:
    assert repr(result).startswith("TrackingResult(2 sources, frames 1-20, 34 of 40 boxes observed")
    page = replace(result, warnings=("1 < 2, it seems.",))._repr_html_()
    assert "1 &lt; 2, it seems." in page
    assert re.search(r'src="data:image/png;base64,iVBOR', page)


def test_it_knows_what_it_is_of(result: TrackingResult) -> None:
    assert result.detections is not None
    assert result.detections.shape == (20, 2, 4)
    assert result.size == (320, 240)
    unknown = replace(result, size=None)
    assert unknown.extent == (230, 101)  # where the furthest box ends


def test_plot_gives_a_figure(result: TrackingResult) -> None:
    figure = result.plot("crossing")
    assert isinstance(figure, Figure)
    assert "crossing" in figure.get_suptitle()
    assert isinstance(replace(result, detections=None).plot(), Figure)


@pytest.mark.usefixtures("unrendered")
def test_save_writes_what_track_writes(result: TrackingResult, tmp_path: Path) -> None:
    written = result.save(tmp_path / "out", "two")
    endings = ["txt", "boxes.csv", "assignments.csv", "check.csv", "elbo.csv", "samples.csv", "png"]
    assert sorted(path.name for path in written) == sorted(f"two.{ending}" for ending in endings)
    np.testing.assert_allclose(read_results(written[0]).boxes, result.boxes, atol=0.02)
    with pytest.raises(InputError, match="exists already: give another path, or overwrite=True to"):
        result.save(tmp_path / "out", "two")
    result.save(tmp_path / "out", "two", overwrite=True)


def test_it_becomes_a_page_and_a_film(result: TrackingResult, tmp_path: Path) -> None:
    assert '"names": ["Ann", "Bob"]' in result.to_html("crossing", ["Ann", "Bob"])
    result.render(tmp_path / "film.gif", names=["Ann", "Bob"], rate=10)
    with Image.open(tmp_path / "film.gif") as film:
        assert (film.n_frames, film.size) == (20, (320, 240))
    with pytest.raises(InputError, match="exists already: give another path, or overwrite=True to"):
        result.render(tmp_path / "film.gif")
    with pytest.raises(InputError, match="does not exist"):
        result.render(tmp_path / "other.gif", over=tmp_path / "img1")
