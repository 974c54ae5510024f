"""One HTML file that needs nothing else: a body, scripts, and arrays as compact text."""

import base64
import json
from html import escape
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

TYPES = {"int16": "i2", "uint8": "u1", "uint32": "u4", "float32": "f4"}
"""Arrays that a page reads, each with its name in NumPy."""


def page(title: str, package: str, name: str, content: dict[str, Any]) -> str:
    """A page of its own, which loads nothing.

    Args:
        title: of the page.
        package: whose folder ``page`` holds NAME.html, the body, and NAME.js, what it does.
        name: of these.
        content: what the script reads: anything that JSON knows, and arrays by `packed`.
    """
    own, common = resources.files(package) / "page", resources.files(__package__) / "page"
    text = json.dumps(content, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")  # no tag begins in it
    parts = {
        "TITLE": escape(title),
        "STYLE": (common / "page.css").read_text(encoding="utf-8"),
        "BODY": (own / f"{name}.html").read_text(encoding="utf-8"),
        "CONTENT": text,
        "COMMON": (common / "page.js").read_text(encoding="utf-8"),
        "SCRIPT": (own / f"{name}.js").read_text(encoding="utf-8"),
    }
    whole = ""
    for piece in (common / "page.html").read_text(encoding="utf-8").split("%%"):
        whole += parts.get(piece, piece)
    return whole


def packed(array: npt.NDArray[Any], kind: str) -> dict[str, str]:
    """An array as text, of one of `TYPES`; the page knows its shape."""
    content = np.ascontiguousarray(array, dtype="<" + TYPES[kind]).tobytes()
    return {"type": kind, "base64": base64.b64encode(content).decode("ascii")}
