from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Tree

Command = Callable[..., tuple[int, str, str]]


def test_tracks_become_a_file_of_cvat(mixdvae: Command, tmp_path: Path) -> None:
    tracks, out = tmp_path / "tracks.txt", tmp_path / "tracks.xml"
    rows = [f"{frame},{n},{10 * n + frame},20,8,9,1,-1,-1,-1\n" for frame in range(1, 31) for n in (1, 2)]
    tracks.write_text("".join(rows))
    (tmp_path / "tracks.check.csv").write_text(
        "rank,first_frame,last_frame,source,other_source,probability\n1,7,8,1,2,0.3000\n"
    )
    code, told, err = mixdvae("export", tracks, "-o", out, "--size", "64x48")
    assert (code, err) == (0, "")
    assert told == f"Written: {out}, 2 tracks of 30 frames.\n"
    root = Tree.parse(out).getroot()
    assert root.findtext("meta/task/original_size/height") == "48"
    first, second = root.findall("track")
    keys = [int(box.get("frame", "")) for box in first.findall("box") if box.get("keyframe") == "1"]
    assert keys == [0, 6, 7, 8, 29]  # a straight path, and frames 7 and 8, which CVAT calls 6 and 7
    (box,) = (box for box in second.findall("box") if box.get("frame") == "4")
    assert [float(box.get(key, "")) for key in ("xtl", "ytl", "xbr", "ybr")] == [25, 20, 33, 29]

    for name, message in (("tracks.xml", "exists already"), ("tracks.json", "does not end in .xml")):
        code, _, err = mixdvae("export", tracks, "-o", tmp_path / name)
        assert code == 2
        assert message in err
