"""`mixdvae track --live`: lines in, lines out, while they come."""

import csv
import io
import json
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pyro_mixdvae.tracking.files.detections import read_detections
from pyro_mixdvae.tracking.files.tracks import read_results
from pyro_mixdvae.tracking.live.stream import MOST_SKIPPED
from pyro_mixdvae.tracking.live.tracker import LiveResult, LiveTracker

Run = Callable[..., tuple[int, str, str]]
SIZE = (640, 480)
COMMAND = [sys.executable, "-c", "from pyro_mixdvae.cli.main import run; run()", "track", "-", "--live"]
PATIENCE = 120  # seconds for torch to be imported on a busy machine


@pytest.fixture(autouse=True)
def _single_precision() -> None:
    """As on the command line, which the tests in Python are held against."""
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def text(pedestrians: Path) -> str:
    """The first 20 frames of TUD-Stadtmitte; of frame 9 every row is left out."""
    rows = (pedestrians / "TUD-Stadtmitte" / "test.txt").read_text().splitlines()
    return "".join(f"{row}\n" for row in rows if int(row.split(",")[0]) in {*range(1, 9), *range(10, 21)})


@pytest.fixture
def detections(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "walkers.txt"
    path.write_text(text)
    return path


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch, mixdvae: Run) -> Run:
    """Run the command in this process with bytes on standard input."""

    def call(given: str | bytes, *arguments: object) -> tuple[int, str, str]:
        data = given.encode() if isinstance(given, str) else given
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return mixdvae("track", "-", "--live", *arguments)

    return call


def in_python(detections: Path, **arguments: object) -> list[LiveResult]:
    found = read_detections(detections, SIZE)
    tracker = LiveTracker(3, SIZE, **arguments)  # type: ignore[arg-type]
    given = [~np.isnan(frame[:, 0]) for frame in found.boxes]
    frames = zip(found.boxes, found.confidence, given, strict=True)
    results = [tracker.update(boxes[here], sure[here]) for boxes, sure, here in frames] + tracker.flush()
    return [result for result in results if result is not None]


@pytest.mark.parametrize("lag", [0, 4, 100])
def test_results_are_those_of_the_live_tracker(
    mixdvae: Run, pipe: Run, detections: Path, text: str, tmp_path: Path, lag: int
) -> None:
    """From a file and from standard input; a skipped frame is one without detections."""
    arguments = ("-n", 3, "--size", "640x480", "--lag", lag)
    code, out, err = mixdvae("track", detections, "--live", *arguments)
    assert (code, err) == (0, "")
    assert pipe(text, *arguments) == (0, out, "")
    (tmp_path / "out.txt").write_text(out)
    tracks = read_results(tmp_path / "out.txt")
    assert tracks.ids.tolist() == [1, 2, 3]
    np.testing.assert_allclose(tracks.boxes, [r.boxes for r in in_python(detections, lag=lag)], atol=0.011)
    assert [line.split(",")[:2] for line in out.splitlines()] == [[str(t), n] for t in range(1, 21) for n in "123"]


def with_columns(text: str) -> str:
    """The same detections as corners in columns that a first line names, frames from 0."""
    rows = [[float(cell) for cell in row.split(",")] for row in text.splitlines()]
    lines = [f"{x + w},{y + h},{int(frame) - 1},{x},{y},{sure}" for frame, _, x, y, w, h, sure, *_ in rows]
    return "\n".join(["x2,y2,frame_number,x1,y1,confidence", *lines]) + "\n"


