"""Ids of an annotation that change places are found, and put back."""

from pathlib import Path

import numpy as np
import pytest
from exchanged_ids import exchanged, main, put_back

from pyro_mixdvae.tracking.boxes import Array


def walked(n_frames: int = 60) -> Array:
    """Rows of three: two who cross in the middle, and one who goes along with the first."""
    frames = np.arange(1, n_frames + 1)
    rows = []
    for number, (start, speed, top, width) in enumerate(((100, 4, 50, 60), (340, -4, 52, 66), (180, 4, 50, 64)), 1):
        left = start + speed * frames
        ones = np.ones(n_frames)
        rows.append(np.stack([frames, number * ones, left, top * ones, width * ones, 150 * ones, ones], 1))
    table = np.concatenate(rows)
    return table[np.lexsort((table[:, 1], table[:, 0]))]


def confused(table: Array, *places: tuple[int, int, int]) -> Array:
    """The same with two ids exchanged from each frame on."""
    table = table.copy()
    for frame, *ids in places:
        one, other = ((table[:, 0] >= frame) & (table[:, 1] == number) for number in ids)
        table[one, 1], table[other, 1] = ids[1], ids[0]
    return table


def test_people_who_cross_are_not_exchanged() -> None:
    assert list(exchanged(walked())) == []


def test_who_lies_on_another_and_rests_is_not_exchanged() -> None:
    table = walked()
    table[:, 2] = 100 + 0.5 * (table[:, 1] == 2)
    assert list(exchanged(confused(table, (20, 1, 3)))) == []


def test_exchanges_are_found_and_put_back() -> None:
    true = walked()
    table = confused(true, (10, 1, 3), (25, 1, 2), (50, 2, 3))
    found = list(exchanged(table))
    assert [one.frame for one in found] == [10, 25, 50]
    assert found[0].ids == (1, 3)
    assert (found[0].moved, found[0].put_back) == ((86 + 4) + (78 + 4), 4 + 4)
    back = put_back(table, found)
    np.testing.assert_array_equal(back[np.lexsort((back[:, 1], back[:, 0]))], true)


def test_the_copy_holds_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data" / "clip" / "gt").mkdir(parents=True)
    np.savetxt(tmp_path / "data" / "clip" / "gt" / "gt.txt", confused(walked(), (30, 1, 3)), "%.10g", ",")
    (tmp_path / "data" / "clip" / "seqinfo.ini").write_text("[Sequence]\n")
    main([str(tmp_path / "data"), "-o", str(tmp_path / "copy")])
    assert "clip" in capsys.readouterr().out
    assert (tmp_path / "copy" / "clip" / "seqinfo.ini").exists()
    main([str(tmp_path / "copy")])
    assert "clip" not in capsys.readouterr().out
    for wrong in ([str(tmp_path / "data"), "-o", str(tmp_path / "copy")], [str(tmp_path / "data" / "clip")]):
        with pytest.raises(SystemExit):
            main(wrong)
