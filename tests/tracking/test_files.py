from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from pyro_mixdvae import resources
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.files.detections import read_detections
from pyro_mixdvae.tracking.files.labels import read_labels
from pyro_mixdvae.tracking.files.sequences import find_sequences, kind_of
from pyro_mixdvae.tracking.files.tracks import Tracks, read_ground_truth, read_results
from pyro_mixdvae.tracking.files.writing import format_results

INFO = "[Sequence]\nname=a\nframeRate=25\nseqLength=4\nimWidth=100\nimHeight=80\n"


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    folder = tmp_path / "SEQ"
    (folder / "det").mkdir(parents=True)
    (folder / "gt").mkdir()
    (folder / "seqinfo.ini").write_text(INFO)
    (folder / "det" / "det.txt").write_text("3,-1,5,6,10,20,.5,-1,-1,-1\n1,-1,1,2,3,4,.9\n".replace(".9", ".9,0,0,0"))
    (folder / "gt" / "gt.txt").write_text(
        "1,7,1,2,3,4,1,1,1\n2,7,1,2,3,4,0,1,1\n1,9,1,2,3,4,1,2,1\n3,4,1,2,3,4,1,1,1\n"
    )
    return folder


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "det.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_sequence_folder_gives_size_length_and_padded_boxes(sequence: Path) -> None:
    found = read_detections(sequence)
    assert (found.size, found.size_is_guessed, found.frame_rate, found.name) == ((100, 80), False, 25, "SEQ")
    assert found.boxes.shape == (4, 1, 4)
    np.testing.assert_array_equal(found.boxes[0, 0], [1, 2, 4, 6])
    np.testing.assert_array_equal(found.boxes[2, 0], [5, 6, 15, 26])
    np.testing.assert_array_equal(found.confidence[:, 0], [0.9, np.nan, 0.5, np.nan])
    assert np.isnan(found.boxes[[1, 3]]).all()


def test_a_bare_file_ends_at_its_last_frame_and_its_size_is_given_or_guessed(tmp_path: Path) -> None:
    path = write(tmp_path, "2,-1,-5,1,20.5,4\n2,-1,3,1,4,9\n")
    guessed = read_detections(path)
    assert (guessed.size, guessed.size_is_guessed, guessed.name) == ((16, 10), True, "det")
    assert guessed.boxes.shape == (2, 2, 4)
    np.testing.assert_array_equal(guessed.confidence, [[np.nan, np.nan], [-1, -1]])
    given_size = read_detections(path, size=(64, 48))
    assert (given_size.size, given_size.size_is_guessed) == ((64, 48), False)


