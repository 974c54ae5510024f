"""Every format that is recognised: what is read of a file as its tool writes it, and what is said of a broken one."""

import importlib
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyro_mixdvae.benchmark.samples.triples import read_annotated
from pyro_mixdvae.errors import InputError
from pyro_mixdvae.tracking.files.detections import read_detections
from pyro_mixdvae.tracking.files.formats.registry import FORMATS, recognised
from pyro_mixdvae.tracking.files.tracks import aligned, read_ground_truth, read_results
from pyro_mixdvae.tracking.poses import parts_of
from pyro_mixdvae.tracking.scores.clear import score
from pyro_mixdvae.tracking.tracks.recorded import tracks_from_files

BOXES = np.array([[[1.0, 2.0, 3.5, 4.25], [5.0, 6.0, 9.0, 10.0]], [[2.0, 2.0, 4.5, 4.25], [6.0, 6.0, 10.0, 10.0]]])
SCORES = np.array([[0.9, 0.8], [0.7, 0.6]])
SIZE = (100, 50)


def tool(name: str) -> Any:
    """A tool's own package, or the test is skipped; some warn when they are imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError:
            pytest.skip(f"{name} is not installed")


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def check(path: Path, format: str, size: tuple[int, int] | None = None, atol: float = 1e-9, origin: int = 0) -> None:
    found = read_detections(path, size)
    assert found.note is not None
    assert f"recognised as {format}" in found.note
    np.testing.assert_allclose(found.boxes, BOXES, atol=atol)
    assert found.origin == origin


def detections_of_supervision(with_ids: bool = False) -> list[Any]:
    supervision = tool("supervision")
    return [
        supervision.Detections(
            xyxy=boxes,
            confidence=scores,
            class_id=np.array([0, 0]),
            tracker_id=np.array([4, 5]) if with_ids else None,
            data={"class_name": np.array(["a, b", 'say "c"'])},
        )
        for boxes, scores in zip(BOXES, SCORES, strict=True)
    ]


@pytest.mark.parametrize("kind", ["CSV", "JSON"])
def test_what_supervision_writes_is_read(tmp_path: Path, kind: str) -> None:
    supervision = tool("supervision")
    path = tmp_path / f"detections.{kind.lower()}"
    with getattr(supervision, f"{kind}Sink")(str(path)) as sink:
        for frame, detections in enumerate(detections_of_supervision()):
            sink.append(detections, custom_data={"frame_number": frame})
        sink.append(supervision.Detections.empty(), custom_data={"frame_number": 2})
    check(path, f"supervision's {kind}")
    np.testing.assert_allclose(read_detections(path).confidence, SCORES)
    with pytest.raises(InputError, match="no column id, or nothing in it"):
        read_results(path)


def test_what_supervision_writes_of_tracks_is_a_result(tmp_path: Path) -> None:
    supervision = tool("supervision")
    with supervision.CSVSink(str(tmp_path / "a.csv")) as sink:
        for frame, detections in enumerate(detections_of_supervision(with_ids=True)):
            sink.append(detections, custom_data={"frame_index": frame})
    found = read_results(tmp_path / "a.csv")
    assert found.ids.tolist() == [4, 5]
    np.testing.assert_allclose(found.boxes, BOXES)


def test_supervision_without_frames_is_told_how_to_say_them(tmp_path: Path) -> None:
    supervision = tool("supervision")
    for kind in ("CSV", "JSON"):
        path = tmp_path / f"a.{kind.lower()}"
        with getattr(supervision, f"{kind}Sink")(str(path)) as sink:
            sink.append(detections_of_supervision()[0])
        with pytest.raises(InputError, match=r"custom_data=\{\"frame_number\""):
            read_detections(path)


def as_labels(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([(boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]], -1) / [*SIZE, *SIZE]


@pytest.mark.parametrize("more", ["", " {score:g}", " {score:g} {id}", " {id}"])
def test_labels_of_ultralytics_are_shares_of_the_image(tmp_path: Path, more: str) -> None:
    for t, boxes in enumerate(as_labels(BOXES), start=1):
        rows = [
            "0 " + " ".join(f"{number:g}" for number in box) + more.format(score=SCORES[t - 1, k], id=k + 7)
            for k, box in enumerate(boxes)
        ]
        write(tmp_path, f"labels/film_{t}.txt", "\n".join(rows) + "\n")
    folder = tmp_path / "labels"
    write(tmp_path, "labels/classes.txt", "person\n")
    check(folder, "Ultralytics' labels", SIZE, atol=1e-3, origin=1)
    assert read_detections(folder, SIZE).confidence[1, 1] == (0.6 if "score" in more else -1)
    with pytest.raises(InputError, match="say how large it is, --size WxH"):
        read_detections(folder)
    if "id" in more:
        assert read_results(folder, SIZE).ids.tolist() == [7, 8]
    write(tmp_path, "labels/film_3.txt", "0 .1 .1 .2 1.5\n")
    with pytest.raises(InputError, match=r"film_3.txt, line 1: 1.5 is no share"):
        read_detections(folder, SIZE)
    write(tmp_path, "labels/film_3.txt", "0 .1 .1 .2 .2 .1 .1 .3 .3\n")
    with pytest.raises(InputError, match=r"film_3.txt, line 1: 9 numbers"):
        read_detections(folder, SIZE)
    write(tmp_path, "labels/film_3.txt", "")
    write(tmp_path, "labels/other_1.txt", "")
    with pytest.raises(InputError, match="frames of several films, as 'film_1' and 'other_1'"):
        read_detections(folder, SIZE)


def test_the_csv_of_ultralytics_keeps_boxes_in_a_text(tmp_path: Path) -> None:
    rows = "".join(
        f"""{t},person,0,{score},"{{'x1': {box[0]}, 'y1': {box[1]}, 'x2': {box[2]}, 'y2': {box[3]}}}"\n"""
        for t, (boxes, scores) in enumerate(zip(BOXES, SCORES, strict=True))
        for box, score in zip(boxes, scores, strict=True)
    )
    check(write(tmp_path, "a.csv", "frame,name,class,confidence,box\n" + rows), "Ultralytics' CSV")
    alone = "".join(line.partition(",")[2] + "\n" for line in rows.splitlines())
    with pytest.raises(InputError, match="add a column frame"):
        read_detections(write(tmp_path, "b.csv", "name,class,confidence,box\n" + alone))
    with pytest.raises(InputError, match="line 2: box is 'nothing'"):
        read_detections(write(tmp_path, "c.csv", "frame,name,class,confidence,box\n1,a,0,.5,nothing\n"))


def coco_results(name: Callable[[int], Any]) -> list[dict[str, Any]]:
    return [
        {"image_id": name(t), "category_id": 1, "bbox": [*box[:2], *(box[2:] - box[:2])], "score": score}
        for t, (boxes, scores) in enumerate(zip(BOXES, SCORES, strict=True))
        for box, score in zip(boxes, scores, strict=True)
    ]


@pytest.mark.parametrize("name", [lambda t: t, lambda t: f"film_{t:06d}"])
def test_results_of_coco_are_read_with_images_as_frames(tmp_path: Path, name: Callable[[int], Any]) -> None:
    path = write(tmp_path, "results.json", json.dumps(coco_results(name), default=list))
    check(path, "COCO's JSON")
    np.testing.assert_allclose(read_detections(path).confidence, SCORES)


def test_a_data_set_of_coco_says_frames_and_size(tmp_path: Path) -> None:
    images = [{"id": 30 + t, "file_name": f"clip/{t + 5:05d}.jpg", "width": 100, "height": 50} for t in range(2)]
    boxes = [box | {"image_id": box["image_id"] + 30, "track_id": k % 2} for k, box in enumerate(coco_results(int))]
    path = write(tmp_path, "set.json", json.dumps({"info": {}, "images": images, "annotations": boxes}))
    found = read_results(path)
    assert (found.size, found.ids.tolist(), len(found.boxes)) == (SIZE, [0, 1], 7)
    np.testing.assert_allclose(found.boxes[5:], BOXES)
    assert read_detections(path).size == SIZE
    with pytest.raises(InputError, match="says that images have 100x50 pixels, not 30x40"):
        read_detections(path, (30, 40))
    boxes[3]["image_id"] = 99
    write(tmp_path, "set.json", json.dumps({"images": images, "annotations": boxes}))
    with pytest.raises(InputError, match="box 4: there is no image 99"):
        read_detections(path)


CVAT_VIDEO = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><job><size>2</size><original_size><width>100</width><height>50</height></original_size></job></meta>
{}</annotations>
"""