def test_columns_may_be_named_by_a_first_line(pipe: Run, text: str) -> None:
    arguments = ("-n", 3, "--size", "640x480", "--format", "csv")
    _, expected, _ = pipe(text, *arguments)
    assert pipe("frame,id,left,top,width,height,conf,x,y,z\n" + text, *arguments) == (0, expected, "")
    code, out, err = pipe(with_columns(text), *arguments)
    assert (code, err) == (0, "")
    theirs = [line.split(",", 1) for line in out.splitlines()]
    ours = [line.split(",", 1) for line in expected.splitlines()]
    assert [int(frame) + 1 for frame, _ in theirs[1:]] == [int(frame) for frame, _ in ours[1:]]
    assert [rest for _, rest in theirs] == [rest for _, rest in ours]
    for wrong, says in (
        ("1,2\n", "line 2: 2 cells"),
        ("1,1,-1,0,0,1\n", "the frame is -1"),
        ("5,5,0,9,0,1\n", "no width"),
    ):
        code, _, err = pipe("x2,y2,frame_number,x1,y1,confidence\n" + wrong, *arguments)
        assert code == 2
        assert says in err


def test_frames_from_0_are_from_1_in_rows_of_the_motchallenge(pipe: Run, text: str, tmp_path: Path) -> None:
    """Also where labels say that the sources start later; points keep their numbers, as tables do."""
    arguments = ("-n", 3, "--size", "640x480")
    code, expected, _ = pipe(text, *arguments)
    assert code == 0
    note = "standard input counts frames from 0, and what is written from 1, as the MOTChallenge: frame 0 is frame 1.\n"
    assert pipe(with_columns(text), *arguments) == (0, expected, note)
    (tmp_path / "out.txt").write_text(expected)
    assert read_results(tmp_path / "out.txt").ids.tolist() == [1, 2, 3]
    boxes = [row.split(",")[2:6] for row in text.splitlines() if row.startswith("5,")]
    labels = ("--labels", "4:" + ";".join(",".join(box) for box in boxes[:3]))
    code, out, err = pipe(with_columns(text), *arguments, *labels)
    assert (code, err) == (0, note)
    assert out.startswith("5,1,")
    code, out, err = pipe("frame,x,y\n0,10,20\n1,11,20\n", "-n", 1, "--size", "640x480")
    assert (code, err) == (0, "")
    assert [row.split(",")[0] for row in out.splitlines()] == ["frame", "0", "1"]


def test_csv_and_json_say_how_sure_it_is(mixdvae: Run, detections: Path) -> None:
    arguments = ("track", detections, "--live", "-n", 3, "--size", "640x480", "--level", 0.5, "--lag", 2)
    expected = in_python(detections, lag=2, level=0.5)
    code, out, _ = mixdvae(*arguments, "--format", "json")
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["frame"], row["source"]) for row in rows] == [(t, n) for t in range(1, 21) for n in (1, 2, 3)]
    for row in rows:
        result, n = expected[row["frame"] - 1], row["source"] - 1
        np.testing.assert_allclose(row["low"], result.lower[n], atol=0.011)
        np.testing.assert_allclose(row["high"], result.upper[n], atol=0.011)
        np.testing.assert_allclose(row["assignments"], result.responsibilities[:, n], atol=1e-3)
        assert (row["observed"], row["level"]) == (bool(result.observed[n]), 0.5)
        left, top, width, height = row["box"]
        np.testing.assert_allclose([left, top, left + width, top + height], result.boxes[n], atol=0.021)

    code, out, _ = mixdvae(*arguments, "--format", "csv")
    assert code == 0
    for cells, row in zip(csv.DictReader(out.splitlines()), rows, strict=True):
        assert (cells["frame"], cells["source"]) == (str(row["frame"]), str(row["source"]))
        assert [float(cells[name]) for name in ("left", "top", "width", "height")] == row["box"]
        assert [float(cells[f"{corner}_low"]) for corner in ("x1", "y1", "x2", "y2")] == row["low"]
        assert cells["status"] == ("observed" if row["observed"] else "inferred")
        if row["frame"] == 9:
            assert (cells["detection"], cells["probability"], row["assignments"]) == ("", "", [])
        else:
            assert float(cells["probability"]) == max(row["assignments"])
            assert row["assignments"][int(cells["detection"]) - 1] == max(row["assignments"])


