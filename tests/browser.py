"""A page opened in headless Chromium, with a script that does what a person would."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--autoplay-policy=no-user-gesture-required"),
]

needs_browser = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")


def driven(page: str, steps: str, folder: Path) -> Any:
    """What steps return that are run in a page, as an async function's body; seconds pass in no time.

    An error of the page, or of the steps, is returned as a text. `wait(milliseconds)` is there for the steps.

    Args:
        page: its HTML.
        steps: JavaScript.
        folder: for the page, and for what the browser keeps.
    """
    watch = "<script>const failures = []; onerror = (message) => { failures.push(message); };</script>"
    drive = """<script>
    const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
    const steps = async () => { %s };
    steps().catch((error) => String(error)).then((told) => {
      const shown = document.createElement("pre");
      shown.id = "told";
      shown.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(failures.length ? failures.join() : told))));
      document.body.append(shown);
    });
    </script></body>"""
    path = folder / "driven.html"
    path.write_text(page.replace("<body>", f"<body>{watch}", 1).replace("</body>", drive % steps, 1), encoding="utf-8")
    command = [str(BROWSER), *QUIET, f"--user-data-dir={folder / 'browser'}", "--virtual-time-budget=30000"]
    ended = subprocess.run([*command, "--dump-dom", path.as_uri()], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr[-1000:]
    found = re.search(r'<pre id="told">([^<]*)</pre>', ended.stdout)
    assert found, ended.stdout[-1000:]
    return json.loads(base64.b64decode(found[1]))