def cvat_box(frame: int, box: np.ndarray, outside: int = 0) -> str:
    corners = " ".join(f'{name}="{value}"' for name, value in zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True))
    return (
        f'    <box frame="{frame}" outside="{outside}" occluded="0" keyframe="1" {corners} z_order="0">\n    </box>\n'
    )


def test_tracks_of_cvat_are_read_but_for_what_is_outside(tmp_path: Path) -> None:
    tracks = "".join(
        f'  <track id="{n}" label="person" source="manual">\n'
        + "".join(cvat_box(t, BOXES[t, n]) for t in range(2))
        + cvat_box(2, BOXES[1, n], outside=1)
        + "  </track>\n"
        for n in range(2)
    )
    path = write(tmp_path, "annotations.xml", CVAT_VIDEO.format(tracks))
    check(path, "CVAT's XML")
    found = read_ground_truth(path)
    assert (found.ids.tolist(), found.size) == ([0, 1], SIZE)
    np.testing.assert_allclose(found.boxes, BOXES)
    broken = path.read_text().replace('xtl="2.0"', 'xtl="nan"')
    with pytest.raises(InputError, match="line 8: xtl is 'nan'"):
        read_detections(write(tmp_path, "b.xml", broken))
    with pytest.raises(InputError, match=r"line \d+: .*: correct the XML"):
        read_detections(write(tmp_path, "c.xml", path.read_text()[:-20]))
    with pytest.raises(InputError, match="line 1: it declares types of its own"):
        read_detections(write(tmp_path, "d.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>'))


def test_images_of_cvat_are_frames(tmp_path: Path) -> None:
    images = ""
    for t, (one, two) in enumerate(BOXES):
        images += f'  <image id="{t}" name="{t}.png" width="100" height="50">\n'
        images += cvat_box(9, one) + cvat_box(9, two) + "  </image>\n"
    check(write(tmp_path, "a.xml", CVAT_VIDEO.format(images)), "CVAT's XML")


POINTS = np.array([[[5.0, 6.0], [7.0, 8.0]], [[6.0, 6.0], [8.0, 9.0]]])
TRACKMATE = """LABEL,ID,TRACK_ID,QUALITY,POSITION_X,POSITION_Y,POSITION_Z,POSITION_T,FRAME,RADIUS,VISIBILITY
Label,Spot ID,Track ID,Quality,X,Y,Z,T,Frame,Radius,Visibility
Label,Spot ID,Track ID,Quality,X,Y,Z,T,Frame,R,Visibility
,,,(quality),({unit}),({unit}),({unit}),(sec),,({unit}),
ID100,100,0,3.5,5,6,0,0,0,2.5,1
ID101,101,1,2.5,7,8,0,0,0,2.5,1
ID102,102,0,3.5,6,6,0,1,1,2.5,1
ID103,103,{last},3.5,8,9,0,1,1,2.5,1
"""


@pytest.mark.parametrize(("unit", "read"), [("pixel", "pixels"), ("µm", "µm")])
def test_trackmate_has_four_lines_of_header_and_a_unit(tmp_path: Path, unit: str, read: str) -> None:
    path = write(tmp_path, "spots.csv", TRACKMATE.format(unit=unit, last=1))
    found = read_detections(path)
    np.testing.assert_array_equal(found.boxes, POINTS)
    assert found.note is not None
    assert f"TrackMate's table of spots: 4 points (position_x, position_y) in {read}" in found.note
    assert read_results(path).ids.tolist() == [0, 1]
    loose = read_results(write(tmp_path, "loose.csv", TRACKMATE.format(unit=unit, last="")))
    assert loose.notes == (f"{tmp_path / 'loose.csv'}: 1 of 4 rows have no id, and do not count.",)
    assert np.isnan(loose.boxes[1, 1]).all()


TRACKPY = """,y,x,mass,size,ecc,signal,raw_mass,ep,frame
0,6,5,9,1,0,1,9,0,0
1,8,7,9,1,0,1,9,0,0
2,6,6,9,1,0,1,9,0,1
3,9,8,9,1,0,1,9,0,1
"""
BTRACK_EXPORT = """ID t x y z parent root state generation dummy
1.0 0.0 5.0 6.0 0.0 1.0 1.0 0.0 0.0 0.0
2.0 0.0 7.0 8.0 0.0 2.0 2.0 0.0 0.0 0.0
1.0 1.0 6.0 6.0 0.0 1.0 1.0 0.0 0.0 0.0
2.0 1.0 8.0 9.0 0.0 2.0 2.0 0.0 0.0 0.0
"""


@pytest.mark.parametrize(
    ("text", "tool_name"),
    [
        (TRACKPY, "trackpy's CSV"),
        ("t,x,y,z\n0,5,6,0\n0,7,8,0\n1,6,6,0\n1,8,9,0\n", "btrack's CSV"),
        (BTRACK_EXPORT, "btrack's CSV"),
        (",frame,pos_x,pos_y,id\n0,0.0,5,6,0\n1,0.0,7,8,1\n2,1.0,6,6,0\n3,1.0,8,9,1\n", "tracktor's CSV"),
        ("x;y;Frame\n5;6;0\n7;8;0\n6;6;1\n8;9;1\n", "CSV with named columns"),
    ],
)
def test_points_under_the_names_that_tools_use(tmp_path: Path, text: str, tool_name: str) -> None:
    path = write(tmp_path, "a.csv", text)
    found = read_detections(path)
    np.testing.assert_array_equal(found.boxes, POINTS)
    assert found.note is not None
    assert f"recognised as {tool_name}" in found.note
    if "id" in text.lower():
        assert len(read_results(path).ids) == 2


def test_what_trackpy_writes_is_read(tmp_path: Path) -> None:
    trackpy = tool("trackpy")
    y, x = np.mgrid[:60, :80]
    frames = [
        sum(200 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 8) for cx, cy in ((20 + t, 30), (60, 40 - t)))
        for t in range(3)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trackpy.quiet()
        features = trackpy.batch(np.array(frames).astype(np.uint8), 11, minmass=100, engine="python", processes=1)
        linked = trackpy.link(features, 5)
    linked.to_csv(tmp_path / "linked.csv")
    found = read_results(tmp_path / "linked.csv")
    assert found.boxes.shape == (3, 2, 2)
    order = np.argsort(found.boxes[0, :, 0])
    np.testing.assert_allclose(found.boxes[:, order[0]], [[20 + t, 30] for t in range(3)], atol=0.2)


DEEPLABCUT = """scorer,net,net,net,net,net,net,net,net,net,net,net,net
individuals,one,one,one,one,one,one,two,two,two,two,two,two
bodyparts,nose,nose,nose,tail,tail,tail,nose,nose,nose,tail,tail,tail
coords,x,y,likelihood,x,y,likelihood,x,y,likelihood,x,y,likelihood
0,4,5,.9,6,7,.9,6,7,.9,8,9,.9
1,6,6,.9,90,90,.1,8,9,.8,,,
"""


def test_animals_of_deeplabcut_are_their_parts_and_the_mean_of_what_is_seen(tmp_path: Path) -> None:
    found = read_results(write(tmp_path, "a.csv", DEEPLABCUT))
    assert found.parts == ("nose", "tail")
    np.testing.assert_allclose(found.boxes[..., :2], POINTS)
    unseen = [np.nan, np.nan]
    np.testing.assert_allclose(parts_of(found.boxes)[0], [[[4, 5], [6, 7]], [[6, 7], [8, 9]]])
    np.testing.assert_allclose(parts_of(found.boxes)[1], [[[6, 6], unseen], [[8, 9], unseen]])
    one = [",".join(line.split(",")[:7]) for line in DEEPLABCUT.splitlines() if not line.startswith("individuals")]
    single = read_detections(write(tmp_path, "b.csv", "\n".join(one)))
    np.testing.assert_allclose(single.boxes, found.boxes[:, :1])
    nose = [",".join(line.split(",")[:4]) for line in one]
    np.testing.assert_allclose(read_detections(write(tmp_path, "d.csv", "\n".join(nose))).boxes[:, 0], [[4, 5], [6, 6]])
    with pytest.raises(InputError, match="one has x or y of nose alone"):
        read_detections(write(tmp_path, "e.csv", DEEPLABCUT.replace("coords,x,y", "coords,x,z", 1)))
    with pytest.raises(InputError, match="a part of an animal stands twice"):
        read_detections(write(tmp_path, "f.csv", DEEPLABCUT.replace("tail", "nose")))
    with pytest.raises(InputError, match="line 5: 'x' is not a finite number"):
        read_detections(write(tmp_path, "c.csv", DEEPLABCUT.replace("0,4,5", "0,x,5")))


def test_what_deeplabcut_marks_beside_the_animals_is_no_animal(tmp_path: Path) -> None:
    corner = [",single,single,single", *[",corner,corner,corner"] * 2, ",300,200,.99", ",300,200,.99"]
    corner = [",net,net,net", corner[0], corner[1], ",x,y,likelihood", *corner[3:]]
    marked = "\n".join(line + more for line, more in zip(DEEPLABCUT.splitlines(), corner, strict=True))
    found, true = (
        read_detections(write(tmp_path, "a.csv", marked)),
        read_detections(write(tmp_path, "b.csv", DEEPLABCUT)),
    )
    np.testing.assert_array_equal(found.boxes, true.boxes)
    assert (found.parts, found.size) == (("nose", "tail"), true.size)
    assert found.note is not None
    assert "4 poses (parts nose, tail; left out, as no animal's: single) in pixels" in found.note
    alone = "\n".join(",".join(np.delete(line.split(","), range(7, 13))) for line in marked.splitlines())
    assert read_detections(write(tmp_path, "c.csv", alone)).parts == ("nose", "tail")
    apart = alone.replace("single", "two")  # animals of different parts are both animals
    assert read_detections(write(tmp_path, "d.csv", apart)).parts == ("nose", "tail", "corner")
    only = read_detections(write(tmp_path, "e.csv", alone.replace("one", "single")))
    assert only.counts.tolist() == [1, 1]


def test_what_sleap_saves_is_read(tmp_path: Path) -> None:
    sleap = tool("sleap_io")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        skeleton = sleap.Skeleton(["nose", "tail"])
        tracks = [sleap.Track("one"), sleap.Track("two")]
        video = sleap.Video(filename="film.mp4", open_backend=False)
        frames = [
            sleap.LabeledFrame(
                video=video,
                frame_idx=t,
                instances=[
                    sleap.PredictedInstance.from_numpy(
                        np.array([point - np.array([1, 2]), point + np.array([1, 2])]),
                        skeleton=skeleton,
                        score=0.5,
                        track=track,
                    )
                    for point, track in zip(points, tracks, strict=True)
                ],
            )
            for t, points in enumerate(POINTS)
        ]
        labels = sleap.Labels(frames, videos=[video], skeletons=[skeleton], tracks=tracks)
        sleap.save_slp(labels, str(tmp_path / "a.slp"))
    found = read_results(tmp_path / "a.slp")
    np.testing.assert_allclose(found.boxes[..., :2], POINTS)
    np.testing.assert_allclose(parts_of(found.boxes)[..., 1, :] - parts_of(found.boxes)[..., 0, :], [[[2, 4]] * 2] * 2)
    assert found.parts == ("nose", "tail")
    assert found.ids.tolist() == [1, 2]
    (tmp_path / "b.slp").write_bytes((tmp_path / "a.slp").read_bytes()[:300])
    with pytest.raises(InputError, match=r"b\.slp: sleap-io cannot read it"):
        read_detections(tmp_path / "b.slp")


def test_what_is_not_recognised_is_told_what_was_looked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "once upon a time\n")
    with pytest.raises(InputError) as told:
        read_detections(path)
    assert str(told.value).count("\n") == 0
    for format in FORMATS:
        assert format.looks_like in str(told.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"run": 3, "boxes": [1]}', "holds one object with the names run, boxes, and no detections"),
        ('[{"x": 1, "y": 2}]', "holds a list of 1 object with the names x, y, and no detections"),
        ("[[1, 2], [3, 4]]", "holds a list that begins with [1, 2], and no detections"),
        ("[]", "holds an empty list, and no detections"),
        ('{"x": 1}\n{"x": 2}\n', "line 2: extra data, so this is no JSON"),
    ],
)
def test_json_of_something_else_is_told_by_what_it_holds(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError) as told:
        read_detections(write(tmp_path, "a.json", text))
    assert says in str(told.value)
    assert "TrackMate" not in str(told.value)
    assert "COCO" in str(told.value) or "no JSON" in str(told.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "is no text: tracking begins with the boxes that a detector"),
        (b"\0\0\0 ftypisom" + bytes(300), "is no text"),
        ("1,-1,2,3,4,5,1\n".encode("utf-16"), "is text in UTF-16: save it as UTF-8"),
        (b"1;-1;2;3;4;5;1\n", "line 1: cells are parted by semicolons"),
        (b"1;-1;2,5;3,5;4,5;5,5;1\n", "line 1: cells are parted by semicolons"),
        (b"frame;x;y;w;h\n1;2,5;3;4;5\n", "line 2: x is '2,5', not a finite number: write 2.5."),
        ("Bildnummer,é\n1,2\n".encode(), "Its first line is 'Bildnummer,é'"),
    ],
)
def test_what_a_newcomer_may_give_is_told_what_to_do(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError) as told:
        read_detections(tmp_path / "a")
    assert says in str(told.value)
    assert str(told.value).count("\n") == 0


