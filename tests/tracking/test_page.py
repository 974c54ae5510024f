"""The page of a run, and what a person does there, in a browser."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import driven, needs_browser

from pyro_mixdvae.tracking.doubts import Doubt
from pyro_mixdvae.tracking.files.runs import Run
from pyro_mixdvae.tracking.report.pages import TrackingPage
from pyro_mixdvae.tracking.report.tables import Records
from pyro_mixdvae.tracking.result import TrackingResult


def a_run(n_frames: int = 40) -> Run:
    """From frame 11 on, two boxes walk side by side; source 2 is inferred in the end; one detection a frame is of 1."""
    step = np.arange(n_frames)[:, None, None] % 200
    boxes = np.array([[10.0, 40, 30, 80], [100, 40, 120, 80]]) + step * np.array([0.5, 0, 0.5, 0])
    observed = np.ones((n_frames, 2), bool)
    observed[30:, 1] = False
    eta = np.tile([0.9, 0.02, 0.08], (n_frames, 1, 1))
    result = TrackingResult(boxes, boxes - 3, boxes + 3, 0.9, observed, eta, (), boxes[None][:0], first=10)
    doubts = (Doubt(20, 24, (0, 1), 0.43), Doubt(35, 35, (1,), 0.1))
    result = replace(result, detections=boxes[:, :1] + 1, size=(300.0, 200.0), doubts=doubts)
    terms = ({"elbo": -20.0, "log p": 1.0}, {"elbo": -10.0, "log p": 2.0})
    return replace(Run.of(result, ["Ann", "</script>Bob"], "two <walkers>"), records=(Records(10, 49, terms),))


def test_the_file_needs_nothing_else() -> None:
    page = TrackingPage(a_run()).html()
    assert not re.search(r'(src|href)="(?!data:)|https?://|@import|url\(', page)
    assert "<title>two &lt;walkers&gt;</title>" in page
    assert "</script>Bob" not in page
    assert "%%" not in page


def test_places_are_kept_to_a_twentieth_of_a_pixel() -> None:
    page = TrackingPage(a_run()).html()
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', page, flags=re.S)
    assert found
    content = json.loads(found[1])
    assert content["unit"] == 0.05
    assert content["first"] == 11
    far = replace(a_run().result, size=(8000.0, 200.0), boxes=a_run().result.boxes * 60)
    assert TrackingPage(Run.of(far))._unit == pytest.approx(139.5 * 60 / 32766)


@needs_browser
def test_a_person_slides_plays_jumps_and_looks(tmp_path: Path) -> None:
    steps = """
    const told = { title: byId("title").textContent, doubts: byId("doubts").innerText, terms: byId("terms").innerText };
    slider.value = 7;
    slider.dispatchEvent(new Event("input"));
    told.slid = [view.t, byId("number").value];
    told.assignments = byId("assignments").innerText;
    const pen = stage.getContext("2d"), at = (x, y) => {
      const ratio = window.devicePixelRatio;
      return [...pen.getImageData(x * view.scale * ratio, y * view.scale * ratio, 1, 1).data].slice(0, 3);
    };
    told.edge = at(13.5, 60);
    told.inside = at(25, 70);
    byId("doubts").querySelector("button").click();
    told.jumped = byId("number").value;
    byId("play").click();
    await wait(200);
    told.playing = byId("play").textContent;
    await wait(4000);
    told.played = [view.t, byId("play").textContent];
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));
    told.keyed = view.t;
    return told;
    """
    told = driven(TrackingPage(a_run()).html(), steps, tmp_path)
    assert isinstance(told, dict), told
    assert told["title"] == "two <walkers>"
    assert "frames 21 to 25: Ann and </script>Bob" in told["doubts"]
    assert "kept their names 57 %, changed them 43 %" in told["doubts"]
    assert "</script>Bob and someone else" in told["doubts"]
    assert "-20.0" in told["terms"]
    assert told["slid"] == [7, "18"]
    assert "Ann 90 %, none of them 8 %, </script>Bob 2 %" in told["assignments"]
    assert told["edge"][0] < 60  # blue, where the left edge is
    assert told["inside"] == [250, 250, 248]
    assert told["jumped"] == "21"
    assert told["playing"] == "Pause"
    assert told["played"] == [39, "Play"]
    assert told["keyed"] == 38


@needs_browser
def test_clicks_mark_corrections_that_are_saved(tmp_path: Path) -> None:
    steps = """
    const told = {}, point = (kind, x, y) => {
      const edge = stage.getBoundingClientRect();
      const place = { clientX: edge.left + x * view.scale, clientY: edge.top + y * view.scale, bubbles: true };
      stage.dispatchEvent(new PointerEvent(kind, place));
    };
    go(5);
    point("pointerdown", 110, 60);
    told.picked = [byId("source").value, byId("other").value];
    byId("until").value = 20;
    byId("absent").click();
    byId("doubts").querySelectorAll("button")[1].click();
    told.at = byId("number").value;
    told.names = namesAt(view.t);
    go(2);
    byId("label").click();
    point("pointerdown", 50, 30);
    point("pointermove", 60, 70);
    point("pointerup", 60, 70);
    told.csv = byId("csv").textContent;
    told.words = byId("corrections").innerText;
    let saved = null;
    URL.createObjectURL = (blob) => { saved = blob; return "blob:none"; };
    HTMLAnchorElement.prototype.click = function () { told.name = this.download; };
    byId("save").click();
    told.saved = await saved.text();
    byId("corrections").querySelector("button").click();
    told.left = corrections.length;
    return told;
    """
    told = driven(TrackingPage(a_run()).html(), steps, tmp_path)
    assert isinstance(told, dict), told
    assert told["picked"] == ["1", "0"]
    assert told["at"] == "23"
    assert told["names"] == [1, 0]
    head, *rows = told["csv"].splitlines()
    assert head == "frame,kind,source,other,until,x1,y1,x2,y2"
    label, absent, swap = (row.split(",") for row in rows)
    assert label[:5] == ["13", "label", "2", "", ""]
    np.testing.assert_allclose([float(cell) for cell in label[5:]], [50, 30, 60, 70], atol=0.02)
    assert absent == ["16", "absent", "2", "", "20", "", "", "", ""]
    assert swap == ["23", "swap", "1", "2", "", "", "", "", ""]
    assert "</script>Bob is absent from frame 16 to 20" in told["words"]
    assert (told["name"], told["saved"]) == ("corrections.csv", told["csv"])
    assert told["left"] == 2


@needs_browser
def test_twenty_thousand_frames_stay_usable(tmp_path: Path) -> None:
    page = TrackingPage(a_run(20_000)).html()
    assert len(page) < 5e6
    steps = """
    slider.value = 19_000;
    slider.dispatchEvent(new Event("input"));
    return [view.t, Number(byId("number").value)];
    """
    assert driven(page, steps, tmp_path) == [19_000, 19_011]
