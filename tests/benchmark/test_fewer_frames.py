"""Sequences at a lower frame rate are sequences."""

from pathlib import Path

import numpy as np
import pytest
from fewer_frames import main, thinned

from pyro_mixdvae.tracking.files.detections import read_detections
from pyro_mixdvae.tracking.files.tracks import read_ground_truth


def test_every_third_frame_is_kept_from_the_first_on() -> None:
    rows = "".join(f"{frame},-1,{frame * 10},5,20,40,0.9\n" for frame in range(1, 9))
    assert thinned(rows, 3) == "1,-1,10,5,20,40,0.9\n2,-1,40,5,20,40,0.9\n3,-1,70,5,20,40,0.9\n"
    assert thinned(rows, 1) == rows


def test_a_folder_is_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sequence = tmp_path / "data" / "walk"
    for name, id_ in (("gt", 1), ("det", -1)):
        (sequence / name).mkdir(parents=True)
        rows = [f"{frame},{id_},{frame * 10},5,20,40,1,1,1" for frame in range(1, 8)]
        (sequence / name / f"{name}.txt").write_text("\n".join(rows) + "\n")
    (sequence / "seqinfo.ini").write_text(
        "[Sequence]\nname=walk\nimDir=img1\nframeRate=30\nseqLength=7\nimWidth=640\nimHeight=480\nimExt=.jpg\n"
    )
    options = [str(tmp_path / "data"), "--every", "2", "-o", str(tmp_path / "copy")]
    main(options)
    copy = tmp_path / "copy" / "walk"
    np.testing.assert_array_equal(read_ground_truth(copy).boxes[:, 0, 0], [10, 30, 50, 70])
    assert read_detections(copy).size == (640, 480)
    assert "frameRate=15\n" in (copy / "seqinfo.ini").read_text()
    assert "seqLength=4\n" in (copy / "seqinfo.ini").read_text()
    with pytest.raises(SystemExit):
        main(options)
    assert "exists: give another folder for the copy" in capsys.readouterr().err
