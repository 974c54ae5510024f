"""Two things that walk towards each other for eight frames, as other tools write them."""

import json

FRAMES = range(8)


def _boxes(t: int) -> list[tuple[float, float, float, float]]:
    """Corners of both in a frame."""
    return [(100 + 6.0 * t, 84.0, 147 + 6.0 * t, 193.0), (338 - 6.0 * t, 48.0, 405 - 6.0 * t, 227.0)]


def examples() -> dict[str, str]:
    """The text of each file by its name."""
    rows = [(t, k, box) for t in FRAMES for k, box in enumerate(_boxes(t))]
    points = [(t, k, (x1 + x2) / 2, (y1 + y2) / 2) for t, k, (x1, y1, x2, y2) in rows]
    sink = "x_min,y_min,x_max,y_max,class_id,confidence,tracker_id,class_name,frame_number\n"
    spots = "LABEL,ID,TRACK_ID,QUALITY,POSITION_X,POSITION_Y,FRAME\nLabel,Spot ID,Track ID,Quality,X,Y,Frame\n"
    spots += "Label,Spot ID,Track ID,Quality,X,Y,Frame\n,,,(quality),(pixel),(pixel),\n"
    tracks = [
        f'<track id="{which}" label="a">'
        + "".join(
            f'<box frame="{t}" outside="0" xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}"></box>\n'
            for t, k, (x1, y1, x2, y2) in rows
            if k == which
        )
        + "</track>\n"
        for which in range(2)
    ]
    size = "<meta><original_size><width>640</width><height>480</height></original_size></meta>"
    poses = "scorer,n,n,n,n,n,n\nindividuals,a,a,a,b,b,b\nbodyparts,p,p,p,p,p,p\ncoords,x,y,likelihood,x,y,likelihood\n"
    for t in FRAMES:
        (_, _, x, y), (_, _, u, v) = (point for point in points if point[0] == t)
        poses += f"{t},{x},{y},0.9,{u},{v},0.9\n"
    files = {
        "detections.csv": sink + "".join(f"{a},{b},{c},{d},0,0.9,,person,{t}\n" for t, _, (a, b, c, d) in rows),
        "results.json": json.dumps(
            [{"image_id": t, "bbox": [a, b, c - a, d - b], "score": 0.9} for t, _, (a, b, c, d) in rows]
        ),
        "annotations.xml": f"<annotations><version>1.1</version>{size}\n{''.join(tracks)}</annotations>\n",
        "det.txt": "".join(f"{t + 1},-1,{a},{b},{c - a},{d - b},0.9\n" for t, _, (a, b, c, d) in rows),
        "features.csv": ",y,x,mass,frame\n"
        + "".join(f"{n},{y},{x},9.5,{t}\n" for n, (t, _, x, y) in enumerate(points)),
        "spots.csv": spots + "".join(f"ID{t},{t},{k},3.5,{x},{y},{t}\n" for t, k, x, y in points),
        "poses.csv": poses,
        "poses.slp": "no poses",
        "own.csv": "frame,x,y,w,h,confidence\n"
        + "".join(f"{t},{a},{b},{c - a},{d - b},0.9\n" for t, _, (a, b, c, d) in rows),
    }
    for t in FRAMES:
        shares = [((a + c) / 1280, (b + d) / 960, (c - a) / 640, (d - b) / 480) for a, b, c, d in _boxes(t)]
        files[f"labels/film_{t + 1}.txt"] = "".join(
            f"0 {' '.join(f'{share:g}' for share in box)} 0.9\n" for box in shares
        )
    return files