def test_a_sequence_folder_says_its_size(mixdvae: Run, detections: Path, text: str, tmp_path: Path) -> None:
    folder = tmp_path / "SEQ"
    (folder / "det").mkdir(parents=True)
    (folder / "det" / "det.txt").write_text(text)
    (folder / "seqinfo.ini").write_text("[Sequence]\nimWidth=640\nimHeight=480\n")
    expected = mixdvae("track", detections, "--live", "-n", 2, "--size", "640x480")
    assert mixdvae("track", folder, "--live", "-n", 2) == expected
    assert expected[0] == 0


def test_labels_say_where_the_sources_start(pipe: Run, text: str) -> None:
    """From the frame that they are drawn in, whatever the detector says before; the first row may come later."""
    boxes = [[float(cell) for cell in row.split(",")[2:6]] for row in text.splitlines() if row.startswith("5,")]
    init = "5:" + ";".join(",".join(map(str, box)) for box in boxes[1::-1])
    late = "".join(f"{row}\n" for row in text.splitlines() if int(row.split(",")[0]) >= 7)
    for given in (text, late):
        code, out, err = pipe(given, "-n", 2, "--size", "640x480", "--labels", init)
        assert (code, err) == (0, "")
        rows = [[float(cell) for cell in line.split(",")] for line in out.splitlines()]
        assert [row[0] for row in rows[::2]] == list(range(5, 21))
        np.testing.assert_allclose([row[2:6] for row in rows[:2]], boxes[1::-1], atol=5)


def test_what_a_stream_may_hold(pipe: Run, text: str) -> None:
    """A mark at its start, blank lines, line ends of any kind, blanks for commas; where it begins does not matter."""
    arguments = ("-n", 3, "--size", "640x480")
    code, out, err = pipe(text, *arguments)
    assert (code, err) == (0, "")
    assert pipe(b"\xef\xbb\xbf\n" + text.encode().replace(b"\n", b",\r\n\r\n"), *arguments) == (0, out, "")
    assert pipe(text.replace(",", "\t"), *arguments) == (0, out, "")
    moved = "".join(
        f"{int(frame) + 2_000_000},{rest}\n" for frame, rest in (row.split(",", 1) for row in text.splitlines())
    )
    code, moved_out, _ = pipe(moved, *arguments)
    assert code == 0
    assert [int(row.split(",")[0]) for row in moved_out.splitlines()[::3]] == list(range(2_000_001, 2_000_021))
    assert [row.split(",")[1:] for row in moved_out.splitlines()] == [row.split(",")[1:] for row in out.splitlines()]


def test_a_number_alone_is_a_frame_that_may_be_empty(pipe: Run, text: str) -> None:
    numbered = text.replace("10,", "9\n10\n10,", 1)
    arguments = ("-n", 3, "--size", "640x480")
    assert pipe(numbered, *arguments) == pipe(text, *arguments)
    code, out, _ = pipe(text + "21\n22\n", *arguments)
    assert code == 0
    assert out.splitlines()[-1].startswith("22,3,")


def test_it_says_that_it_waits_for_enough_detections(pipe: Run, text: str) -> None:
    code, out, err = pipe(text, "-n", 40, "--size", "640x480")
    assert (code, out) == (2, "")
    waits, refused = err.splitlines()
    fullest = max(Counter(row.split(",")[0] for row in text.splitlines()).values())
    assert waits.startswith(f"Frame 1 has {text.count(chr(10) + '1,') + 1} detections: waiting for one that has 40")
    assert refused.startswith(f"No frame has 40 detections (the fullest has {fullest})")