def test_boxes_keep_the_order_of_the_file_within_a_frame(tmp_path: Path) -> None:
    path = write(tmp_path, "".join(f"{frame},-1,{left},0,5,5,1\n" for left in (9, 2, 7) for frame in (2, 1)))
    np.testing.assert_array_equal(read_detections(path).boxes[:, :, 0], [[9, 2, 7]] * 2)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff1,-1,1,2,3,4,1\n\n2,-1,1,2,3,4,1\n",
        "1,-1,1,2,3,4,1,\r\n2,-1,1,2,3,4,1,,\r\n\r\n",
        "1 -1 1 2 3 4 1\n2\t-1\t1  2 3 4 1",
        " 1, -1, 1, 2, 3, 4, 1 \r2.0,-1,1,2,3,4e0,1",
        "frame,id,left,top,width,height,confidence\n1,-1,1,2,3,4,1\n2,-1,1,2,3,4,1\n",
        "frame,id,bb_left,bb_top,bb_width,bb_height,conf\n\n1,-1,1,2,3,4,1\n2,-1,1,2,3,4,1\n",
        "frame id left top width height conf\n1 -1 1 2 3 4 1\n2 -1 1 2 3 4 1\n",
    ],
)
def test_other_habits_of_writing_read_the_same(tmp_path: Path, text: str) -> None:
    found = read_detections(write(tmp_path, text))
    np.testing.assert_array_equal(found.boxes, [[[1, 2, 4, 6]]] * 2)
    np.testing.assert_array_equal(found.confidence, [[1], [1]])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("1,-1,1,2,3,4\n1,-1,1,2,3\n", r"line 2: 5 column"),
        ("1,-1,1,2,3,4,1,2,3,4,5\n", r"line 1: 11 column"),
        ("1,-1,1,2,3,4\n\n1,-1,1,2,3,4,1\n", r"line 3: 7 columns where line 1 has 6"),
        ("frame,id,left,top,width,height\n", "has a header and no rows"),
        ("frame,id,left,top,width,height\n1,-1,1,2,3,nan\n", r"line 2: column 6 is 'nan'"),
        ("1,-1,1,2,3,4\r\n1,-1,1,x,3,4\r\n", r"line 2: column 4 is 'x'"),
        ("1,-1,1,2,3,4\n1,-1,,2,3,4\n", r"line 2: column 3 is ''"),
        ("1,-1,1,2,3,nan\n", r"line 1: column 6 is 'nan'"),
        ("1,-1,inf,2,3,4\n", r"line 1: column 3 is 'inf'"),
        ("1,-1,1_0,2,3,4\n", r"line 1: column 3 is '1_0'"),
        ("1,-1,1,2,3,4\f\n1,-1,1,2,0,4\n", r"line 2: the box has no width or no height"),
        ("1,-1,1,2,3,-4\n", r"line 1: the box has no width or no height"),
        ("1,-1,900,2,1e-300,4\n", r"line 1: the box has no width or no height"),
        ("1,-1,1,2,1e300,4\n", r"line 1: the box lies beyond"),
        ("1,-1,1,2,3,4\n0,-1,1,2,3,4\n", r"line 2: the frame is below 1"),
        ("1.5,-1,1,2,3,4\n", r"line 1: the frame is not a whole number"),
        ("1000001,-1,1,2,3,4\n", r"line 1: the frame is above 1000000"),
        ("1e300,-1,1,2,3,4\n", r"line 1: the frame is above 1000000"),
        ("1,-1,-9,2,3,4\n", r"line 1: the box lies wholly outside the image"),
        (b"1,-1,1,2,3,4\n\xff\xfe\x00", "not a text file"),
    ],
)
def test_bad_detections_are_named_with_their_line(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(InputError, match=f"det.txt.*{says}"):
        read_detections(write(tmp_path, text))


def test_frames_that_would_fill_the_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before they are laid out: a file of less than a kilobyte, with thirty boxes in one frame and one far from it."""
    text = "1000000,-1,1,2,3,4,1\n" + "1,-1,1,2,3,4,1\n" * 30
    monkeypatch.setattr(resources, "available_memory", lambda: 4 * 2**30)
    monkeypatch.setattr(np, "full", lambda *_: pytest.fail("memory is taken"))
    with pytest.raises(InputError, match=r"det.txt: 1000000 frames of 30 boxes take about .* GiB of memory, and 4"):
        read_detections(write(tmp_path, text))


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    for path in (tmp_path / "none.txt", tmp_path / "none" / "det.txt", tmp_path / ("n" * 300)):
        for read in (read_detections, read_ground_truth, read_results, kind_of):
            with pytest.raises(InputError, match=r"does not exist|cannot be read"):
                read(path)
    with pytest.raises(InputError, match="no sequence folder"):
        read_detections(tmp_path)
    with pytest.raises(InputError, match="holds no sequence"):
        find_sequences(tmp_path)
    with pytest.raises(InputError, match="is a folder"):
        read_results(tmp_path)


def test_a_sequence_without_its_detections_is_missing_a_file(sequence: Path) -> None:
    (sequence / "det" / "det.txt").unlink()
    with pytest.raises(InputError, match=r"det.txt does not exist"):
        read_detections(sequence)


def test_the_three_kinds_of_path(sequence: Path) -> None:
    (sequence.parent / "other").mkdir()
    (sequence.parent / "A" / "gt").mkdir(parents=True)
    (sequence.parent / "A" / "gt" / "gt.txt").write_text("")
    assert kind_of(sequence) == "sequence"
    assert kind_of(sequence.parent) == "folder"
    assert kind_of(sequence / "det" / "det.txt") == "file"
    assert [path.name for path in find_sequences(sequence.parent)] == ["A", "SEQ"]


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ("imWidth=3\n", "broken"),
        ("[Other]\nimWidth=3\n", "no section"),
        ("[Sequence]\nimWidth=3\nimWidth=3\n", "broken"),
        ("[Sequence]\nimWidth=100\n", "imHeight is missing"),
        (INFO.replace("80", "x"), "imHeight is 'x'"),
        (INFO.replace("80", "-80"), "imHeight is '-80'"),
        (INFO.replace("25", "0"), "frameRate is '0'"),
        (INFO.replace("=4", "=1e9"), "seqLength is '1e9'"),
        (INFO.replace("=4", "=2.5"), "seqLength is '2.5'"),
        (INFO.replace("=4", "=2"), "line 1: the frame is above 2, the seqLength"),
        (INFO.replace("100", "5"), "line 1: the box lies wholly outside the image of 5x80"),
        ("\x00\x01", "broken"),
    ],
)
def test_a_bad_seqinfo_is_named(sequence: Path, info: str, says: str) -> None:
    (sequence / "seqinfo.ini").write_text(info)
    with pytest.raises(InputError, match=says):
        read_detections(sequence)


def test_a_given_size_may_not_contradict_seqinfo_nor_be_empty(sequence: Path) -> None:
    assert read_detections(sequence, size=(100, 80)).size == (100, 80)
    with pytest.raises(InputError, match=r"100x80 pixels, not 80x100"):
        read_detections(sequence, size=(80, 100))
    with pytest.raises(InputError, match="no pixels"):
        read_detections(sequence / "det" / "det.txt", size=(0, 5))


def test_ground_truth_leaves_out_flag_zero_and_other_classes(sequence: Path) -> None:
    truth = read_ground_truth(sequence)
    np.testing.assert_array_equal(truth.ids, [4, 7])
    assert truth.boxes.shape == (4, 2, 4)
    np.testing.assert_array_equal(~np.isnan(truth.boxes[..., 0]), [[0, 1], [0, 0], [1, 0], [0, 0]])
    assert (truth.size, truth.name, truth.notes) == ((100, 80), "SEQ", ())


def test_the_eighth_column_is_a_class_only_where_there_are_nine(tmp_path: Path) -> None:
    truth = read_ground_truth(write(tmp_path, "1,1,1,2,3,4,1,2.5,2,1\n1,2,1,2,3,4,0,1,2,1\n"))
    np.testing.assert_array_equal(truth.ids, [1])


@pytest.mark.parametrize("flags", ["", ",-1", ",-1,-1,-1,-1"])
def test_ground_truth_without_flags_counts_whole_and_says_so(tmp_path: Path, flags: str) -> None:
    truth = read_ground_truth(write(tmp_path, f"1,1,1,2,3,4{flags}\n2,1,1,2,3,4{flags}\n"))
    assert not np.isnan(truth.boxes).any()
    assert len(truth.notes) == 1


def test_ground_truth_in_which_nothing_counts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no row counts"):
        read_ground_truth(write(tmp_path, "1,1,1,2,3,4,0,1,1\n1,2,1,2,3,4,1,3,1\n"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,1,1,2,3,4,1\n2,1,1,2,3,4,1\n1,1,5,2,3,4,0\n", "line 3: id 1 stands in frame 1 already, on line 1"),
        ("1,-1,1,2,3,4,1\n", "line 1: the id is below 0"),
        ("1,1.5,1,2,3,4,1\n", "line 1: the id is not a whole number"),
    ],
)
def test_bad_ids_are_named_with_their_line(tmp_path: Path, text: str, says: str) -> None:
    for read in (read_ground_truth, read_results):
        with pytest.raises(InputError, match=says):
            read(write(tmp_path, text))


def test_targets_can_be_chosen_and_unknown_ones_are_refused() -> None:
    tracks = Tracks(np.array([3, 5, 8]), np.arange(12.0).reshape(1, 3, 4))
    np.testing.assert_array_equal(tracks.with_ids([8, 3]).boxes, tracks.boxes[:, [0, 2]])
    with pytest.raises(InputError, match="no id 4: choose among 3, 5, 8"):
        tracks.with_ids([3, 4])


def test_labels_inline_and_in_a_file_are_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, "30,1,14,11,5,9\n1,1,10,10,5,9\n1,2,40,12,5.5,9\n")
    inline = read_labels("1:10,10,5,9;40,12,5.5,9|30:14,11,5,9")
    from_file = read_labels(path)
    np.testing.assert_array_equal(inline.frame, [0, 0, 29])
    np.testing.assert_array_equal(inline.source, [0, 1, 0])
    np.testing.assert_array_equal(inline.boxes, [[10, 10, 15, 19], [40, 12, 45.5, 21], [14, 11, 19, 20]])
    np.testing.assert_array_equal(from_file.frame, np.roll(inline.frame, 1))
    np.testing.assert_array_equal(from_file.source, np.roll(inline.source, 1))
    np.testing.assert_array_equal(from_file.boxes, np.roll(inline.boxes, 1, axis=0))


@pytest.mark.parametrize(
    "text",
    [
        *("", "nowhere.txt", "9" * 5000, "1:" * 5000),
        *("1:", "1:1,2,3", "1:1,2,3,x", "1:1,2,3,0", "1:1,2,nan,4", "1:1,2,3,1e9", "1:1,2,3,4;;2:1,2,3,4"),
        *("0:1,2,3,4", "x:1,2,3,4", "1.5:1,2,3,4", "1,2,3,4;1:1,2,3,4", "1:1,2,3,4;1:1,2,3,4"),
    ],
)
def test_bad_labels_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        read_labels(text)


def test_labels_in_a_file_have_ids_from_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1: the id is below 1"):
        read_labels(write(tmp_path, "1,0,1,2,3,4\n"))


def test_results_have_ten_columns_and_every_source_in_every_frame() -> None:
    boxes = np.array([[[1, 2, 4.126, 6], [-0.001, 0, 1, 1]], [[1, 2, 4, 6], [0, 0, 1, 1e-9]]])
    assert format_results(boxes) == (
        "1,1,1.00,2.00,3.13,4.00,1,-1,-1,-1\n1,2,0.00,0.00,1.00,1.00,1,-1,-1,-1\n"
        "2,1,1.00,2.00,3.00,4.00,1,-1,-1,-1\n2,2,0.00,0.00,1.00,0.01,1,-1,-1,-1\n"
    )
    with pytest.raises(ValueError, match="not finite"):
        format_results(np.full((1, 1, 4), np.nan))


@settings(max_examples=40, deadline=None)
@given(
    corners=nps.arrays(
        np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4), st.just(2)), elements=st.floats(-500, 5000)
    ),
    size=st.floats(0.01, 900),
)
def test_results_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, corners: np.ndarray, size: float
) -> None:
    path = tmp_path_factory.getbasetemp() / "results.txt"
    boxes = np.concatenate([corners, corners + size], axis=-1)
    path.write_text(format_results(boxes))
    back = read_results(path)
    np.testing.assert_array_equal(back.ids, np.arange(1, boxes.shape[1] + 1))
    np.testing.assert_allclose(back.boxes, boxes, atol=0.0101)
    assert format_results(back.boxes) == path.read_text()


CELL = st.one_of(
    st.integers(-2, 60).map(str), st.floats(-20, 300).map(str), st.sampled_from(["", "nan", "1e400", "x", "-0", "1e15"])
)
ROW = st.lists(CELL, min_size=4, max_size=12).map(",".join)
GOOD_ROW = st.tuples(st.integers(1, 50), st.integers(1, 3), st.integers(0, 99), st.integers(1, 99)).map(
    lambda row: f"{row[0]},{row[1]},{row[2]},0,{row[3]},5,1"
)
BYTES = st.lists(st.one_of(ROW, GOOD_ROW, GOOD_ROW), max_size=6).map("\n".join).map(str.encode) | st.binary(max_size=40)


@settings(max_examples=150, deadline=None)
@given(data=BYTES, info=st.none() | st.binary(max_size=60) | st.just(INFO.replace("=4", "=50").encode()))
def test_any_bytes_are_read_or_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, info: bytes | None
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzzed"
    for part in ("det", "gt"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / f"{part}.txt").write_bytes(data)
    (folder / "seqinfo.ini").unlink(missing_ok=True)
    if info is not None:
        (folder / "seqinfo.ini").write_bytes(info)
    for read in (read_detections, read_ground_truth):
        with suppress(InputError):
            found = read(folder)
            present = ~np.isnan(found.boxes).any(axis=-1)
            assert present.any()
            assert (found.boxes[present][:, 2:] > found.boxes[present][:, :2]).all()


def test_real_sequences_are_read(shared: Path) -> None:
    for folder in (*find_sequences(shared / "data/mot17/train"), *find_sequences(shared / "data/mot15/train")):
        found, truth = read_detections(folder), read_ground_truth(folder)
        rows = (folder / "det/det.txt").read_text().split()
        assert (~np.isnan(found.confidence)).sum() == len(rows)
        assert len(found.boxes) == len(truth.boxes)
        assert truth.notes == ()