def test_every_format_is_recognised_by_itself_alone(tmp_path: Path) -> None:
    """No file of these tests is one that two formats claim, but for columns that any tool may name."""
    texts = {
        "a.csv": TRACKMATE.format(unit="pixel", last=1),
        "b.csv": DEEPLABCUT,
        "c.json": json.dumps(coco_results(int), default=list),
    }
    texts |= {"d.xml": CVAT_VIDEO.format(""), "e.txt": "1,-1,2,3,4,5\n", "f.csv": "frame,name,class,confidence,box\n"}
    for name, text in texts.items():
        path = write(tmp_path, name, text)
        claims = [format for format in FORMATS if format.recognises(path, text)]
        assert claims[0] is recognised(path)
        assert len(claims) == 1 or claims[1:] == [FORMATS[-1]]


def test_a_sequence_may_hold_files_of_other_formats(tmp_path: Path) -> None:
    """Whose frames then count alike: those of CVAT from 0, those of the MOTChallenge from 1."""
    boxes = "".join(f"{t + 1},-1,{x},{y},{x2 - x},{y2 - y},1\n" for t in range(2) for x, y, x2, y2 in BOXES[t])
    tracks = "".join(
        f'<track id="{n}">{cvat_box(0, BOXES[0, n])}{cvat_box(1, BOXES[1, n])}</track>\n' for n in range(2)
    )
    write(tmp_path, "SEQ/seqinfo.ini", "[Sequence]\nimWidth=100\nimHeight=50\nseqLength=2\n")
    write(tmp_path, "SEQ/gt/annotations.xml", CVAT_VIDEO.format(tracks))
    write(tmp_path, "SEQ/det/det.txt", boxes)
    annotated = read_annotated(tmp_path / "SEQ")
    np.testing.assert_allclose(annotated.seen, annotated.ground_truth.boxes)
    named = [line.replace(",-1,", f",{n % 2 + 1},", 1) for n, line in enumerate(boxes.splitlines())]
    result = write(tmp_path, "SEQ.txt", "\n".join(named))
    found, truth, note = aligned(read_results(result), read_ground_truth(tmp_path / "SEQ"))
    assert note is not None
    assert "frame 0 of the one is frame 1 of the other" in note
    assert score(found, truth).overall.mota == 1.0


def test_an_image_size_beside_tracks_is_known_when_one_trains_on_them(tmp_path: Path) -> None:
    rows = "".join(f"{t},1,{10 + t},5,20,30,1\n" for t in range(1, 31))
    info = "[Sequence]\nimWidth=640\nimHeight=480\n"
    for folder in ("a", "b/gt"):
        path = write(tmp_path, f"{folder}/gt.txt", rows)
        write(tmp_path, f"{folder.partition('/')[0]}/seqinfo.ini", info)
        found = tracks_from_files([path], 20)
        np.testing.assert_allclose(found.boxes[0, 0], [11 / 640, 5 / 480, 31 / 640, 35 / 480])
        assert not any("image size" in note for note in found.notes)
