"""Whatever a detection file holds: tracks of every source in every frame, or one sentence; never a traceback or NaN."""

import csv
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyro_mixdvae.cli.track import track
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.files.detections import read_detections, read_results

coordinates = st.floats(-50, 700)
sizes = st.floats(0.01, 400)
rows = st.tuples(
    st.integers(1, 12), coordinates, coordinates, sizes, sizes, st.one_of(st.just(-1.0), st.floats(-5, 100))
)


@st.composite
def files(draw: st.DrawFn) -> str:
    """Rows in any order, some of them twice: identical detections occur."""
    drawn = draw(st.lists(rows, min_size=1, max_size=25))
    drawn += draw(st.lists(st.sampled_from(drawn), max_size=5))
    return "".join(
        f"{t},-1,{left},{top},{width},{height},{sure},-1,-1,-1\n" for t, left, top, width, height, sure in drawn
    )


@given(text=files(), n_sources=st.integers(1, 3))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_source_in_every_frame_or_one_sentence(
    text: str, n_sources: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "det.txt", Path(folder) / "new" / "out.txt"
        source.write_text(text)
        refused = ""
        try:
            track(source, n_sources, output, samples=1)
        except InputError as error:
            refused = str(error)
        capsys.readouterr()
        if refused:
            assert "\n" not in refused
            assert not output.parent.exists()
            return
        tracks = read_results(output)
        assert tracks.boxes.shape == (len(read_detections(source).boxes), n_sources, 4)
        assert not np.isnan(tracks.boxes).any()
        for table in output.parent.glob("*.csv"):
            cells = [cell for row in csv.reader(table.read_text().splitlines()) for cell in row]
            assert not {"nan", "inf", "-inf"} & {cell.lower() for cell in cells}, table.name