GOOD = "1,-1,5,5,10,10,1\n"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "standard input is empty"),
        ("\n\n", "standard input is empty"),
        (GOOD + "3,-1,5,5,10,10,1\n\n2,-1,5,5,10,10,1\n", "line 4: frame 2 comes after frame 3"),
        (GOOD + "3\n2\n", "line 3: frame 2 comes after frame 3"),
        (GOOD + "1003,-1,5,5,10,10,1\n", "line 2: no row for 1001 frames before frame 1003"),
        (GOOD + "2,-1,5,5\n", "line 2: 4 columns"),
        (GOOD + "2,-1,5,5,10,10\n", "line 2: 6 columns where line 1 has 7"),
        (GOOD + "2,-1,5,5,ten,10,1\n", "line 2: column 5 is 'ten'"),
        (GOOD + "2,-1,5,5,10,0,1\n", "line 2: the box has no width"),
        (GOOD + "2,-1,5,5,10,nan,1\n", "line 2: column 6 is 'nan'"),
        (GOOD + "2,-1,700,5,10,10,1\n", "line 2: the box lies wholly outside"),
        (GOOD + "hello\n", "line 2: column 1 is 'hello'"),
        (GOOD + "2.5\n", "line 2: the frame is not a whole number"),
        ("0\n" + GOOD, "line 1: the frame is below 1"),
        (b"\xff\xfe\x00", "line 1: column 1"),
        (GOOD + "7" * 20_000, "line 2: column 1 is '777"),
        (GOOD + "7" * 200, "line 2: the frame is above"),
    ],
)
def test_rows_that_cannot_be_used(pipe: Run, given: str | bytes, says: str) -> None:
    """The line is named; frames before it have been printed."""
    code, out, err = pipe(given, "-n", 1, "--size", "640x480")
    assert code == 2
    assert says in err
    assert err.count("\n") == 1
    assert err.startswith("standard input")
    assert all(line.count(",") == 9 for line in out.splitlines())


