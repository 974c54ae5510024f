"""What people and programs write, and what becomes of it on the way: strategies for files."""

from hypothesis import strategies as st

HOSTILE_NUMBERS = [
    *("nan", "inf", "-inf", "1e308", "-1e308", "1e-320", "-0", "0", "-1", "1_000", "0x10", "١٢", "", " ", "1,5"),
    *("9007199254740993", "18446744073709551616", "1e400", "0.0000001", "+3", "1.", ".5", "-", "None", "1e5", "999999"),
]
LINE_ENDS = ["\n", "\r\n", "\r", "\n\n", ",\n", " \n"]


@st.composite
def altered(draw: st.DrawFn, content: bytes, most: int = 3) -> bytes:
    """Bytes of which some were flipped, cut out, said twice or put in."""
    data = bytearray(content)
    for _ in range(draw(st.integers(0, most))):
        if not data:
            break
        where = draw(st.integers(0, len(data) - 1))
        match draw(st.integers(0, 4)):
            case 0:
                data[where] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del data[where:]
            case 2:
                del data[where : where + draw(st.integers(1, 64))]
            case 3:
                data[where:where] = data[where : where + draw(st.integers(1, 64))]
            case 4:
                data[where:where] = draw(st.binary(min_size=1, max_size=8))
    return bytes(data)


@st.composite
def tables(draw: st.DrawFn, rows: st.SearchStrategy[tuple[object, ...]], most: int = 40) -> bytes:
    """A text of rows, mostly as it should be: a cell, a line end or a byte may be otherwise."""
    drawn = [[_text(cell) for cell in row] for row in draw(st.lists(rows, min_size=1, max_size=most))]
    if draw(st.integers(0, 3)) == 0:
        row = draw(st.sampled_from(drawn))
        row[draw(st.integers(0, len(row) - 1))] = draw(st.sampled_from(HOSTILE_NUMBERS))
    separator, end = draw(st.sampled_from([",", ",", ",", ", ", " ", ";"])), draw(st.sampled_from(LINE_ENDS))
    text = "".join(separator.join(row) + end for row in drawn)
    data = draw(st.sampled_from(["", "", "", "\ufeff", "frame,id,left\n", "# made by hand\n"])).encode() + text.encode()
    return draw(altered(data, 2)) if draw(st.integers(0, 3)) == 0 else data


def _text(cell: object) -> str:
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)


@st.composite
def scenes(draw: st.DrawFn, most_frames: int = 14, most_targets: int = 4) -> list[tuple[object, ...]]:
    """Rows of detections of targets that move, rest, jump, leave and are missed, among false boxes.

    Frames may begin late, and hold gaps; boxes may be tiny, vast, outside the image, or all the same.
    """
    frames = draw(st.integers(1, most_frames))
    first = draw(st.sampled_from([1, 1, 1, 2, 30001]))
    gap_at, gap = draw(st.integers(0, frames)), draw(st.sampled_from([0, 0, 0, 40, 600]))
    rows: list[tuple[object, ...]] = []
    for _ in range(draw(st.integers(1, most_targets))):
        x, y = draw(st.floats(-20, 640)), draw(st.floats(-20, 480))
        width = draw(st.sampled_from([0.01, 1, 20, 60, 500, 5000]))
        height = width * draw(st.sampled_from([0.01, 0.5, 1, 2, 100]))
        dx, dy = draw(st.floats(-30, 30)), draw(st.floats(-30, 30))
        missed = draw(st.integers(0, 2**frames - 1)) & draw(st.integers(0, 2**frames - 1))
        jump_at = draw(st.integers(0, 3 * frames))
        for t in range(frames):
            frame = first + t + (gap if t >= gap_at else 0)
            left = x + dx * t + (300 if t >= jump_at else 0)
            if not missed >> t & 1:
                rows.append((frame, -1, left, y + dy * t, width, height, draw(st.sampled_from([1.0, 0.5, -1.0, 30.0]))))
    if rows:
        rows += draw(st.lists(st.sampled_from(rows), max_size=6))
    rows += [
        (first + draw(st.integers(0, frames - 1)), -1, left, top, 30.0, 30.0, 0.1)
        for left, top in draw(st.lists(st.tuples(st.floats(-50, 700), st.floats(-50, 500)), max_size=6))
    ]
    return (
        draw(st.permutations(rows)) if draw(st.integers(0, 4)) == 0 else sorted(rows, key=lambda row: int(str(row[0])))
    )


@st.composite
def detections(draw: st.DrawFn) -> bytes:
    """A detection file: a scene, or rows of anything."""
    if draw(st.integers(0, 3)) == 0:
        number = st.one_of(st.floats(-1e3, 1e3), st.sampled_from(HOSTILE_NUMBERS))
        row = st.tuples(st.integers(-1, 30), st.integers(-1, 3), number, number, number, number, number)
        return draw(tables(row))
    rows = draw(scenes())
    return draw(_as_table(rows))


@st.composite
def _as_table(draw: st.DrawFn, rows: list[tuple[object, ...]]) -> bytes:
    text = "\n".join(",".join(map(_text, row)) for row in rows).encode() + b"\n"
    return draw(altered(text, 2)) if draw(st.integers(0, 4)) == 0 else text


@st.composite
def tracks(draw: st.DrawFn, most_frames: int = 10) -> bytes:
    """Rows with identities: a ground truth, or a result."""
    rows = []
    for identity in range(1, draw(st.integers(1, 4)) + 1):
        x, y, dx = draw(st.floats(0, 500)), draw(st.floats(0, 400)), draw(st.floats(-9, 9))
        for t in range(1, draw(st.integers(1, most_frames)) + 1):
            mark, kind = draw(st.sampled_from([(1, 1), (1, 1), (0, 1), (1, 7)]))
            rows.append((t, identity, x + dx * t, y, 30.0, 60.0, mark, kind, 1.0))
    if draw(st.integers(0, 3)) == 0:
        return draw(tables(st.sampled_from(rows)))
    return draw(_as_table(rows))
