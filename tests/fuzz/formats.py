"""Files of other tools, mostly as those write them: a number or a byte may be otherwise."""

import json

from fuzz.inputs import HOSTILE_NUMBERS, altered
from hypothesis import strategies as st

_TRACKMATE = "\n".join(
    [
        "LABEL,ID,TRACK_ID,QUALITY,POSITION_X,POSITION_Y,FRAME",
        *["Label,Spot ID,Track ID,Quality,X,Y,Frame"] * 2,
        ",,,(quality),(pixel),(pixel),",
        "ID1,1,0,3.5,10.25,20.5,0",
        "ID2,2,,3.5,11.25,21.5,1",
    ]
)
_CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><original_size><width>640</width><height>480</height></original_size></meta>
<track id="0" label="a"><box frame="0" outside="0" xtl="10.25" ytl="20.5" xbr="30" ybr="40"></box></track>
<image id="1" width="640" height="480"><box xtl="10.25" ytl="20.5" xbr="30" ybr="40"/></image></annotations>
"""
_DEEPLABCUT = "scorer,a,a,a\nbodyparts,b,b,b\ncoords,x,y,likelihood\n0,10.25,20.5,0.9\n1,11.25,21.5,0.9\n"
_BOX = {"x_min": 10.25, "y_min": 20.5, "x_max": 30.0, "y_max": 40.0, "class_id": 0, "confidence": 0.9}
_ULTRALYTICS = "frame,name,class,confidence,box\n"

FILES = {
    "sink.csv": "x_min,y_min,x_max,y_max,class_id,confidence,tracker_id,frame\n10.25,20.5,30,40,0,.9,3,0\n",
    "sink.json": json.dumps([{**_BOX, "tracker_id": "", "frame_number": frame} for frame in range(2)], indent=1),
    "film/labels_1.txt": "0 0.25 0.5 0.125 0.25 0.9 3\n0 0.75 0.5 0.125 0.25 0.9 4\n",
    "results.csv": _ULTRALYTICS + """0,a,0,.9,"{'x1': 10.25, 'y1': 20.5, 'x2': 30, 'y2': 40}"\n""",
    "coco.json": json.dumps([{"image_id": 0, "bbox": [10.25, 20.5, 30, 40], "score": 0.9, "track_id": 3}]),
    "set.json": json.dumps(
        {
            "images": [{"id": 7, "file_name": "a_0.png", "width": 640, "height": 480}],
            "annotations": [{"image_id": 7, "bbox": [10.25, 20.5, 30, 40], "track_id": 3}],
        }
    ),
    "cvat.xml": _CVAT,
    "spots.csv": _TRACKMATE,
    "poses.csv": _DEEPLABCUT,
    "points.csv": ",y,x,mass,frame,particle\n0,20.5,10.25,9,0,3\n1,21.5,10.25,9,1,3\n",
    "poses.slp": "\x89HDF",
}


@st.composite
def foreign(draw: st.DrawFn) -> tuple[str, bytes]:
    """The name of a file and what it holds."""
    name = draw(st.sampled_from(sorted(FILES)))
    text = FILES[name]
    if draw(st.booleans()):
        # Some number in it, as it stands.
        was = draw(st.sampled_from(["10.25", "20.5", "0.9", "0", "1", "3", "640", "0.25"]))
        text = text.replace(was, draw(st.sampled_from([*HOSTILE_NUMBERS, "null", '"a"', "[", "{}"])), 1)
    data = text.encode("utf-8", "surrogateescape")
    return name, draw(altered(data)) if draw(st.booleans()) else data
