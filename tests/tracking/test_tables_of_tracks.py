"""Tables of any format as tracks: whose frames and whose targets are which."""

from pathlib import Path

import numpy as np
import pytest

from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.files.formats.registry import recognised
from pyro_mixdvae.tracking.files.tracks import aligned, read_ground_truth, read_results
from pyro_mixdvae.tracking.scores.clear import score


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("truth_is_table", [False, True])
def test_equal_numbers_are_equal_frames_where_all_count_from_one(tmp_path: Path, truth_is_table: bool) -> None:
    rows = [f"{t},1,{20 * t},20,30,40" for t in range(1, 4)]
    named = write(tmp_path, "named.csv", "\n".join(["frame,id,x,y,w,h", *rows]))
    plain = write(tmp_path, "plain.txt", "\n".join(f"{row},1,-1,-1,-1" for row in rows))
    result, truth = (plain, named) if truth_is_table else (named, plain)
    found, expected, note = aligned(read_results(result), read_ground_truth(truth))
    assert note is None
    assert (found.origin, expected.origin) == (1, 1)
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    assert score(found, expected).overall.frames == 3
    assert score(found, expected).overall.mota == 1.0


def test_targets_may_have_names(tmp_path: Path) -> None:
    """As tracktor calls them, whose files number frames as they are and rows from 0."""
    path = write(tmp_path, "a.csv", ",frame,pos_x,pos_y,id\n0,3.0,5,6,B\n1,3.0,7,8,A\n2,4.0,6,6,B\n3,4.0,8,9,\n")
    table = recognised(path).read(path, None)
    assert table.ids is not None
    assert table.ids.tolist() == [1, 2, 1, -1]
    assert table.called == ("B", "A")
    tracks = read_results(path)
    assert tracks.ids.tolist() == [1, 2]
    assert any(note.endswith("names its targets: 1 is B, 2 is A.") for note in tracks.notes)
    mixed = write(tmp_path, "b.csv", "frame,x,y,id\n0,5,6,1\n1,7,8,A\n")
    with pytest.raises(InputError, match=r"b.csv, line 3: id is 'A', and others are numbers"):
        recognised(mixed).read(mixed, None)