def test_so_many_frames_may_lack_rows_and_no_more(pipe: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_SKIPPED == 1000
    monkeypatch.setattr("pyro_mixdvae.tracking.live.stream.MOST_SKIPPED", 100)
    code, _, err = pipe(GOOD + "102,-1,5,5,10,10,1\n103,-1,5,5,10,10,1\n", "-n", 1, "--size", "640x480")
    assert code == 0
    assert [line.split(" in frame")[0] for line in err.splitlines()] == ["Source 1 is lost", "Source 1 is found again"]
    code, _, err = pipe(GOOD + "103,-1,5,5,10,10,1\n", "-n", 1, "--size", "640x480")
    assert (code, "no row for 101 frames before frame 103" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "say how large the image is, as --size 1920x1080"),
        (("--size", "0x480"), "no pixels"),
        (("--size", "640x480", "--lag", -1), "lag of -1"),
        (("--size", "640x480", "--format", "xml"), "--format is 'xml'"),
        (("--size", "640x480", "--preset", "published"), "whole sequences"),
        (("--size", "640x480", "--preset", "best"), "best"),
        (("--size", "640x480", "--weights", "unheard-of"), "unheard-of"),
        (("--size", "640x480", "--samples", 3), "--samples has no meaning"),
        (("--size", "640x480", "-o", "out.txt"), "--output has no meaning"),
        (("--size", "640x480", "--method", "svi"), "--method has no meaning"),
        (("--size", "640x480", "--labels", "1:5,5,10,10;1,1,9,9"), "draw a box of each"),
        (("--size", "640x480", "--labels", "1:5,5,10,10;3:5,5,10,10"), "draw a box of each"),
        (("--size", "640x480", "--labels", "9:5,5,10,10"), "ends at frame 1, before frame 9"),
    ],
)
def test_arguments_that_cannot_be_used(pipe: Run, arguments: tuple[object, ...], says: str) -> None:
    code, out, err = pipe(GOOD, "-n", 1, *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_a_model_that_cannot_follow_is_refused_before_any_row_comes(
    mixdvae: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Waiting(io.TextIOWrapper):
        """A detector that has nothing to say yet."""

        def __next__(self) -> str:
            raise AssertionError("a row was waited for")

    monkeypatch.setattr(sys, "stdin", Waiting(io.BytesIO()))
    code, _, error = mixdvae("track", "-", "--live", "-n", 2, "--size", "640x480", "--preset", "published")
    assert code == 2
    assert "whole sequences" in error


def test_places_that_cannot_be_used(mixdvae: Run, detections: Path, tmp_path: Path) -> None:
    size = ("-n", 1, "--size", "640x480")
    cases = [
        (("-", *size), "only --live reads"),
        ((detections, *size, "--lag", 3), "belong to --live"),
        ((detections, *size, "--format", "csv"), "belong to --live"),
        ((tmp_path / "none.txt", *size, "--live"), "does not exist"),
        ((tmp_path, *size, "--live"), "follows one"),
    ]
    for arguments, says in cases:
        code, out, err = mixdvae("track", *arguments)
        assert (code, out) == (2, "")
        assert says in err


class Piped:
    """The command as a process of its own, between two pipes."""

    def __init__(self, *arguments: object):
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            self.lines.put(line)

    def give(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def frames(self, count: int) -> list[str]:
        """The frame of each of the next lines; fails where they do not come."""
        return [self.lines.get(timeout=PATIENCE).split(",")[0] for _ in range(count)]

    def end(self) -> tuple[int, str]:
        assert self.process.stderr is not None
        code = self.process.wait(timeout=PATIENCE)
        return code, self.process.stderr.read()


@pytest.fixture
def piped() -> Iterator[Callable[..., Piped]]:
    started: list[Piped] = []

    def start(*arguments: object) -> Piped:
        started.append(Piped(*arguments))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        for stream in (one.process.stdin, one.process.stdout, one.process.stderr):
            if stream is not None and not stream.closed:
                stream.close()


def box(frame: int) -> str:
    return f"{frame},-1,{50 + 3 * frame},100,40,90,0.9\n{frame},-1,{400 - 3 * frame},90,45,95,0.8\n"


@pytest.mark.slow
def test_a_frame_comes_out_as_soon_as_it_is_complete(piped: Callable[..., Piped]) -> None:
    """A row of the next frame completes it, or the next frame's number alone; a lag is so many frames more."""
    run = piped("-n", 2, "--size", "640x480")
    run.give(box(1) + box(2))
    assert run.frames(2) == ["1", "1"]
    assert run.lines.empty()
    run.give("3\n")
    assert run.frames(2) == ["2", "2"]
    run.give(box(3) + "4\n")
    assert run.frames(2) == ["3", "3"]
    assert run.process.stdin is not None
    run.process.stdin.close()
    assert run.frames(2) == ["4", "4"]
    assert run.end() == (0, "")

    late = piped("-n", 2, "--size", "640x480", "--lag", 2)
    late.give("".join(map(box, range(1, 5))))
    assert late.frames(2) == ["1", "1"]
    assert late.lines.empty()
    late.process.stdin.close()  # type: ignore[union-attr]
    assert late.frames(6) == ["2", "2", "3", "3", "4", "4"]


@pytest.mark.slow
def test_a_reader_that_leaves_ends_it_quietly(tmp_path: Path) -> None:
    """Long before the input does."""
    endless = tmp_path / "endless.txt"
    endless.write_text("".join(f"{frame},-1,50,100,40,90\n{frame},-1,400,90,45,95\n" for frame in range(1, 20_001)))
    command = [*COMMAND, "-n", "2", "--size", "640x480"]
    with (
        endless.open() as given,
        subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline().startswith("1,1,")
        process.stdout.close()
        assert process.wait(timeout=PATIENCE) != 2
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_an_output_that_cannot_be_written_ends_in_a_sentence(detections: Path) -> None:
    command = [*COMMAND, "-n", "3", "--size", "640x480"]
    cases = (("> /dev/full", "cannot be written (no space left on device)"), (">&-", "standard output is closed"))
    for redirection, says in cases:
        line = f"{shlex.join(command)} < {shlex.quote(str(detections))} {redirection}"
        ended = subprocess.run(["sh", "-c", line], stderr=subprocess.PIPE, text=True, timeout=PATIENCE, check=False)
        assert ended.returncode == 2
        assert says in ended.stderr
        assert ended.stderr.count("\n") == 1


@pytest.mark.slow
def test_ctrl_c_ends_it_with_130(piped: Callable[..., Piped]) -> None:
    run = piped("-n", 2, "--size", "640x480")
    run.give(box(1) + box(2))
    run.frames(2)
    # Python hears of a signal when it waits for input, or between two instructions; not on the way from these to that.
    time.sleep(0.5)
    run.process.send_signal(signal.SIGINT)
    assert run.end()[0] == 130
