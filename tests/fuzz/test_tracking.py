"""Whatever a detection file, a label or a ground truth holds: tracks that can be relied on, or one sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fuzz.effort import tried
from fuzz.formats import foreign
from fuzz.inputs import HOSTILE_NUMBERS, detections, tables, tracks
from fuzz.tracks import check_tracks
from fuzz.workplace import workplace
from hypothesis import given
from hypothesis import strategies as st

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.files.detections import Detections, read_detections
from pyro_mixdvae.tracking.files.tracks import Tracks, read_results
from pyro_mixdvae.tracking.report.tables import BOX_COLUMNS

PRESETS = ["default", "default", "default", "vkf", "deep-ar"]
METHODS = [[], [], [], ["--method", "svi", "--iterations", "3"], ["--method", "hybrid", "--iterations", "3"]]
ORDINARY = [["-n", "1"], ["-n", "2"], ["-n", "2"], ["-n", "3"], ["-n", "4"]]


@tried(10)
@given(detections(), st.sampled_from(ORDINARY), st.sampled_from(PRESETS), st.sampled_from(METHODS), st.integers(0, 2))
def test_detections(data: bytes, number: list[str], preset: str, method: list[str], samples: int) -> None:
    with workplace() as place:
        source, result = place.give("det.txt", data), place.output / "a.txt"
        options = [*number, "--preset", preset, *method, "--samples", samples]
        if place.run("track", source, "-o", result, *options).code == 0:
            check_tracks(result, int(number[1]))


@pytest.mark.usefixtures("unrendered")
@tried(10)
@given(
    st.sampled_from(["--level", "--samples", "--seed", "-n", "--size", "--iterations", "--labels", "-o", "--weights"]),
    st.sampled_from([*HOSTILE_NUMBERS, "0.999999999999", "1e-9", "640x480", "0x0", "x", "a" * 300, "../given/det.txt"]),
)
def test_options(option: str, value: str) -> None:
    data = "".join(f"{t},-1,{10 + 3 * t},{20 + n * 90},30,60,1\n" for t in range(1, 7) for n in range(2)).encode()
    with workplace() as place:
        source, result = place.give("det.txt", data), place.output / "a.txt"
        if option == "-o":
            place.run("track", source, "-n2", "-o", f"{place.output}/a{value}")
        elif option == "-n":
            place.run("track", source, "-o", result, "-n", value)
        elif place.run("track", source, "-n2", "-o", result, f"{option}={value}").code == 0:
            check_tracks(result, 2)


@tried(40)
@given(foreign())
def test_formats_of_other_tools(given_file: tuple[str, bytes]) -> None:
    """Boxes or points of which every number is finite, or one sentence that names the file."""
    name, data = given_file
    with workplace() as place:
        path = place.give(name, data)
        for read in (read_detections, read_results):
            said = _refusal(read, path)
            assert "\n" not in said, said
            assert not said or str(place.inputs) in said, said


def _refusal(read: Callable[..., Detections | Tracks], path: Path) -> str:
    """What is said of a file that cannot be used; nothing of one whose numbers are all finite."""
    try:
        found = read(path, (640, 480))
    except InputError as error:
        return str(error)
    seen = found.boxes[~np.isnan(found.boxes).any(-1)]
    assert len(seen)
    assert np.isfinite(seen).all()
    return ""


labels = tables(
    st.tuples(
        st.integers(-1, 9),
        st.integers(-1, 4),
        st.floats(-50, 700),
        st.floats(-50, 500),
        st.floats(-1, 99),
        st.floats(0.01, 99),
    ),
    5,
)


@pytest.mark.usefixtures("unrendered")
@tried(10)
@given(labels, st.booleans())
def test_labels(data: bytes, is_written_out: bool) -> None:
    rows = "".join(f"{t},-1,{10 + 3 * t},{20 + n * 90},30,60,1\n" for t in range(1, 7) for n in range(2)).encode()
    with workplace() as place:
        source, result = place.give("det.txt", rows), place.output / "a.txt"
        text = data.decode("utf-8", "replace").replace("\0", "")
        init = text.strip().replace("\n", ";") if is_written_out else str(place.give("labels.txt", data))
        if place.run("track", source, "-n2", "--size=640x480", "-o", result, f"--labels={init}").code == 0:
            check_tracks(result, 2)


CELLS = st.one_of(
    st.integers(-1, 9).map(str), st.floats(-50, 700).map(str), st.sampled_from(["", "swap", "é", *HOSTILE_NUMBERS])
)
CORRECTION = st.tuples(
    st.integers(0, 8).map(str),
    st.sampled_from(["swap", "absent", "label", "label", "x"]),
    st.integers(0, 3).map(str),
    st.sampled_from(["", "1", "2"]),
    st.sampled_from(["", "3", "6", "7"]),
    *[st.floats(-50, 700).map(lambda place: f"{place:.3f}") | st.just("")] * 4,
)


@pytest.mark.usefixtures("unrendered")
@tried(10)
@given(st.lists(CORRECTION | st.tuples(*[CELLS] * 9), max_size=4), st.booleans())
def test_corrections(rows: list[tuple[str, ...]], from_run: bool) -> None:
    data = "".join(f"{t},-1,{10 + 3 * t},{20 + n * 90},30,60,1\n" for t in range(1, 8) for n in range(2)).encode()
    text = "frame,kind,source,other,until,x1,y1,x2,y2\n" + "".join(",".join(row) + "\n" for row in rows)
    with workplace() as place:
        source, fixes, result = (
            place.give("det.txt", data),
            place.give("fixes.csv", text.encode()),
            place.output / "a.txt",
        )
        options = ["-n2", "--size=640x480"]
        run = []
        if from_run:
            run = ["--run", place.output / "run.txt"]
            assert place.run("track", source, *options, "-o", run[1]).code == 0
        if place.run("track", source, *options, "-o", result, "--corrections", fixes, *run).code == 0:
            check_tracks(result, 2, comes=True)


def _no_constant(text: str) -> None:
    raise AssertionError(f"{text} in JSON")


@tried(10)
@given(detections(), st.sampled_from(["mot", "csv", "json"]), st.integers(0, 3), st.integers(1, 3))
def test_live(data: bytes, written_as: str, lag: int, n_sources: int) -> None:
    with workplace() as place:
        options = [f"-n{n_sources}", "--size=640x480", f"--lag={lag}", f"--format={written_as}"]
        # What came before a bad row has been printed by then: that is what --live is for.
        ended = place.run_stream("track", "-", "--live", *options, standard_input=data)
        for line in ended.out.splitlines():
            if written_as == "json":
                json.loads(line, parse_constant=_no_constant)
            elif not line.startswith("frame"):
                numbers = [cell for cell in line.split(",") if cell not in ("observed", "inferred", "lost")]
                assert np.isfinite([float(cell) for cell in numbers if cell]).all(), line


@tried(10)
@given(tracks(), tracks(), st.sampled_from(["", "1", "1,2", "7", "x"]))
def test_evaluation(result: bytes, truth: bytes, ids: str) -> None:
    with workplace() as place:
        tables = place.output / "a.csv", place.output / "a.json"
        given_files = place.give("a.txt", result), "--gt", place.give("gt.txt", truth)
        if place.run("eval", *given_files, "--ids", ids, "--csv", tables[0], "--json", tables[1]).code == 0:
            json.loads(tables[1].read_text(), parse_constant=_no_constant)


@tried(10)
@given(tracks(), tables(st.tuples(*[CELLS] * 12), 4))
def test_runs_that_are_shown(result: bytes, table: bytes) -> None:
    """Tracks of any tracker, and a table beside them that may be of another run."""
    with workplace() as place:
        run = place.give("a.txt", result)
        place.give("a.boxes.csv", ",".join(BOX_COLUMNS).encode() + b"\n" + table)
        place.run("report", run, "-o", place.output / "a.html")
        place.run("export", run, "-o", place.output / "a.xml")
        place.run("render", run, run, "-o", place.output / "a.gif", "--size", "64x48")


@pytest.mark.usefixtures("unrendered")
@tried(10)
@given(st.data())
def test_sequence_information(data: st.DataObject) -> None:
    lines = ["[Sequence]", "name=a", "imWidth=640", "imHeight=480", "seqLength=9", "frameRate=25"]
    if data.draw(st.booleans()):
        where = data.draw(st.integers(1, len(lines) - 1))
        key = lines[where].partition("=")[0]
        lines[where] = f"{key}={data.draw(st.sampled_from(HOSTILE_NUMBERS))}"
    if data.draw(st.booleans()):
        del lines[data.draw(st.integers(0, len(lines) - 1))]
    rows = "".join(f"{t},-1,{10 + 3 * t},{20 + n * 90},30,60,1\n" for t in range(1, 7) for n in range(2))
    with workplace() as place:
        place.give("a/det/det.txt", rows)
        place.give("a/seqinfo.ini", "\n".join(lines))
        result = place.output / "a.txt"
        if place.run("track", place.inputs / "a", "-n2", "-o", result).code == 0:
            check_tracks(result, 2)
